"""The director: one synchronous place where a request is routed, followed and given back."""
