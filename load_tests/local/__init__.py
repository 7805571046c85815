"""The embedded provider's other end: nodes and replicas as processes, after given lead times."""
