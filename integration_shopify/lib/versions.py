"""Versions of Shopify's Admin API: which we ask for, which we know, and until when they answer.

Shopify brings out a version each quarter and keeps it for a year. Who asks for one that is gone
gets no error: the oldest one that is left answers, with other rules. Only the header
``X-Shopify-API-Version`` tells (https://shopify.dev/docs/api/usage/versioning).

To move to a newer version, add it to :data:`VERSIONS` and set :data:`API_VERSION`: the address,
the guard, the documents' tests and the simulator follow.
"""

from datetime import datetime

#: The version our documents are written for, and the only place it is named.
API_VERSION = "2026-10"
#: Every version all of our documents and variables are tested against, and when Shopify ends it
#: (UTC). Shopify names the end of the newest; it ended those before by the same rule.
VERSIONS = {
    "2026-04": datetime(2027, 4, 16, 15),
    "2026-07": datetime(2027, 7, 16, 15),
    "2026-10": datetime(2027, 10, 16, 15),
}
#: Deprecated parts we use on purpose: what replaces them is unknown to the oldest of
#: :data:`VERSIONS`. Nobody is told of them before the end of the pinned version comes near.
ACCEPTED = frozenset(
    f"CustomerPhoneNumber.marketing{name}" for name in ("OptInLevel", "State", "UpdatedAt")
)
#: Days before the end of the pinned version at which people are told, the last one first.
STAGES = (7, 30, 90)


def ends_at(version: str) -> datetime | None:
    """Return when Shopify ends a version (naive UTC); None for one we do not know."""
    return VERSIONS.get(version)


def days_left(version: str, now: datetime) -> int | None:
    """Return the whole days until Shopify ends a version, negative after it; None if unknown."""
    end = ends_at(version)
    return None if end is None else (end - now).days


def stage(now: datetime) -> int | None:
    """Return the smallest of :data:`STAGES` the pinned version has reached; None before all."""
    left = days_left(API_VERSION, now)
    return next((days for days in STAGES if left <= days), None)


def may_write(answering: str) -> bool:
    """Whether writing is safe while this version answers: unknown rules might do other things."""
    return not answering or answering in VERSIONS
