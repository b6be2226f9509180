"""``./run chaos operations --count 10000 --seed 1``, ``./run chaos orders --seed 1``"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime import paths, testbed
from runtime.console import say, step

from tests.simulators.generic.client import GenericService
from tests.simulators.shopify.client import ShopSimulator

from . import lives, operations, orders
from .order_checker import CHECKS
from .plan import Plan

#: Seconds: a run that takes longer has failed.
LIMIT = 15 * 60
#: Seconds for each life, and for the first.
LIMIT_OF_LIFE, LIMIT_OF_LIVES = 3, 10 * 60
#: Changes a second on both sides together.
PACE = 25
SHOWN = 5


def main(argv: list[str] | None = None) -> int:
    """Run a scenario; returns 0 when every invariant holds."""
    parser = argparse.ArgumentParser(
        prog="run chaos",
        description="A running Odoo and a service, both changing records while everything breaks; "
        "afterwards both sides have to be equal.",
    )
    parser.add_argument("scenario", choices=["operations", "orders"])
    parser.add_argument(
        "--count", type=int, help="operations: changes on both sides together; orders: lives"
    )
    parser.add_argument("--seed", type=int, default=1, help="of changes and troubles")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--side",
        choices=["both", "service", "odoo"],
        default="both",
        help="operations: who changes records",
    )
    parser.add_argument(
        "--life", type=int, action="append", metavar="N", help="orders: only the N-th life (from 0)"
    )
    parser.add_argument(
        "--calm", action="store_true", help="orders: no call fails, no notification is lost"
    )
    options = parser.parse_args(argv)
    if options.count is not None and options.count < 1:
        parser.error("--count is a positive number")
    scenario = {"operations": _operations, "orders": _orders}[options.scenario]
    figures, good = scenario(options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if good else 1


@contextmanager
def _running(simulator: str, **options: Any) -> Iterator[tuple[Any, str]]:
    """A simulator and an Odoo of its own; yields Odoo and the simulator's address."""
    project = testbed.InsideProject()
    service = odoo = None
    try:
        service = testbed.start_simulator(project, simulator)
        with step("Starting Odoo"):
            odoo = testbed.TestServer.create(project, **options)
        yield odoo, service.url
    finally:
        for started in (odoo and odoo.remove, service and service.stop):
            if started:
                started()


# === OPERATIONS === #


def _operations(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    count = options.count or 10000
    plan = Plan.draw(options.seed, count, duration=max(60, count / PACE), side=options.side)
    with _running("generic", test_addons=True, workers=2) as (odoo, url):
        run = operations.Run(odoo, GenericService(url), plan, say)
        result = run.execute(LIMIT)
    report(result, run)
    return result.figures(), result.good and result.seconds <= LIMIT


def report(result: operations.Result, run: operations.Run) -> None:
    """Print the figures, and of each kind of problem the first few."""
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(result.calls["faults"].items()))
    say(f"\n{result.calls['total']} calls, of which failed: {faults}")
    troubles = [f"{trouble.action} at {trouble.at:.0%}" for trouble in run.plan.troubles]
    say(f"Troubles: {', '.join(troubles)}")
    say(f"Planned dead letters: {result.verdict.planned_dead_letters}")
    for name, value in result.figures().items():
        say(f"{name:>24} {value:g}")
        for problem in getattr(result.verdict, name, [])[:SHOWN]:
            say(f"{'':24} {problem[:300]}")
    say(f"The history is in {run.history.file}.")
    say("Both sides are equal." if result.good else "An invariant is broken.")


# === ORDERS === #


def _orders(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    numbers = options.life or range(options.count or 2000)
    chosen = [lives.draw(options.seed, number) for number in numbers]
    limit = LIMIT_OF_LIVES + LIMIT_OF_LIFE * len(chosen)
    with _running("shopify", workers=orders.WORKERS) as (odoo, url):
        run = orders.Run(odoo, ShopSimulator(url), chosen, say, faults=not options.calm)
        result = run.execute(limit)
    report_orders(result, run)
    return result.figures(), result.good


def report_orders(result: orders.Result, run: orders.Run) -> None:
    """Print what was checked, and of the lives that failed what is wrong and how to live again."""
    figures = result.figures()
    say(f"\n{result.calls['total']} calls of the API; what was checked for each of the lives:")
    for check, meaning in CHECKS.items():
        wrong = figures["unequal_by_check"][check]
        say(f"  {check:>12} {'ok' if not wrong else f'{wrong} WRONG':>10}  {meaning}")
    for name, value in figures.items():
        if name != "unequal_by_check":
            say(f"{name:>12} {value}")
    known = {life.number: life for life in run.lives}
    for number, problems in list(result.unequal.items())[:SHOWN]:
        life = known[number]
        say(f"\nLife {number} ({', '.join(life.actions)}):")
        for check, texts in problems.items():
            for text in texts[:SHOWN]:
                say(f"  {check}: {text[:400]}")
        file = paths.LOGS / f"chaos-life-{life.seed}-{number}.jsonl"
        file.write_text(life.told() + "\n")
        say(f"  Alone: ./run chaos orders {life.title}; its steps are in {file}.")
        say("  To make it a test, copy that file to tests/chaos/kept/.")
    if len(result.unequal) > SHOWN:
        say(f"\nUnequal in all: {' '.join(map(str, sorted(result.unequal)))}")
    for stray in result.strays[:SHOWN]:
        say(f"  {stray[:400]}")
    say(f"The history is in {run.history.file}.")
    say("The books of all lives are equal." if result.good else "Books are not equal.")


if __name__ == "__main__":
    sys.exit(main())
