"""The manifests render, say what they should, and are taken by a real API server."""
