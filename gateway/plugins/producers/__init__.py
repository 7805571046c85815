"""Producers: what is found out about a request before it is scored."""
