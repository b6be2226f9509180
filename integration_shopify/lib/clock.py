"""Days of the shop."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def local_date(moment: datetime, timezone: str | None) -> date:
    """Return the day it was in the shop.

    :param moment: naive UTC.
    :param timezone: name of the shop's time zone; without one, or an unknown one, UTC.
    """
    try:
        zone = ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        zone = UTC
    return moment.replace(tzinfo=UTC).astimezone(zone).date()
