"""Two real transactions at the same time: whoever comes second changes nothing."""

import hashlib
import hmac
import json
import threading
from datetime import datetime

import psycopg2
import pytest

from odoo.addons.integration_base.models.integration_engine import LOCK_SLOT, MAX_SLOTS


def notification(external_id, event_id):
    body = json.dumps({"id": external_id}).encode()
    signature = hmac.new(b"s3cr3t-canary", body, hashlib.sha256).hexdigest()
    headers = {"X-Signature": signature, "X-Topic": "contact/updated", "X-Event-Id": event_id}
    return headers, body


def test_same_notification_twice_at_once_is_one_event_and_one_operation(engine):
    headers, body = notification("c1", "event-1")

    def receive():
        # as the route does: what another transaction stores meanwhile is no conflict but known
        with engine.env() as env, env["integration.engine"]._control_cursor() as cr:
            backend = env(cr=cr)["integration.backend"].browse(engine.backend_id)
            backend.env["integration.webhook.event"]._receive(backend, headers, body)

    engine.together(*[receive] * 8)
    assert engine.sql("SELECT count(*) FROM integration_webhook_event") == [(1,)]
    assert engine.states() == {"c1": ["pending"]}


def test_claims_at_once_share_the_work_and_never_a_record(engine):
    names = [f"c{number:03}" for number in range(120)]
    engine.append(*names)
    engine.append(*names)
    engine.sql("UPDATE integration_flow SET slots = 4, batch_size = 10")
    claimed = []

    def claim(number):
        def work():
            with engine.env() as env:
                model = env["integration.engine"]
                with model._control_cursor() as ctl:
                    facts = model._facts(ctl, engine.flow_id)
                    while batch := model._claim(ctl, facts, number):
                        claimed.extend(operation["key"] for operation in batch.operations)

        return work

    engine.together(*(claim(number) for number in range(4)))
    assert sorted(claimed) == names
    assert engine.states() == {name: ["merged", "running"] for name in names}


def test_one_slot_is_held_by_one_drain(engine):
    names = [f"c{number:02}" for number in range(30)]
    for name in names:
        engine.service.put(name, name)
    engine.append(*names)
    engine.sql("UPDATE integration_flow SET batch_size = 5")
    inside, most = [], []
    fetch = engine.registry["integration.fake.contact"]._fetch

    def counted(resource, backend, external_ids):
        inside.append(1)
        most.append(len(inside))
        try:
            return fetch(resource, backend, external_ids)
        finally:
            inside.pop()

    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(engine.registry["integration.fake.contact"], "_fetch", counted)
        engine.together(*[engine.drain] * 6)
        engine.drain()
    assert max(most) == 1
    assert engine.partners() == {name: [name] for name in names}
    assert set(map(tuple, engine.states().values())) == {("done",)}


def test_same_record_created_by_two_at_once_exists_once(engine):
    """The lease of a slow drain ends; another takes over while the first is still writing."""
    engine.service.put("c1", "One")
    engine.append("c1")
    applying, go_on = threading.Event(), threading.Event()
    apply = engine.registry["integration.fake.contact"]._apply
    slow = []

    def slow_at_first(resource, backend, items):
        if not slow:
            slow.append(1)
            applying.set()
            assert go_on.wait(300)
        return apply(resource, backend, items)

    def second():
        assert applying.wait(300)
        engine.sql("UPDATE integration_flow SET slots = 2")
        engine.sql("UPDATE integration_sync_log SET claimed_until = now() - interval '1 hour'")
        engine.sweep()
        assert engine.states() == {"c1": ["pending"]}
        engine.drain()
        # the first still holds the record: the second waits its turn instead of doubling it
        assert engine.states() == {"c1": ["pending"]}
        go_on.set()

    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(engine.registry["integration.fake.contact"], "_apply", slow_at_first)
        engine.together(engine.drain, second)
        assert engine.partners() == {}, "what the first wrote is rolled back with its lease"
        engine.make_due()
        engine.drain()
    assert engine.partners() == {"c1": ["One"]}
    assert engine.sql("SELECT count(*) FROM integration_binding") == [(1,)]
    assert engine.states() == {"c1": ["done"]}


