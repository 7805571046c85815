"""The forecast that every other must beat: it stays as it was."""

from __future__ import annotations

from autoscaler.forecast.series import MinuteSeries

RECENT_MINUTES = 5


class LastValue:
    """The mean of the last five minutes."""

    name = "last_value"

    def expect(self, series: MinuteSeries, horizon: int) -> float:
        return series.mean(RECENT_MINUTES)

    def learn(self, series: MinuteSeries, horizon: int) -> None:
        """It remembers nothing."""
