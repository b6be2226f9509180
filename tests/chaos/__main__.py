"""``./run chaos operations --count 10000 --seed 1``"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from runtime import testbed
from runtime.console import say, step

from tests.simulators.generic.client import GenericService

from .operations import Result, Run
from .plan import Plan

#: Seconds: a run that takes longer has failed.
LIMIT = 15 * 60
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
    parser.add_argument("scenario", choices=["operations"])
    parser.add_argument("--count", type=int, default=10000, help="changes on both sides together")
    parser.add_argument("--seed", type=int, default=1, help="of changes and troubles")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--side", choices=["both", "service", "odoo"], default="both", help="who changes records"
    )
    options = parser.parse_args(argv)
    if options.count < 1:
        parser.error("--count is a positive number")
    plan = Plan.draw(
        options.seed,
        options.count,
        duration=max(60, options.count / PACE),
        side=options.side,
    )
    project = testbed.InsideProject()
    simulator = odoo = None
    try:
        simulator = testbed.start_simulator(project, "generic")
        with step("Starting Odoo"):
            odoo = testbed.TestServer.create(project, test_addons=True, workers=2)
        run = Run(odoo, GenericService(simulator.url), plan, say)
        result = run.execute(LIMIT)
    finally:
        for started in (odoo and odoo.remove, simulator and simulator.stop):
            if started:
                started()
    report(result, run)
    if options.json:
        options.json.write_text(json.dumps(result.figures(), indent=1) + "\n")
    return 0 if result.good and result.seconds <= LIMIT else 1


def report(result: Result, run: Run) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
