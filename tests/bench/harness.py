"""Runs cases and their floors in turns."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from runtime.testbed import InsideProject

from .case import Case, Result
from .stack import Stack

HEADER = (
    f"{'case':<12}{'ratio':>8}  {'spread':<15}{'gate':>6}{'ours/s':>10}{'floor/s':>10}"
    f"{'queries':>9}{'(floor)':>9}{'calls':>8}"
)


def run(cases: list[type[Case]], rounds: int | None, scale: float) -> Iterator[Result]:
    """Run cases one after the other; those with the same server share it.

    What else runs on the machine changes from minute to minute: a case is compared with the floor
    that ran right beside it, and nothing else.

    :param rounds: of each case; None for as many as it asks for.
    :param scale: share of the usual records.
    """
    project = InsideProject()
    stack, options = None, None
    try:
        for case in cases:
            if stack is not None and (case.server != options or not case.shares):
                stack.remove()
                stack = None
            if stack is None:
                say(f"... starting Odoo for {case.name()}")
                stack, options = Stack(project, **case.server), case.server
            yield _run_case(case(scale), stack, rounds or case.rounds)
            if not case.shares:
                stack.remove()
                stack = None
    finally:
        if stack is not None:
            stack.remove()


def _run_case(case: Case, stack: Stack, rounds: int) -> Result:
    say(f"... {case.name()}: warming up")
    samples, floors = [], []
    try:
        case.prepare(stack)
        for number in range(rounds):
            # in turns, and each of them first as often as the other
            turns = [(case.measure, samples), (case.floor, floors)]
            for turn, results in turns if number % 2 else reversed(turns):
                results.append(turn(stack))
            say(
                f"... {case.name()}: round {number + 1} of {rounds}: "
                f"{samples[-1].rate:.1f}/s, floor {floors[-1].rate:.1f}/s"
            )
        return Result(type(case), samples, floors, case.problems(samples))
    finally:
        case.close()


def line(row: dict[str, Any]) -> str:
    """One result as a line below `HEADER`."""
    spread = f"{row['ratio_min']:.2f} - {row['ratio_max']:.2f}"
    gate = "" if row["gate"] is None else f"{row['gate']:g}"
    verdict = "" if row["passed"] else "   BELOW ITS GATE"
    return (
        f"{row['name']:<12}{row['ratio']:>8.2f}  {spread:<15}{gate:>6}{row['rate']:>10.1f}"
        f"{row['floor_rate']:>10.1f}{row['queries_per_record']:>9.2f}"
        f"{row['floor_queries_per_record']:>9.2f}{row['calls_per_record']:>8.3f}{verdict}"
    )


def say(message: str) -> None:
    """Tell how far it is; not on the output, which may be JSON."""
    print(message, file=sys.stderr, flush=True)
