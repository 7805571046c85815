"""Endpoints, objectives and model rewrites from the Kubernetes API."""
