"""Changes on both sides while everything breaks; then both sides have to be equal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from runtime import paths

from tests.simulators.generic.connect import connect_backend

from . import checker
from .checker import Verdict
from .clients import Client, OdooUser, ServiceUser
from .history import OK, History
from .nemesis import Nemesis
from .plan import FAULTS, NOTIFICATIONS, TIMEOUT, Plan

#: A fast service deserves quick retries, and one that fails every fourth call more of them: finding
#: out what became of a creation and repeating it are two calls. With two drains, one that waits for
#: an answer that never comes does not hold up all others. Everything else is as delivered.
FLOW = {
    "interval_minutes": 1,
    "batch_size": 25,
    "slots": 2,
    "retry_seconds": 2,
    "retry_max_seconds": 10,
    "max_attempts": 20,
}
#: Tables that are kept when something is wrong.
EVIDENCE = (
    "integration_sync_log",
    "integration_sync_attempt",
    "integration_intent",
    "integration_binding",
    "integration_exchange",
)
#: Longest call and a bit: a listing stored so long after a moment was read after it.
LONGEST_CALL = 12


@dataclass
class Result:
    """The figures of a run."""

    operations: int
    seconds: float
    settled: bool
    verdict: Verdict
    calls: dict[str, Any]

    @property
    def good(self) -> bool:
        return self.settled and self.verdict.good

    def figures(self) -> dict[str, float]:
        verdict = self.verdict
        return {
            "operations": self.operations,
            "lost": len(verdict.lost),
            "doubled": len(verdict.doubled),
            "different": len(verdict.different),
            "unplanned_dead_letters": len(verdict.unplanned_dead_letters),
            "seconds": round(self.seconds, 1),
        }


class Run:
    """A connected Odoo and its service, put through a plan."""

    def __init__(
        self,
        odoo: Any,
        service: Any,
        plan: Plan,
        say: Callable[[str], None],
        flow: Mapping[str, int] = MappingProxyType(FLOW),
    ):
        """:param flow: settings of the flows."""
        self.flow = dict(flow)
        self.odoo = odoo
        self.service = service
        self.plan = plan
        self.say = say
        self.history = History(paths.LOGS / f"chaos-{plan.seed}.jsonl")

    def execute(self, limit: float) -> Result:
        """Make the changes, wait until nothing is left to do, compare.

        :param limit: seconds after which it has failed to settle.
        """
        service = self.service
        service.configure(clockSkew=self.plan.clock_skew)
        flows = {"contact": self.flow, "product": self.flow}
        self.backend = connect_backend(self.odoo.call, self.odoo.url, service.url, flows=flows)
        service.faults(seed=self.plan.seed, shares=FAULTS, seconds=TIMEOUT)
        service.webhook_faults(**NOTIFICATIONS)
        nemesis = Nemesis(self.odoo, service, self.plan, self.history)
        started = time.monotonic()
        try:
            people = self._make_changes(nemesis)
            settled = self._settle(started + limit)
        finally:
            nemesis.caretaker.stopped.set()
        seconds = time.monotonic() - started
        verdict = Verdict()
        if self.plan.contacts:
            checker.contacts(verdict, service, self.odoo, self.backend)
        if self.plan.products:
            checker.products(verdict, service, self.odoo, self.backend)
        if not (settled and verdict.good):
            self._keep_evidence()
        changes = sum(person.changes for person in people)
        return Result(changes, seconds, settled, verdict, service.calls())

    def _make_changes(self, nemesis: Nemesis) -> list[Client]:
        plan, history = self.plan, self.history
        options = (plan.duration, history)
        people: list[Client] = [ServiceUser(self.service, plan.contacts, *options)]
        for half in (0, 1):
            steps = [step for step in plan.products if step.number % 2 == half]
            people.append(OdooUser(f"odoo-{half}", self.odoo.session, steps, *options))
        threads = [*people, nemesis]
        for thread in threads:
            thread.start()
        told = time.monotonic()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            if time.monotonic() - told > 30:
                told = time.monotonic()
                self.say(f"{history.seconds:.0f} s, {sum(p.changes for p in people)} changes")
        for thread in threads:
            if thread.error:
                raise thread.error
        return people

    def _keep_evidence(self) -> None:
        """Save what tells how it came, before the database is gone."""
        files = {
            table: (row[0] for row in self.odoo.sql(f"SELECT to_json(t)::text FROM {table} t"))
            for table in EVIDENCE
        }
        files["journal"] = map(json.dumps, self.service.journal())
        for name, lines in files.items():
            file = self.history.file.with_name(f"{self.history.file.stem}-{name}.jsonl")
            file.write_text("".join(f"{line}\n" for line in lines))

    # === SETTLING === #

    def _settle(self, end: float) -> bool:
        """Wait until everything has been read and no operation is open; False when it is late.

        Nobody helps: what a lost notification told is found by the schedule.
        """
        (row,) = self.odoo.sql("SELECT now() AT TIME ZONE 'UTC'")
        quiet = 0
        while time.monotonic() < end:
            left = self._left(row[0])
            quiet = quiet + 1 if not left else 0
            if quiet > 1:
                return True
            self.history.add("settle", str(left), OK)
            time.sleep(1)
        self.say(f"It did not settle: {left}")
        return False

    def _left(self, changed_at: Any) -> dict[str, Any]:
        """What is still to be done, empty when nothing is."""
        left: dict[str, Any] = {}
        if pending := self.service.health()["pending"]:
            left["notifications"] = pending
        (flow,) = self.odoo.sql(
            "SELECT last_success_at > %s + %s * interval '1 second'"
            "       AND COALESCE(cursor_page::text, 'false') IN ('false', 'null')"
            "  FROM integration_flow WHERE backend_id = %s AND resource = 'contact'",
            [changed_at, LONGEST_CALL, self.backend],
        )
        if not flow[0]:
            left["listing"] = "not read to the end since the last change"
        states = self.odoo.sql(
            "SELECT resource || ' ' || state || ' ' || COALESCE(error_class, ''), count(*)"
            "  FROM integration_sync_log WHERE backend_id = %s"
            "   AND state IN ('pending', 'running') GROUP BY 1",
            [self.backend],
        )
        return left | dict(states)
