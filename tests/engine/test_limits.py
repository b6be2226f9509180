"""Many workers at one breaker and at one bucket."""

from odoo.addons.integration_base.lib.token_bucket import RateLimit

WORKERS = 8


def at_breaker(engine, method, *arguments):
    """Return a function that calls a method of the breaker as a drain does."""

    def work():
        with engine.env() as env, env["integration.engine"]._control_cursor() as ctl:
            return getattr(env["integration.breaker"], method)(ctl, engine.backend_id, *arguments)

    return work


def breaker(engine):
    return engine.sql("SELECT state, openings, calls FROM integration_breaker")


def test_first_calls_at_once_are_all_counted(engine):
    engine.together(*[at_breaker(engine, "_note", 3, 0)] * WORKERS)
    assert breaker(engine) == [("closed", 0, 3 * WORKERS)]


def test_failures_at_once_open_it_once(engine):
    engine.together(*[at_breaker(engine, "_note", 1, 1)] * WORKERS)
    assert breaker(engine) == [("open", 1, 0)]
    incidents = engine.sql("SELECT state FROM integration_incident WHERE kind = 'breaker'")
    assert incidents == [("open",)]


def test_one_of_many_is_the_probe(engine):
    at_breaker(engine, "_note", 5, 5)()
    assert not any(engine.together(*[at_breaker(engine, "_begin_probe")] * WORKERS))
    engine.make_due()
    probes = engine.together(*[at_breaker(engine, "_begin_probe")] * WORKERS)
    assert sorted(probes) == [False] * (WORKERS - 1) + [True]


def test_first_takes_at_once_make_one_bucket_each_and_all_count(engine):
    limits = (RateLimit("a", 0.001, 100), RateLimit("b", 0.001, 100))
    orders = ({"a": 1, "b": 2}, {"b": 2, "a": 1})

    def take(number):
        def work():
            with engine.env() as env:
                backend = env["integration.backend"].browse(engine.backend_id)
                for _ in range(5):
                    env["integration.rate.bucket"]._take(backend, limits, orders[number % 2])

        return work

    engine.together(*(take(number) for number in range(WORKERS)))
    left = engine.sql("SELECT name, round(tokens) FROM integration_rate_bucket ORDER BY name")
    assert left == [("a", 100 - 5 * WORKERS), ("b", 100 - 10 * WORKERS)]
