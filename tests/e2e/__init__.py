"""A real Gateway API control plane and a real Envoy, our picker between: `make e2e-gateway`."""
