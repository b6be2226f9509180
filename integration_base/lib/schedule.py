"""When to work: intervals, times of day, and hours in which work is held back.

Times of day are those of a clock on the wall of a time zone. Where that clock is put forward, a
time that does not exist is taken as much later as it jumped; where it is put back, the first of two
equal times counts. All instants, given and returned, are naive UTC, as in Odoo's database.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytz

MINUTES_A_DAY = 24 * 60
#: Minutes after midnight.
Minutes = int

_TIME = re.compile(r"([01]?\d|2[0-3])(?:[:.]([0-5]\d))?")


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The time zone of that name, from the data that Odoo's own list of zones comes from.

    :raises ValueError: for a name that is none.
    """
    if name not in pytz.all_timezones_set:
        raise ValueError(f"{name} is no time zone")
    with pytz.open_resource(name) as data:
        return ZoneInfo.from_file(data, key=name)


def parse_times(text: str) -> tuple[Minutes, ...]:
    """Read times of day such as ``6:00, 12:30 18``, sorted and without repetitions.

    :raises ValueError: with the part that is no time.
    """
    times = set()
    for part in re.split(r"[\s,;]+", text.strip()):
        found = _TIME.fullmatch(part)
        if not found:
            raise ValueError(part)
        times.add(int(found[1]) * 60 + int(found[2] or 0))
    return tuple(sorted(times))


def write_times(times: Collection[Minutes]) -> str:
    """The counterpart of :func:`parse_times`: ``06:00, 12:30``."""
    return ", ".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in sorted(times))


def next_daily(
    now: datetime, times: Collection[Minutes], tz: str, weekdays: Collection[int] = range(7)
) -> datetime:
    """The first of these times of day after ``now``.

    :param weekdays: 0 is Monday.
    :raises ValueError: when there is no time or no day.
    """
    today = _local_day(now, tz)
    # a week and its edges: on the present weekday all of its times may be over
    days = [today + timedelta(days=number) for number in range(-1, 9)]
    return min(
        instant
        for day in days
        if day.weekday() in weekdays
        for minutes in times
        if (instant := _instant(day, minutes, tz)) > now
    )


@dataclass(frozen=True)
class Quiet:
    """Hours of every day in which work is held back, e.g. from 22:00 to 6:00.

    :param begin: minutes after midnight; with an ``end`` that is not later it lasts over midnight.
    :param tz: name of the time zone.
    """

    begin: Minutes
    end: Minutes
    tz: str

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """Begin and end (exclusive) of the present quiet hours, else of the next ones."""
        today = _local_day(now, self.tz)
        lasts_over_midnight = self.end <= self.begin
        for number in range(-2, 4):
            day = today + timedelta(days=number)
            begin = _instant(day, self.begin, self.tz)
            end = _instant(day + timedelta(days=lasts_over_midnight), self.end, self.tz)
            if begin < end and now < end:
                return begin, end
        raise AssertionError("every day has quiet hours")

    def is_quiet(self, now: datetime) -> bool:
        """Whether work is held back at that instant."""
        return self.period(now)[0] <= now

    def after(self, now: datetime) -> datetime:
        """``now``, or the end of the quiet hours it lies in."""
        begin, end = self.period(now)
        return end if begin <= now else now


def _local_day(now: datetime, tz: str) -> date:
    return now.replace(tzinfo=UTC).astimezone(zone(tz)).date()


def _instant(day: date, minutes: Minutes, tz: str) -> datetime:
    """The instant at which that clock shows that time, the first of two."""
    wall = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=zone(tz))
    return wall.astimezone(UTC).replace(tzinfo=None)
