"""A real Kubernetes control plane on loopback, for tests: built, started and driven from here."""
