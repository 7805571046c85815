"""The forecast that every other must beat: it stays as it was."""

from __future__ import annotations

from autoscaler.forecast.series import MinuteSeries


class LastValue:
    """The last minute: a longer mean is late by half its length."""

    name = "last_value"

    def expect(self, series: MinuteSeries, horizon: int) -> float:
        return series.mean(1)

    def learn(self, series: MinuteSeries, horizon: int) -> None:
        """It remembers nothing."""
