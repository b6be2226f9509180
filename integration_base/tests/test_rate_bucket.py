import os
import random
import threading
import time
from contextlib import closing
from datetime import datetime, timedelta
from unittest.mock import patch

from odoo import SUPERUSER_ID, api, fields
from odoo.tests import tagged
from odoo.tools import mute_logger

from ..lib.errors import RateLimitedError, RetryableError
from ..lib.http import Request, Response
from ..lib.token_bucket import BACKFILL, LIVE, PRIORITY, Bucket, RateLimit, RateState
from ..models.integration_rate_bucket import Limiter
from .common import FakeConnectorMixin, IntegrationCase, TransactionCase

MODEL = "odoo.addons.integration_base.models.integration_rate_bucket"
# so slow that a busy machine makes no difference
CALLS = RateLimit("calls", 0.01, 100)
POINTS = RateLimit("points", 0.1, 1000)
REQUEST = Request("GET", "https://service.example.com/things")
#: Seconds of the race of four workers; longer ones tell more.
SECONDS = float(os.environ.get("INTEGRATION_RATE_SECONDS", "3"))


def priority(value):
    """Work for ``value`` in a with statement."""
    token = PRIORITY.set(value)
    return closing(type("Reset", (), {"close": lambda _self: PRIORITY.reset(token)})())


