"""Envoy's external processing protocol: messages, the session, the codec and its hosts."""
