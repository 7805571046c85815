"""Where a decision becomes a write: workloads, node pools, and the one gate before them."""
