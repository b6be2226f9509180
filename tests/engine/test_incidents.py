"""Incidents opened and closed by several transactions at once."""

import threading

import psycopg2
import pytest


def fail(engine, names, reason="broken"):
    """Let operations have failed, without telling anybody."""
    ids = engine.append(*names)
    engine.sql(
        "UPDATE integration_sync_log SET state = 'dead', error_class = 'conflict', message = %s,"
        " fingerprint = %s, finished_at = now() AT TIME ZONE 'UTC' WHERE id = ANY(%s)",
        reason,
        reason,
        ids,
    )
    return ids


def refresh(engine):
    with engine.env() as env, env["integration.engine"]._control_cursor() as ctl:
        env(cr=ctl)["integration.incident"]._refresh([engine.flow_id])


def incidents(engine):
    return engine.sql("SELECT state, key, count FROM integration_incident ORDER BY id")


def to_dos(engine):
    return engine.sql(
        "SELECT count(*) FROM mail_activity WHERE active"
        " AND res_model IN ('integration.incident', 'integration.backend')"
    )[0][0]


@pytest.fixture(autouse=True)
def no_to_dos(engine):
    engine.sql("DELETE FROM mail_activity")


def test_drains_that_meet_the_same_failure_at_once_open_one_incident(engine):
    fail(engine, [f"c{number}" for number in range(50)])
    engine.together(*[lambda: refresh(engine)] * 8)
    assert incidents(engine) == [("open", "broken", 50)]
    assert to_dos(engine) == 1


def test_same_trouble_raised_and_resolved_at_once_is_one_incident(engine):
    def turn(method, *arguments):
        def work():
            with engine.env() as env, env["integration.engine"]._control_cursor() as ctl:
                inner = env(cr=ctl)
                backend = inner["integration.backend"].browse(engine.backend_id)
                getattr(inner["integration.incident"], method)("breaker", backend, "", *arguments)

        return work

    for _turn in range(3):
        engine.together(*[turn("_raise", "Down.")] * 8)
        assert [row[:2] for row in incidents(engine)] == [("open", "")]
        assert to_dos(engine) == 1
        engine.together(*[turn("_resolve")] * 4)
        assert [row[:2] for row in incidents(engine)] == [("closed", "")]
        assert to_dos(engine) == 0


def test_older_figure_is_not_written_over_a_newer_one(engine):
    fail(engine, ["c1"])
    refresh(engine)
    fail(engine, ["c2"])
    counted, newer_is_written = threading.Event(), threading.Event()
    model = engine.registry["integration.incident"]
    failing = model._failing

    def slow_at_first(incident, flow_ids):
        rows = failing(incident, flow_ids)
        if not counted.is_set():
            counted.set()
            newer_is_written.wait(2)
        return rows

    def newer():
        assert counted.wait(300)
        fail(engine, ["c3"])
        refresh(engine)
        newer_is_written.set()

    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(model, "_failing", slow_at_first)
        engine.together(lambda: refresh(engine), newer)
    assert incidents(engine) == [("open", "broken", 3)]


def test_figures_are_right_whoever_comes_last(engine):
    """Drains fail more while people set aside: the last to finish leaves the true figure."""
    names = [f"c{number:02}" for number in range(40)]
    old = fail(engine, names)
    refresh(engine)

    def fail_more(number):
        def work():
            for step in range(5):
                fail(engine, [f"n{number}-{step}"])
                refresh(engine)

        return work

    def set_aside(ids):
        def work():
            for operation_id in ids:
                for _try in range(50):  # as Odoo does with a request that met another
                    try:
                        with engine.env() as env:
                            env["integration.sync.log"].browse(operation_id)._set_aside("x")
                        break
                    except psycopg2.errors.SerializationFailure:
                        continue
                else:
                    raise AssertionError("never came through")

        return work

    engine.together(fail_more(1), fail_more(2), set_aside(old[:20]), set_aside(old[20:]))
    assert incidents(engine) == [("open", "broken", 10)]
    assert to_dos(engine) == 1
    engine.sql("UPDATE integration_sync_log SET state = 'done' WHERE state = 'dead'")
    engine.together(*[lambda: refresh(engine)] * 4)
    assert incidents(engine) == [("closed", "broken", 10)]
    assert to_dos(engine) == 0
