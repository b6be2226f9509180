"""The checker finds what it is there to find, and the plan depends on nothing but the seed."""

from __future__ import annotations

from .checker import Verdict, check_dead_letters, check_order, compare
from .plan import ALL, Plan

TRUTH = {"A": {"name": "Anna"}, "B": {"name": "Otto"}}
COPIES = [("A", {"name": "Anna"}), ("B", {"name": "Otto"})]


def judge(copies, bad=()):
    verdict = Verdict()
    compare(verdict, "contact", TRUTH, copies, bad)
    return verdict


def test_equal_sides_are_good():
    assert judge(COPIES).good


def test_each_kind_of_problem_is_found_and_named():
    assert judge(COPIES[:1]).lost == ["contact B: {'name': 'Otto'}"]
    assert judge([*COPIES, COPIES[0]]).doubled == ["contact A: 2 copies"]
    assert judge([*COPIES, ("C", {})]).doubled == ["contact C: 1 copies of nothing"]
    old = [COPIES[0], ("B", {"name": "Ott"})]
    assert judge(old).different == ["contact B: expected {'name': 'Otto'}, found {'name': 'Ott'}"]
    assert not judge(old).good


def test_records_nobody_can_process_may_be_behind_or_missing_but_not_doubled():
    assert judge(COPIES[:1], bad={"B"}).good
    assert judge([COPIES[0], ("B", {"name": "Ott"})], bad={"B"}).good
    assert judge([*COPIES, COPIES[1]], bad={"B"}).doubled


def test_dead_letters_are_those_of_the_plan():
    verdict = Verdict()
    check_dead_letters(verdict, "contact", [("A", "no name"), ("B", "bug")], {"A", "C"})
    assert verdict.unplanned_dead_letters == ["contact B: bug"]
    assert verdict.lost == ["contact C: no dead letter"]
    assert verdict.planned_dead_letters == 1


def test_an_older_state_over_a_newer_one_is_found():
    def journal(*names):
        return [{"id": "P1", "values": {"name": name}} for name in names]

    verdict = Verdict()
    check_order(verdict, "product", journal("Mug v1", "Mug v3", "Mug v3"))
    assert verdict.good
    check_order(verdict, "product", journal("Mug v1", "Mug v3", "Mug v2"))
    assert verdict.different == ["product P1: version 2 was written over 3"]


def test_a_plan_is_drawn_from_its_seed_and_leaves_some_records_bad():
    plan = Plan.draw(7, 1000, duration=60)
    assert plan == Plan.draw(7, 1000, duration=60)
    assert plan.contacts != Plan.draw(8, 1000, duration=60).contacts
    assert len(plan.contacts) == len(plan.products) == 500
    last = {step.number: step.values["name"] for step in plan.contacts}
    assert 0 < sum(name is None for name in last.values()) < 10
    assert sorted(t.action for t in plan.troubles) == sorted(action for action, _ in ALL)
    assert [t.at for t in plan.troubles] == sorted(t.at for t in plan.troubles)
    assert Plan.draw(1, 1, duration=60).products == []
