"""What leaves Odoo is created once, whatever becomes of the answer, the process or the lease."""

import threading
from unittest.mock import patch

import pytest

from odoo.addons.integration_base.lib.errors import NotReadyError, RetryableError


@pytest.fixture
def drain(engine):
    """Let time pass, then run a drain of the outgoing flow."""

    def run():
        engine.make_due()
        return engine.drain(engine.shelf_flow_id)

    return run


def create(engine, *names):
    with engine.env() as env:
        env["res.partner.category"].create([{"name": name, "color": 0} for name in names])


def there(engine):
    return sorted(row["name"] for row in engine.shelf.rows.values())


def open_states(engine):
    return {state for found in engine.states().values() for state in found} - {"done", "merged"}


def test_lost_answer_never_doubles_a_creation(engine, drain):
    create(engine, "S1", "S2")
    engine.shelf.errors["S1"] = (RetryableError("No answer", outcome="unknown"), True)
    drain()
    assert there(engine) == ["S1"]
    assert open_states(engine) == {"pending"}
    engine.shelf.errors.clear()
    drain()
    assert there(engine) == ["S1", "S2"]
    assert engine.shelf.recovered, "it was looked up before anything was sent again"
    assert not open_states(engine)


def test_lost_request_is_sent_again(engine, drain):
    create(engine, "S1")
    engine.shelf.errors["S1"] = (RetryableError("No answer", outcome="unknown"), False)
    drain()
    engine.shelf.errors.clear()
    drain()
    assert there(engine) == ["S1"]
    assert not open_states(engine)


def test_error_of_ours_after_the_creation_never_doubles_it(engine, drain):
    create(engine, "S1", "S2", "S3", "S4")
    engine.shelf.errors["S2"] = (KeyError("id"), True)
    drain()
    assert there(engine) == ["S1", "S2"], "the others may be on their way, as far as we know"
    engine.shelf.errors.clear()
    with engine.env() as env:
        env["integration.sync.log"].search([("state", "=", "dead")])._requeue()
    drain()
    assert there(engine) == ["S1", "S2", "S3", "S4"]
    assert not open_states(engine)


def test_nothing_is_sent_while_it_cannot_be_told(engine, drain):
    create(engine, "S1")
    engine.shelf.errors["S1"] = (RetryableError("No answer", outcome="unknown"), True)
    drain()
    engine.shelf.errors.clear()
    unsure = NotReadyError("The search index of the service lags.", retry_after=5)
    shelf = engine.registry["integration.fake.shelf"]
    with patch.object(shelf, "_recover", side_effect=unsure):
        drain()
    assert len(engine.shelf.calls) == 1
    assert open_states(engine) == {"pending"}
    drain()
    assert there(engine) == ["S1"]


def test_process_that_dies_after_the_creation_never_doubles_it(engine, drain):
    create(engine, "S1", "S2")
    settlement = engine.registry["integration.settlement"]
    with (
        patch.object(settlement, "_finish", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        drain()
    assert there(engine) == ["S1", "S2"]
    engine.sweep()
    drain()
    assert not engine.shelf.recovered, "both were known to be created"
    assert there(engine) == ["S1", "S2"]
    assert not open_states(engine)


def test_same_record_exported_by_two_at_once_is_created_once(engine, drain):
    """The lease of a slow drain ends; another takes over while the first is still sending."""
    create(engine, "S1")
    sending, go_on = threading.Event(), threading.Event()
    shelf = engine.registry["integration.fake.shelf"]
    push = shelf._push

    def slow(resource, backend, items):
        if not engine.shelf.calls:
            engine.shelf.calls.append("slow")
            sending.set()
            assert go_on.wait(300)
        return push(resource, backend, items)

    def second():
        assert sending.wait(300)
        engine.sql("UPDATE integration_flow SET slots = 2")
        engine.sql("UPDATE integration_sync_log SET claimed_until = now() - interval '1 hour'")
        engine.sweep()
        engine.drain(engine.shelf_flow_id)
        go_on.set()

    with patch.object(shelf, "_push", slow):
        engine.together(drain, second)
    drain()
    drain()
    assert there(engine) == ["S1"]
    assert not open_states(engine)
    assert engine.sql("SELECT count(*) FROM integration_binding") == [(1,)]


def test_bug_in_a_creation_ends_alone(engine, drain):
    """Nobody knows what a bug has done, so nothing is sent again before that is known."""
    names = [f"S{number:02}" for number in range(16)]
    create(engine, *names)
    engine.shelf.errors["S05"] = (ZeroDivisionError("division by zero"), False)
    for _try in range(8):
        drain()
    assert there(engine) == sorted(set(names) - {"S05"})
    assert open_states(engine) == {"dead"}
    dead = engine.sql("SELECT error_class, message FROM integration_sync_log WHERE state = 'dead'")
    assert [error_class for error_class, _message in dead] == ["bug"]
    assert len(engine.shelf.calls) < 16
