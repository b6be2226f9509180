"""What happens on both sides and what goes wrong, drawn from the seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

#: Shares of the service's calls. Roughly one in four goes wrong.
FAULTS = {
    "timeout_after": 0.05,
    "timeout_before": 0.05,
    "too_many": 0.05,
    "server_error": 0.03,
    "server_error_after": 0.02,
    "html": 0.015,
    "html_after": 0.01,
    "truncated": 0.02,
    "reset_before": 0.01,
    "reset_after": 0.01,
}
#: Silence of a timeout, longer than the connector waits.
TIMEOUT = 2.5
NOTIFICATIONS = {"drop": 0.3, "duplicate": 0.3, "delay": [0, 3]}
#: Shares of the changes that are creations, and that hit a hot record.
CREATED, HOT = 0.35, 0.3
#: Shares of the changes that nobody can process until the next one, of the records that end so.
BAD, HOPELESS = 0.01, 0.01
CITIES = ("Berlin", "Lyon", "Porto", "Oslo", "Graz", "Kraków")


@dataclass(frozen=True)
class Step:
    """A change somebody makes: of a new record, or of the `number`-th one on that side."""

    #: part of the time of all changes, 0 to 1
    at: float
    number: int
    new: bool
    values: dict[str, Any]


@dataclass(frozen=True)
class Trouble:
    """Something the nemesis does."""

    at: float
    #: name of a method of the nemesis
    action: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A whole run."""

    seed: int
    #: seconds in which the changes are made
    duration: float
    #: seconds the service's clock is wrong, from the beginning on
    clock_skew: float
    contacts: list[Step]
    products: list[Step]
    troubles: list[Trouble]

    @classmethod
    def draw(
        cls, seed: int, count: int, *, duration: float, small: bool = False, side: str = "both"
    ) -> Plan:
        """Plan `count` changes, half of them on each side.

        :param small: fewer troubles, and none that reaches beyond the own server and database.
        :param side: `both`, or the one on which all changes are made: `service` or `odoo`.
        """
        odoo = {"both": count // 2, "service": 0, "odoo": count}[side]
        rng = random.Random(f"{seed}-clock")
        troubles = SMALL if small else ALL
        return cls(
            seed,
            duration,
            rng.uniform(-120, 120),
            list(_steps(random.Random(f"{seed}-contacts"), count - odoo, _contact)),
            list(_steps(random.Random(f"{seed}-products"), odoo, _product)),
            list(_spread(random.Random(f"{seed}-troubles"), troubles)),
        )


#: What the whole run has to survive.
ALL = (
    ("kill_worker", {}),
    ("kill_worker", {}),
    ("kill_worker", {}),
    ("kill_server", {}),
    ("restart_database", {}),
    ("outage", {"seconds": 30}),
    ("step_clock", {"seconds": 40}),
)
SMALL = (
    ("kill_worker", {}),
    ("end_connections", {}),
    ("outage", {"seconds": 4}),
    ("step_clock", {"seconds": 40}),
)


def _spread(rng: random.Random, troubles: tuple[tuple[str, dict], ...]) -> Iterator[Trouble]:
    """The troubles in any order, evenly over the time of the changes."""
    order = rng.sample(troubles, len(troubles))
    for position, (action, arguments) in enumerate(order):
        yield Trouble((position + rng.uniform(0.3, 0.9)) / len(order), action, arguments)


def _steps(rng: random.Random, count: int, draw: Any) -> Iterator[Step]:
    """Changes of records, with their versions counted; some end in a state nobody can process."""
    versions: list[int] = []
    changes: list[tuple[bool, int, int]] = []
    for position in range(count):
        new = not versions or rng.random() < (1 if position < count / 10 else CREATED)
        if new:
            number = len(versions)
            versions.append(0)
        elif rng.random() < HOT:
            number = len(versions) - 1 - rng.randrange(min(3, len(versions)))
        else:
            number = rng.randrange(len(versions))
        versions[number] += 1
        changes.append((new, number, versions[number]))
    some = min(len(versions), int(len(versions) * HOPELESS) + 1)
    hopeless = set(rng.sample(range(len(versions)), some))
    for position, (new, number, version) in enumerate(changes):
        last = version == versions[number]
        bad = last if number in hopeless else not last and rng.random() < BAD
        yield Step(position / count, number, new, draw(rng, number, version, bad))


def _contact(rng: random.Random, number: int, version: int, bad: bool) -> dict[str, Any]:
    """A contact of the service; without a name nobody can process it."""
    return {
        "name": None if bad else f"Contact {number} v{version}",
        "email": f"contact{number}@example.com" if rng.random() < 0.8 else None,
        "phone": f"+49 30 {rng.randrange(10**6):06}",
        "city": rng.choice(CITIES),
    }


def _product(rng: random.Random, number: int, version: int, bad: bool) -> dict[str, Any]:
    """A product of Odoo; the service refuses a negative price."""
    return {
        "name": f"Product {number} v{version}",
        "default_code": f"CHAOS-{number:05}",
        "list_price": -1.0 if bad else rng.randrange(100, 100000) / 100,
    }
