"""What a benchmark is: a case, its floor, and what one run of either did."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from . import cases
from .stack import Stack


@dataclass(frozen=True)
class Sample:
    """One run of a case, or of its floor."""

    records: int
    seconds: float
    #: SQL queries of the server's processes for these records
    queries: int = 0
    #: HTTP calls to the other system for these records
    calls: int = 0
    #: other figures worth printing, e.g. `{"dead_letters": 0}`
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.records / self.seconds


class Case:
    """One thing that is measured against its floor. The first paragraph of the docstring says
    what is measured, the second what the floor is.

    A subclass lives in a module of its own in `cases/` and is called like it. Everything that is
    not to be measured belongs into `prepare`.
    """

    #: The least ratio (our rate to the floor's), None where nobody promised one.
    gate: float | None = None
    #: How often case and floor run in turns, unless somebody says so.
    rounds = 5
    #: Options of the server the case runs on; cases with equal ones share it.
    server: dict[str, Any] = {}
    #: Whether it takes a server as others left it, and leaves it to others.
    shares = True

    def __init__(self, scale: float = 1.0):
        """:param scale: share of the usual number of records; a test takes few."""
        self.scale = scale

    @classmethod
    def name(cls) -> str:
        """What the case is called on the command line."""
        return cls.__module__.rpartition(".")[2]

    def count(self, usual: int) -> int:
        """How many records to take where `usual` is meant."""
        return max(1, round(usual * self.scale))

    def prepare(self, stack: Stack) -> None:
        """Set up what case and floor need, once, and warm it up."""

    def measure(self, stack: Stack) -> Sample:
        """Run the case once."""
        raise NotImplementedError

    def floor(self, stack: Stack) -> Sample:
        """Run the floor once."""
        raise NotImplementedError

    def problems(self, samples: list[Sample]) -> list[str]:
        """Say in sentences which other promise the runs of the case broke."""
        return []

    def close(self) -> None:
        """End what `prepare` started."""


def all_cases() -> dict[str, type[Case]]:
    """Every case by its name."""
    return dict(sorted(_find()))


def _find() -> Iterator[tuple[str, type[Case]]]:
    for info in pkgutil.iter_modules(cases.__path__):
        module = importlib.import_module(f"{cases.__name__}.{info.name}")
        for _name, member in inspect.getmembers(module, inspect.isclass):
            if issubclass(member, Case) and member.__module__ == module.__name__:
                yield member.name(), member


@dataclass(frozen=True)
class Result:
    """What the rounds of a case showed."""

    case: type[Case]
    samples: list[Sample]
    floors: list[Sample]
    problems: list[str]

    @property
    def ratios(self) -> list[float]:
        """Our rate to that of the floor next to it, round by round."""
        pairs = zip(self.samples, self.floors, strict=True)
        return [sample.rate / floor.rate for sample, floor in pairs]

    @property
    def ratio(self) -> float:
        """The median of the rounds: one disturbed round does not count."""
        return median(self.ratios)

    @property
    def passed(self) -> bool:
        """Whether every promise is kept."""
        return not self.problems and self.ratio >= (self.case.gate or 0)

    def row(self) -> dict[str, Any]:
        """The result as JSON."""
        records = sum(sample.records for sample in self.samples)
        floor_records = sum(floor.records for floor in self.floors)
        figures: dict[str, Any] = {}
        for sample in self.samples:
            figures.update(sample.figures)
        return {
            "name": self.case.name(),
            "ratio": round(self.ratio, 3),
            "ratio_min": round(min(self.ratios), 3),
            "ratio_max": round(max(self.ratios), 3),
            "gate": self.case.gate,
            "passed": self.passed,
            "rate": round(median(sample.rate for sample in self.samples), 2),
            "floor_rate": round(median(floor.rate for floor in self.floors), 2),
            "queries_per_record": round(sum(s.queries for s in self.samples) / records, 4),
            "floor_queries_per_record": round(
                sum(floor.queries for floor in self.floors) / floor_records, 4
            ),
            "calls_per_record": round(sum(s.calls for s in self.samples) / records, 4),
            "records": records,
            "rounds": len(self.samples),
            "problems": self.problems,
            **figures,
        }
