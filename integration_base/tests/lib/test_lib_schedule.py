"""Schedules: the clock on the wall, its two odd nights a year, and hours over midnight."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.schedule import (
    Quiet,
    next_daily,
    parse_times,
    write_times,
    zone,
)

BERLIN = "Europe/Berlin"  # 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00
ZONES = st.sampled_from(
    ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]
)
MINUTES = st.integers(0, 24 * 60 - 1)
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1))


def local(instant, tz):
    return instant.replace(tzinfo=UTC).astimezone(zone(tz))


def test_times_are_read_as_people_write_them():
    assert parse_times(" 18, 6:05;12.30 6:05 ") == (365, 750, 1080)
    assert write_times(parse_times("18 6:05")) == "06:05, 18:00"


@pytest.mark.parametrize("text", ["", "24:00", "6:60", "noon", "6:5", "06:00,,x", "-1"])
def test_what_is_no_time_is_named(text):
    with pytest.raises(ValueError):
        parse_times(text)


@given(st.sets(MINUTES, min_size=1))
def test_times_survive_writing(times):
    assert parse_times(write_times(times)) == tuple(sorted(times))


def test_unknown_zone():
    for name in ("Mars/Olympus", "../../etc/passwd", "Europe"):
        with pytest.raises(ValueError):
            zone(name)


@pytest.mark.parametrize(
    ("now", "times", "run"),
    [
        # winter: UTC+1
        ("2026-01-10 04:59", "6:00", "2026-01-10 05:00"),
        ("2026-01-10 05:00", "6:00", "2026-01-11 05:00"),
        ("2026-01-10 05:00", "6:00 12:30", "2026-01-10 11:30"),
        # midnight there is yesterday in UTC
        ("2026-01-10 22:59", "0:00", "2026-01-10 23:00"),
        # over the change to summer time: one hour earlier in UTC from then on
        ("2026-03-28 05:00", "6:00", "2026-03-29 04:00"),
        # 2:30 does not exist that night, and is 3:30
        ("2026-03-29 00:00", "2:30", "2026-03-29 01:30"),
        ("2026-03-29 01:30", "2:30", "2026-03-30 00:30"),
        # 2:30 comes twice that night, the first one counts
        ("2026-10-25 00:00", "2:30", "2026-10-25 00:30"),
        ("2026-10-25 00:30", "2:30", "2026-10-26 01:30"),
    ],
)
def test_next_daily(now, times, run):
    now, run = datetime.fromisoformat(now), datetime.fromisoformat(run)
    assert next_daily(now, parse_times(times), BERLIN) == run


def test_weekdays():
    saturday = datetime(2026, 1, 10, 12)
    assert next_daily(saturday, [360], BERLIN, range(5)) == datetime(2026, 1, 12, 5)
    assert next_daily(saturday, [360], BERLIN, [5]) == datetime(2026, 1, 17, 5)
    with pytest.raises(ValueError):
        next_daily(saturday, [360], BERLIN, [])


@given(INSTANTS, st.sets(MINUTES, min_size=1, max_size=4), ZONES)
def test_next_daily_is_the_first_and_each_day_has_all(now, times, tz):
    run = next_daily(now, times, tz)
    assert now < run <= now + timedelta(hours=50), "Apia once had no 30th of December"
    shown = local(run, tz)
    exists = shown.hour * 60 + shown.minute in times
    # a time that the clock jumps over is shown later, by as much as it jumps
    offsets = {local(run - timedelta(hours=2), tz).utcoffset(), shown.utcoffset()}
    assert exists or len(offsets) == 2
    # none in between: asking again just before gives the same
    assert next_daily(run - timedelta(seconds=1), times, tz) == run


@given(INSTANTS, st.sets(MINUTES, min_size=1, max_size=4), ZONES)
def test_runs_of_a_week(now, times, tz):
    runs, instant = 0, now
    while (instant := next_daily(instant, times, tz)) <= now + timedelta(days=7):
        runs += 1
    assert abs(runs - 7 * len(times)) <= len(times)


@pytest.mark.parametrize(
    ("begin", "end", "quiet", "free"),
    [
        # by day, in winter: 6:00 to 22:00 is 5:00 to 21:00 in UTC
        ("6:00", "22:00", ["05:00", "12:00", "20:59"], ["04:59", "21:00", "23:59", "00:00"]),
        # over midnight: 22:00 to 6:00 is 21:00 to 5:00 in UTC
        ("22:00", "6:00", ["21:00", "23:59", "00:00", "04:59"], ["05:00", "12:00", "20:59"]),
        # all day
        ("8:00", "8:00", ["00:00", "07:00", "12:00", "23:59"], []),
    ],
)
def test_quiet_hours(begin, end, quiet, free):
    hours = Quiet(*parse_times(begin), *parse_times(end), BERLIN)
    for time in quiet:
        assert hours.is_quiet(datetime.fromisoformat(f"2026-01-10 {time}")), time
    for time in free:
        now = datetime.fromisoformat(f"2026-01-10 {time}")
        assert not hours.is_quiet(now), time
        assert hours.after(now) == now


def test_quiet_hours_end():
    hours = Quiet(22 * 60, 6 * 60, BERLIN)
    assert hours.after(datetime(2026, 1, 10, 23)) == datetime(2026, 1, 11, 5)
    assert hours.after(datetime(2026, 1, 11, 1)) == datetime(2026, 1, 11, 5)
    # the nights of the change are an hour shorter and longer
    night = hours.period(datetime(2026, 3, 29, 0))
    assert night == (datetime(2026, 3, 28, 21), datetime(2026, 3, 29, 4))
    night = hours.period(datetime(2026, 10, 25, 0))
    assert night == (datetime(2026, 10, 24, 20), datetime(2026, 10, 25, 5))


def test_quiet_hours_that_do_not_exist_that_night():
    hours = Quiet(2 * 60 + 10, 2 * 60 + 20, BERLIN)
    assert hours.period(datetime(2026, 3, 29, 0)) == (
        datetime(2026, 3, 29, 1, 10),
        datetime(2026, 3, 29, 1, 20),
    )
    # this one would end before it begins: 2:30 is taken as 3:30
    hours = Quiet(2 * 60 + 30, 3 * 60, BERLIN)
    assert not hours.is_quiet(datetime(2026, 3, 29, 1, 15))
    assert hours.period(datetime(2026, 3, 29, 0))[0] == datetime(2026, 3, 30, 0, 30)


@given(INSTANTS, MINUTES, MINUTES, ZONES)
def test_quiet_hours_hold_together(now, begin, end, tz):
    hours = Quiet(begin, end, tz)
    first, last = hours.period(now)
    assert first < last
    assert now < last
    assert last - first <= timedelta(hours=49)
    assert hours.is_quiet(first)
    assert hours.period(last)[0] >= last
    assert hours.is_quiet(now) == (first <= now)
    assert hours.after(now) in (now, last)
