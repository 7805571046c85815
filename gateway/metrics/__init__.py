"""What the gateway measures of itself: ``families`` declares it, ``events`` records it."""

from gateway.metrics.events import Metrics

__all__ = ["Metrics"]
