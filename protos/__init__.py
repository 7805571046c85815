"""Our own wire messages; none is needed while the gateway runs alone."""
