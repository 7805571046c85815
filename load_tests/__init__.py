"""What proves it: emulated model servers, a real Envoy, workloads, comparisons and the demo."""
