"""The endpoint picker: an Envoy ext_proc service that chooses a model server per request."""