@tagged("post_install", "-at_install")
class TestRateBucket(IntegrationCase):
    def setUp(self):
        super().setUp()
        self.Bucket = self.env["integration.rate.bucket"]
        self.enterContext(self.enter_registry_test_mode())
        self.connector = self.registry["integration.connector.fake"]
        self.costs = {"calls": 1}
        self.states = ()
        for name, hook in (
            ("_rate_limits", lambda _self, _backend: (POINTS, CALLS)),
            ("_rate_cost", lambda _self, _backend, _request: self.costs),
            ("_read_rate", lambda _self, _backend, _response: self.states),
        ):
            self.startPatcher(patch.object(self.connector, name, hook, create=True))
        self.limiter = Limiter(self.backend)

    def bucket(self, name="calls"):
        self.env.invalidate_all()
        return self.backend.rate_bucket_ids.filtered(lambda row: row.name == name)

    def set(self, name="calls", seconds=0, **values):
        """Make it look as if the bucket was last used so many seconds ago."""
        row = self.bucket(name)
        row.write(values)
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE integration_rate_bucket SET updated_at ="
            " clock_timestamp() AT TIME ZONE 'UTC' - %s * interval '1 second' WHERE id = %s",
            [seconds, row.id],
        )

    def ask(self, **costs):
        if costs:
            self.costs = costs
        self.limiter.before_request(REQUEST)

    def answer(self, *states, error=None):
        self.states = states
        self.limiter.after_response(REQUEST, Response(200, {}, b"", 1), error)

    def refusal(self, **costs):
        # assertRaises would roll back what was counted
        try:
            self.ask(**costs)
        except RateLimitedError as error:
            return error
        return self.fail("the request may go")

    # === TAKING === #

    def test_first_request_makes_the_buckets(self):
        self.ask()
        self.assertEqual(self.bucket().tokens, 99)
        self.assertEqual(self.bucket("points").tokens, 1000)
        self.assertEqual((self.bucket().per_second, self.bucket().capacity), (0.01, 100))
        self.backend.fetch()
        with self.assertQueryCount(1):
            self.ask()
        self.assertAlmostEqual(self.bucket().tokens, 98, delta=0.5)

    def test_all_or_nothing(self):
        self.ask(calls=1, points=500)
        self.set("points", tokens=300)
        self.set("calls", tokens=50)
        error = self.refusal(calls=1, points=300)
        self.assertAlmostEqual(error.retry_after, 1000, delta=9)
        for text in ("Fake allows no more calls", "points", " s."):
            self.assertIn(text, error.message)
        self.assertAlmostEqual(self.bucket("points").tokens, 300, 0)
        self.assertGreaterEqual(self.bucket("calls").tokens, 50)
        self.assertEqual((self.bucket("points").waits, self.bucket("calls").waits), (1, 0))
        self.ask(calls=1, points=200)
        self.assertAlmostEqual(self.bucket("points").tokens, 100, 0)

    def test_request_that_costs_nothing_asks_nobody(self):
        self.ask()
        with self.assertQueryCount(0):
            self.costs = {}
            self.limiter.before_request(REQUEST)
            self.answer(RateState("calls", available=1))

    def test_service_without_limits_costs_nothing(self):
        self.backend.fetch()
        with (
            patch.object(self.connector, "_rate_limits", lambda _self, _backend: ()),
            self.assertQueryCount(0),
        ):
            self.limiter.before_request(REQUEST)
        self.assertFalse(self.backend.rate_bucket_ids)

    def test_backend_that_is_not_committed_yet_may_call(self):
        self.Bucket._take(self.backend.browse(2**31 - 1), (CALLS,), {"calls": 1})

    def test_live_work_overtakes_a_backfill(self):
        self.ask()
        self.set(tokens=30)
        with priority(BACKFILL):
            self.refusal(calls=2)
        self.ask(calls=2)

    def test_documented_limit_changes(self):
        self.ask()
        faster = RateLimit("calls", 500, 1000)
        with patch.object(self.connector, "_rate_limits", lambda _self, _backend: (faster,)):
            self.set(tokens=500)
            self.ask()
            self.assertEqual((self.bucket().per_second, self.bucket().capacity), (500, 1000))

    # === ANSWERS === #

    def test_answer_gives_back_and_tells(self):
        self.ask(points=600)
        self.answer(RateState("points", cost=100))
        self.assertAlmostEqual(self.bucket("points").tokens, 900, 0)
        self.answer(RateState("points", available=250))
        self.assertEqual(self.bucket("points").tokens, 250)
        self.answer(RateState("points", available=900))
        self.assertAlmostEqual(self.bucket("points").tokens, 250, 0)
        self.answer(RateState("points", 1950, 2000, 100))
        row = self.bucket("points")
        self.assertEqual((row.tokens, row.capacity, row.per_second), (1950, 2000, 100))
        self.ask(points=50)
        row = self.bucket("points")
        self.assertEqual((row.capacity, row.per_second), (2000, 100), "told is better than known")

    def test_refusal_blocks_what_the_request_took(self):
        self.ask()
        self.answer(error=RateLimitedError("slow down", retry_after=100))
        self.assertAlmostEqual(self.bucket().tokens, 0, 0)
        self.set(tokens=50)
        self.assertAlmostEqual(self.refusal().retry_after, 100, delta=9)
        self.ask(points=1)
        self.set(blocked_until=fields.Datetime.now() - timedelta(seconds=1), tokens=50)
        self.ask(calls=1)

    def test_answer_that_cannot_be_read_does_no_harm(self):
        self.ask()
        with (
            patch.object(self.connector, "_read_rate", side_effect=ZeroDivisionError),
            mute_logger(MODEL),
        ):
            self.answer(error=RetryableError("x"))

    def test_level_is_shown_as_of_now(self):
        self.ask()
        self.set(tokens=10, seconds=5000)
        self.assertAlmostEqual(self.bucket().level, 60, delta=0.5)
        self.set(tokens=10, seconds=50_000)
        self.assertEqual(self.bucket().level, 100)

    # === THE SAME RULES IN SQL === #

    def stored(self, row, extra=()):
        names = ["capacity", "per_second", "tokens", "updated_at", "blocked_until", *extra]
        self.env.cr.execute(
            f"SELECT {', '.join(names)} FROM integration_rate_bucket WHERE id = %s", [row.id]
        )
        return self.env.cr.fetchone()

    def test_sql_follows_the_rules(self):
        self.ask()
        row = self.bucket()
        dice = random.Random(7)
        base = datetime(2026, 11, 20)
        self.env.cr.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'")
        base = self.env.cr.fetchone()[0]
        for case in range(300):
            capacity, rate = dice.choice([(100, 50), (1, 1), (2000, 100), (7.5, 0.3)])
            blocked = dice.choice([None, None, -3, 5])
            before = Bucket(
                capacity,
                rate,
                dice.random() * capacity,
                base + timedelta(seconds=dice.uniform(-10, 2)),
                None if blocked is None else base + timedelta(seconds=blocked * 1000),
            )
            self.env.cr.execute(
                "UPDATE integration_rate_bucket SET capacity = %s, per_second = %s, tokens = %s,"
                " updated_at = %s, blocked_until = %s, told_capacity = NULL,"
                " told_per_second = NULL WHERE id = %s",
                [capacity, rate, before.level, before.updated_at, before.blocked_until, row.id],
            )
            work, cost = dice.choice([LIVE, BACKFILL]), dice.uniform(0.01, capacity * 1.2)
            with self.subTest(case=case, bucket=before, cost=cost, work=work), priority(work):
                if case % 2:
                    limit = RateLimit("calls", rate, capacity)
                    taken = self.Bucket._take_rows(self.env.cr, self.backend, [(limit, cost)])
                    now = self.stored(row)[3]
                    expected = before.take(cost, work, now)
                    self.assertEqual(taken[0]["granted"], expected is not None)
                    expected = expected or before.refilled(now)
                else:
                    wait = dice.choice([0, 0, 3])
                    state = RateState(
                        "calls",
                        dice.choice([None, dice.uniform(0, 2 * capacity)]),
                        dice.choice([None, capacity, capacity * 2, 0]),
                        dice.choice([None, rate, rate * 3]),
                        dice.choice([None, cost / 2, cost * 2]),
                    )
                    self.Bucket._correct_rows(
                        self.env.cr, self.backend, {"calls": cost}, (state,), wait
                    )
                    now = self.stored(row)[3]
                    expected = before.told(cost, state, now)
                    expected = expected.blocked(wait, now) if wait else expected
                capacity, rate, level, _at, until = self.stored(row)
                self.assertEqual((capacity, rate), (expected.capacity, expected.per_second))
                self.assertAlmostEqual(level, expected.level, 6)
                self.assertEqual(until, expected.blocked_until)


