"""The Kubernetes API as the services need it: a few calls, watches that survive, pure values."""
