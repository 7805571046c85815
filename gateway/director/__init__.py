"""From a parsed request to a route, and on to what became of it. ``Director`` is the way in."""

from gateway.director.director import Director, Settings, Store
from gateway.director.policy import Policy

__all__ = ["Director", "Policy", "Settings", "Store"]