class Service:
    """Counts like a service that allows 50 calls a second, by a clock of its own."""

    def __init__(self, per_second, capacity):
        self.lock = threading.Lock()
        self.per_second, self.capacity = per_second, capacity
        self.level, self.at = capacity, time.monotonic()
        self.allowed = self.refused = 0

    def call(self):
        with self.lock:
            now = time.monotonic()
            self.level = min(self.capacity, self.level + (now - self.at) * self.per_second)
            self.at = now
            if self.level < 1:
                self.refused += 1
            else:
                self.level -= 1
                self.allowed += 1


@tagged("post_install", "-at_install")
class TestRateRace(FakeConnectorMixin, TransactionCase):
    """Four workers with connections of their own, against a service that counts for itself."""

    def setUp(self):
        super().setUp()
        with self.registry.cursor() as cr:
            backend = api.Environment(cr, SUPERUSER_ID, {})["integration.backend"].create(
                {"name": "Race", "connector": "fake", "base_url": "https://service.example.com"}
            )
            self.backend_id = backend.id
        self.addCleanup(self.delete_backend)
        self.remote = Service(50, 50)
        self.limits = (RateLimit("calls", 50, 50), RateLimit("other", 1000, 2000))
        self.end = time.monotonic() + SECONDS

    def delete_backend(self):
        with self.registry.cursor() as cr:
            api.Environment(cr, SUPERUSER_ID, {})["integration.backend"].browse(
                self.backend_id
            ).unlink()

    def work(self, results, seed, work=LIVE, every=0.0):
        """Call as often as possible, or regularly; notes the seconds each call was told to wait."""
        dice = random.Random(seed)
        names = dice.sample(["calls", "other"], 2)
        with self.registry.cursor() as cr, priority(work):
            env = api.Environment(cr, SUPERUSER_ID, {})
            backend = env["integration.backend"].browse(self.backend_id)
            while time.monotonic() < self.end:
                # not by the clock: on a busy machine it also counts the work of others
                waited = 0.0
                while True:
                    try:
                        costs = dict.fromkeys(names, 1)
                        env["integration.rate.bucket"]._take(backend, self.limits, costs)
                        break
                    except RateLimitedError as error:
                        waited += error.retry_after
                        time.sleep(error.retry_after)
                results.append(waited)
                time.sleep(dice.uniform(0, 0.02))  # on its way
                self.remote.call()
                time.sleep(every)

    def race(self, *workers):
        results = [[] for _worker in workers]
        threads = [
            threading.Thread(target=self.work, args=(waits, seed), kwargs=worker)
            for seed, (worker, waits) in enumerate(zip(workers, results, strict=True))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def test_four_workers_use_what_is_allowed_and_no_more(self):
        self.race({}, {}, {}, {})
        self.assertEqual(self.remote.refused, 0)
        # in a short race the margin that is never taken, and the last pause, weigh more
        self.assertGreaterEqual(self.remote.allowed, 0.95 * (50 + 50 * SECONDS) - 15)

    def test_live_work_does_not_wait_for_a_backfill(self):
        *backfills, live = self.race(*[{"work": BACKFILL}] * 3, {"every": 0.1})
        self.assertEqual(self.remote.refused, 0)
        self.assertGreater(sum(len(waits) for waits in backfills), 25 * SECONDS)
        self.assertGreater(len(live), 5 * SECONDS)
        self.assertLess(max(live), 0.2, "no live call was held up")
