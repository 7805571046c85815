"""Nodes by asking Kubernetes for room: the cooperative rungs of the ladder."""
