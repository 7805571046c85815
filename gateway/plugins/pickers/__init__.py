"""Pickers: from scores to the endpoints to use, best first."""