def test_same_external_record_bound_by_two_at_once_is_bound_once(engine):
    """Two flows may meet the same customer: the second finds the link of the first."""

    def bind():
        with engine.env() as env:
            model = env["integration.engine"]
            backend = env["integration.backend"].browse(engine.backend_id)

            def work():
                with engine.env() as inner:
                    Binding = inner["integration.binding"]
                    found = Binding._find(backend.with_env(inner), "customer", ["7"])
                    if not found:
                        partner = inner["res.partner"].create({"name": "Seven", "ref": "c7"})
                        Binding._bind(backend.with_env(inner), "customer", {"7": partner})

            model._with_tries(work)

    engine.together(*[bind] * 5)
    assert engine.partners() == {"c7": ["Seven"]}
    assert engine.sql("SELECT external_id FROM integration_binding") == [("7",)]


def test_notification_during_the_work_is_not_lost(engine):
    """What changes while its record is being written is read again afterwards."""
    engine.service.put("c1", "Old", datetime(2026, 11, 1))
    engine.append("c1")
    apply = engine.registry["integration.fake.contact"]._apply

    def changed_meanwhile(resource, backend, items):
        if not engine.service.applied:
            engine.service.put("c1", "New", datetime(2026, 11, 2))
            engine.append("c1", updated_at=datetime(2026, 11, 2))
        return apply(resource, backend, items)

    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(engine.registry["integration.fake.contact"], "_apply", changed_meanwhile)
        engine.drain()
    assert engine.partners() == {"c1": ["New"]}
    assert engine.states() == {"c1": ["done", "done"]}


def test_killed_drain_is_found_by_its_lock(engine):
    """A drain that died gives its slot back by itself; a living one keeps what it claimed."""
    engine.service.put("c1", "One")
    engine.append("c1")
    with engine.env() as env, pytest.raises(psycopg2.InterfaceError):
        model = env["integration.engine"]
        with (
            model._control_cursor() as ctl,
            model._slot(ctl, LOCK_SLOT, engine.flow_id, range(1)) as slot,
        ):
            assert model._claim(ctl, model._facts(ctl, engine.flow_id), slot)
            engine.sweep()
            assert engine.states() == {"c1": ["running"]}, "its drain is alive"
            [(pid,)] = engine.sql(
                "SELECT pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
                " WHERE d.datname = current_database() AND locktype = 'advisory'"
                " AND classid = %s AND objid = %s",
                LOCK_SLOT,
                engine.flow_id * MAX_SLOTS,
            )
            engine.sql("SELECT pg_terminate_backend(%s, 10000)", pid)
            engine.sweep()
            assert engine.states() == {"c1": ["pending"]}
    engine.drain()
    assert engine.partners() == {"c1": ["One"]}


def test_what_a_dead_drain_left_is_done_by_the_next_in_its_slot(engine):
    """The heartbeat would see that the slot is held, and take the dead drain for alive."""
    engine.service.put("c1", "One")
    engine.append("c1")
    with engine.env() as env, env["integration.engine"]._control_cursor() as ctl:
        facts = env["integration.engine"]._facts(ctl, engine.flow_id)
        assert env["integration.engine"]._claim(ctl, facts, 0)
    # nobody holds the slot: the process that claimed is gone
    engine.drain()
    assert engine.states() == {"c1": ["done"]}
    assert engine.sql("SELECT crashes, attempts FROM integration_sync_log") == [(1, 2)]
    assert engine.sql("SELECT error_class FROM integration_sync_attempt") == [("crash",)]


def test_what_failed_is_not_overtaken_for_ever_by_what_comes_in(engine):
    """Under steady load the newest are always untried; the failed one is due before them."""
    engine.append("c1")
    engine.append("c2", "c3", "c4")
    engine.sql(
        "UPDATE integration_sync_log SET attempts = 3,"
        " next_attempt_at = next_attempt_at - interval '1 minute' WHERE key = 'c1'"
    )
    with engine.env() as env, env["integration.engine"]._control_cursor() as ctl:
        facts = env["integration.engine"]._facts(ctl, engine.flow_id)
        first = env["integration.engine"]._claim(ctl, facts, 0)
        then = env["integration.engine"]._claim(ctl, facts, 0)
    assert [operation["key"] for operation in first.operations] == ["c1"]
    assert [operation["key"] for operation in then.operations] == ["c2", "c3", "c4"]
