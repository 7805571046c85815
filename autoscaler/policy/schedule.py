"""Events that are known before they happen: a launch, a batch window, a night shift.

A window is written in local time and may cross midnight. Pure: ``now`` comes in as Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo

from loadstar.config.load import NOT_EMPTY, Check, above, at_least, key

_DAY_S = 86_400.0


class Weekday(StrEnum):
    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


_NUMBER = {day: number for number, day in enumerate(Weekday)}


def _is_time(text: str) -> bool:
    hours, colon, minutes = text.partition(":")
    if not (colon and len(hours) == len(minutes) == 2 and (hours + minutes).isdecimal()):
        return False
    return int(hours) < 24 and int(minutes) < 60


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        return False


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _is_zone(name: str) -> bool:
    try:
        return bool(_zone(name))
    except (ValueError, OSError, KeyError):
        return False


TIME = Check(_is_time, "must be a time of day like 07:30")
DATE = Check(_is_date, "must be a date like 2026-11-27")
ZONE = Check(_is_zone, "must be a time zone of the IANA database, like Europe/Berlin")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePolicy:
    """A window of every chosen day, or of one ``date``; while it lasts the bounds and uplift hold.

    ``end`` at or before ``start`` means on the next day; the weekday is that of the start.
    """

    name: Annotated[str, NOT_EMPTY]
    start: Annotated[str, TIME]
    end: Annotated[str, TIME]
    timezone: Annotated[str, ZONE] = "UTC"
    days: tuple[Weekday, ...] = tuple(Weekday)
    on_date: Annotated[str, DATE] | None = field(default=None, metadata=key("date"))
    min_replicas: Annotated[int, at_least(0)] | None = None
    max_replicas: Annotated[int, at_least(0)] | None = None
    uplift: Annotated[float, above(0)] | None = None
    """Times the demand before the window opened, e.g. 1.5 for half as much again."""

    def __post_init__(self) -> None:
        if (self.min_replicas, self.max_replicas, self.uplift) == (None, None, None):
            raise ValueError("must set one of minReplicas, maxReplicas and uplift")
        low, high = self.min_replicas, self.max_replicas
        if low is not None and high is not None and low > high:
            raise ValueError(f"minReplicas {low} is more than maxReplicas {high}")
        if not self.days:
            raise ValueError("days must name at least one day")

    def windows(self, first_s: float, last_s: float) -> list[tuple[float, float]]:
        """(start, end) in Unix seconds of each window that touches ``first_s``..``last_s``."""
        zone = _zone(self.timezone)
        day = datetime.fromtimestamp(first_s - _DAY_S, UTC).astimezone(zone).date()
        final = datetime.fromtimestamp(last_s, UTC).astimezone(zone).date()
        found: list[tuple[float, float]] = []
        while day <= final:
            if self._falls_on(day):
                start = _at(day, self.start, zone)
                ends_next = self.end <= self.start
                end = _at(day + timedelta(days=1) if ends_next else day, self.end, zone)
                if start <= last_s and end > first_s:
                    found.append((start, end))
            day += timedelta(days=1)
        return found

    def _falls_on(self, day: date) -> bool:
        if self.on_date is not None:
            return day.isoformat() == self.on_date
        return any(_NUMBER[each] == day.weekday() for each in self.days)


def _at(day: date, time_of_day: str, zone: ZoneInfo) -> float:
    hours, _, minutes = time_of_day.partition(":")
    return datetime(day.year, day.month, day.day, int(hours), int(minutes), tzinfo=zone).timestamp()


@dataclass(frozen=True, slots=True)
class Announced:
    """What the schedules say for a stretch of time."""

    names: tuple[str, ...] = ()
    min_replicas: int | None = None
    max_replicas: int | None = None
    uplift: float = 1.0


def announced(schedules: Iterable[SchedulePolicy], now_s: float, until_s: float) -> Announced:
    """The floors and uplifts of windows that open before ``until_s``; caps of those open now.

    A floor is wanted a lead time before its window opens, a cap binds only while it lasts. The
    uplift applies to windows yet to open: once inside, demand itself tells.
    """
    names: list[str] = []
    floor: int | None = None
    cap: int | None = None
    uplift = 1.0
    for schedule in schedules:
        for start, end in schedule.windows(now_s, until_s):
            names.append(schedule.name)
            if schedule.min_replicas is not None:
                floor = max(floor or 0, schedule.min_replicas)
            if schedule.max_replicas is not None and start <= now_s < end:
                cap = schedule.max_replicas if cap is None else min(cap, schedule.max_replicas)
            if schedule.uplift is not None and start > now_s:
                uplift = max(uplift, schedule.uplift)
    return Announced(tuple(dict.fromkeys(names)), floor, cap, uplift)
