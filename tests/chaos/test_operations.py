"""`./run chaos operations` in small: fewer changes, and troubles that hurt no other test."""

import pytest

from tests.simulators.generic.client import GenericService

from .operations import FLOW, Run
from .plan import Plan


@pytest.mark.long
def test_both_sides_are_equal_after_trouble(odoo_server, generic_simulator):
    service = GenericService(generic_simulator().url)
    odoo = odoo_server(workers=2, test_addons=True)
    plan = Plan.draw(5, 300, duration=20, small=True)
    run = Run(odoo, service, plan, print, {**FLOW, "retry_seconds": 1, "retry_max_seconds": 4})
    result = run.execute(240)
    assert result.settled
    verdict = result.verdict
    assert (verdict.lost, verdict.doubled, verdict.different) == ([], [], [])
    assert verdict.unplanned_dead_letters == [] and verdict.planned_dead_letters > 0
    assert result.operations == 300
    assert {"timeout_after", "too_many", "server_error"} <= set(result.calls["faults"])
    assert run.history.counts["nemesis", "ok"] == len(plan.troubles)
