"""Changes in Odoo and their operations share their fate, and hold up nobody."""

import threading

import pytest


def create(engine, *names):
    with engine.env() as env:
        return env["res.partner.category"].create([{"name": name} for name in names]).ids


def names_outside(engine):
    return sorted(row["name"] for row in engine.shelf.rows.values())


def drain(engine):
    engine.make_due()
    return engine.drain(engine.shelf_flow_id)


def test_rolled_back_change_leaves_nothing(engine):
    (tag,) = create(engine, "S1")
    assert engine.states() == {str(tag): ["pending"]}
    with pytest.raises(ZeroDivisionError), engine.env() as env:
        env["res.partner.category"].browse(tag).name = "S2"
        env.cr.flush()
        raise ZeroDivisionError
    assert engine.states() == {str(tag): ["pending"]}


def test_committed_change_wakes_its_flow(engine):
    engine.sql("DELETE FROM queue_job")
    create(engine, "S1")
    key = f"integration.drain.{engine.shelf_flow_id}"
    assert engine.sql("SELECT identity_key, state FROM queue_job") == [(key, "pending")]


def test_change_while_the_record_is_being_sent_is_sent_as_well(engine):
    """The operation that runs has read the old value: the new one must not be merged into it."""
    (tag,) = create(engine, "S1")
    shelf = engine.registry["integration.fake.shelf"]
    push = shelf._push

    def changed_meanwhile(resource, backend, items):
        with engine.env() as env:
            env["res.partner.category"].browse(tag).name = "S2"
        return push(resource, backend, items)

    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(shelf, "_push", changed_meanwhile)
        with engine.env() as env:
            model = env["integration.engine"]
            with model._control_cursor() as ctl:
                model._run(model._claim(ctl, model._facts(ctl, engine.shelf_flow_id), 0))
    assert names_outside(engine) == ["S1"]
    assert engine.states() == {str(tag): ["done", "pending"]}
    drain(engine)
    assert names_outside(engine) == ["S2"]


def test_two_users_changing_one_thing_do_not_wait_for_each_other(engine):
    (tag,) = create(engine, "S1")
    engine.sql("DELETE FROM integration_sync_log")
    noted, done = threading.Event(), threading.Event()

    def note(env):
        env.cr.execute("SET LOCAL lock_timeout = '5s'")
        env["integration.outbox"]._note_changed("res.partner.category", [tag])
        env.cr.flush()

    def first():
        with engine.env() as env:
            note(env)
            noted.set()
            assert done.wait(300), "the second one waits for the first"

    def second():
        assert noted.wait(300)
        with engine.env() as env:
            note(env)
        done.set()

    engine.together(first, second)
    assert engine.states() == {str(tag): ["pending"] * 2}
    drain(engine)
    assert engine.states() == {str(tag): ["merged", "done"]}
    assert names_outside(engine) == ["S1"]


def test_engine_writing_on_the_flow_is_no_conflict_for_users(engine):
    """A long transaction of a user, while the engine notes its progress on the same flow."""
    (tag,) = create(engine, "S1")
    with engine.env() as env:
        env["res.partner.category"].browse(tag).name = "S2"
        engine.sql("UPDATE integration_flow SET last_success_at = now(), blocked_until = now()")
        engine.sql("UPDATE integration_backend SET pause_reason = 'Noted'")
    assert engine.states() == {str(tag): ["pending"] * 2}
