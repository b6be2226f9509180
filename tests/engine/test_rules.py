"""The rules of the engine, whatever happens in whatever order: random stories on a database."""

import random
from contextlib import suppress
from datetime import datetime, timedelta
from unittest.mock import patch

import psycopg2
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from odoo.addons.integration_base.lib.errors import (
    AuthError,
    ConflictError,
    NotReadyError,
    RateLimitedError,
    RetryableError,
)
from odoo.addons.integration_base.models.integration_engine import LOCK_SLOT

NAMES = [f"c{number}" for number in range(6)]
names = st.sampled_from(NAMES)
START = datetime(2026, 11, 1)


class Story(RuleBasedStateMachine):
    """Records change at the service; notifications, drains, faults and people do what they like."""

    engine = None

    @initialize()
    def begin(self):
        self.engine.reset()
        self.service = self.engine.service
        self.clock = 0
        self.shown = {}

    def _version(self, number):
        return START + timedelta(minutes=number)

    # === THE SERVICE === #

    @rule(name=names, told=st.booleans())
    def change(self, name, told):
        """A record changes; its notification may be lost."""
        self.clock += 1
        self.service.put(name, f"{name} v{self.clock}", self._version(self.clock))
        if told:
            self.engine.append(name, updated_at=self._version(self.clock))

    @rule(name=names, age=st.integers(0, 5), times=st.integers(1, 3))
    def notify_late_or_again(self, name, age, times):
        """A notification arrives late, out of order or more than once."""
        if name in self.service.records:
            for _time in range(times):
                self.engine.append(name, updated_at=self._version(max(self.clock - age, 0)))

    @rule(name=names)
    def break_down(self, name):
        """The service fails for everybody who asks for the record."""
        self.service.fetch_errors[name] = RetryableError("HTTP 500")

    @rule(name=names)
    def be_slow(self, name):
        self.service.fetch_errors[name] = RateLimitedError("Too many requests", retry_after=5)

    @rule(name=names)
    def be_unready(self, name):
        self.service.fetch_errors[name] = NotReadyError("In production", retry_after=5)

    @rule(name=names)
    def refuse_credentials(self, name):
        self.service.fetch_errors[name] = AuthError("The token was revoked.")

    @rule()
    def recover(self):
        self.service.fetch_errors.clear()

    # === ODOO === #

    @rule(name=names)
    def refuse_in_odoo(self, name):
        """Odoo will not take the record until somebody solves that."""
        self.service.apply_errors[name] = ConflictError("Two orders claim it.")

    @rule()
    def solve(self):
        self.service.apply_errors.clear()

    @rule()
    def drain(self):
        self.engine.drain()

    @rule()
    def two_drains(self):
        self.engine.together(self.engine.drain, self.engine.drain)

    @rule()
    def listing(self):
        """The service is asked what changed."""
        with self.engine.env() as env:
            flow = env["integration.flow"].browse(self.engine.flow_id)
            env["integration.sync.log"]._append_paged(flow, "listing", "schedule")

    @rule(size=st.sampled_from([1, 2, 50]))
    def resize(self, size):
        self.engine.sql("UPDATE integration_flow SET batch_size = %s", size)

    @rule()
    def crash_after_claim(self):
        """The process dies with a claimed batch; nothing of it was written."""
        with self.engine.env() as env, env["integration.engine"]._control_cursor() as ctl:
            model = env["integration.engine"]
            with model._slot(ctl, LOCK_SLOT, self.engine.flow_id, range(1)) as slot:
                if slot is not None:
                    model._claim(ctl, model._facts(ctl, self.engine.flow_id), slot)

    @rule()
    def crash_before_commit(self):
        """The process dies when everything is written and nothing committed."""
        settlement = self.engine.registry["integration.settlement"]
        with (
            patch.object(settlement, "_finish", side_effect=KeyboardInterrupt),
            suppress(KeyboardInterrupt),
        ):
            self.engine.drain()

    @rule()
    def conflict(self):
        """Another transaction is in the way now and then."""
        contact = self.engine.registry["integration.fake.contact"]
        apply = contact._apply
        draw = random.Random(self.clock)

        def disturbed(resource, backend, items):
            if draw.random() < 0.4:
                raise psycopg2.errors.SerializationFailure
            return apply(resource, backend, items)

        with patch.object(contact, "_apply", disturbed):
            self.engine.drain()

    @rule()
    def sweep(self):
        self.engine.sweep()

    @rule()
    def wait(self):
        self.engine.make_due()

    # === PEOPLE === #

    @rule()
    def pause(self):
        self.engine.sql("UPDATE integration_backend SET state = 'paused'")

    @rule()
    def resume(self):
        with self.engine.env() as env:
            env["integration.backend"].browse(self.engine.backend_id).action_resume()

    @rule(on=st.booleans())
    def switch(self, on):
        self.engine.sql("UPDATE integration_flow SET enabled = %s", on)

    @rule()
    def retry_all(self):
        with self.engine.env() as env:
            dead = env["integration.sync.log"].search([("state", "=", "dead")])
            dead._requeue()

    # === WHAT ALWAYS HOLDS === #

    @invariant()
    def nothing_twice(self):
        assert all(len(found) == 1 for found in self.engine.partners().values())
        assert not self.engine.sql(
            "SELECT key FROM integration_sync_log WHERE state = 'running'"
            " GROUP BY flow_id, key HAVING count(*) > 1"
        )

    @invariant()
    def newer_is_never_replaced_by_older(self):
        for ref, [name] in self.engine.partners().items():
            version = int(name.rpartition("v")[2])
            assert version >= self.shown.get(ref, 0), f"{ref} went back to {version}"
            self.shown[ref] = version

    @invariant()
    def effect_and_state_agree(self):
        """What is done was written, and what was written is done or superseded."""
        done = {
            row[0]
            for row in self.engine.sql(
                "SELECT DISTINCT key FROM integration_sync_log"
                " WHERE state = 'done' AND kind = 'record'"
            )
        }
        bound = {row[0] for row in self.engine.sql("SELECT external_id FROM integration_binding")}
        assert done == bound == set(self.engine.partners())

    @invariant()
    def failures_are_shown_once(self):
        """One open incident per cause, as long as there are failures."""
        dead = self.engine.sql(
            "SELECT count(DISTINCT fingerprint) FROM integration_sync_log WHERE state = 'dead'"
        )
        shown = self.engine.sql(
            "SELECT count(*) FROM integration_incident WHERE state = 'open' AND kind = 'failures'"
        )
        assert shown == dead

    def teardown(self):
        """Everything works again: both sides become equal without anybody's doing."""
        if not hasattr(self, "service"):
            return
        self.service.fetch_errors.clear()
        self.service.apply_errors.clear()
        self.resume()
        self.switch(True)
        self.retry_all()
        self.listing()
        for _round in range(12):
            self.engine.make_due()
            self.engine.sweep()
            self.engine.drain()
        expected = {name: [row["name"]] for name, row in self.service.records.items()}
        assert self.engine.partners() == expected
        self.nothing_twice()
        left = [s for states in self.engine.states().values() for s in states]
        assert not {"pending", "running", "dead"} & set(left), self.engine.states()
        assert not self.engine.sql(
            "SELECT kind, message FROM integration_incident WHERE state = 'open'"
        )


def test_rules_hold_in_every_story(engine):
    story = type("StoryOnDatabase", (Story,), {"engine": engine})
    run_state_machine_as_test(
        story,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            # to shorten a failing story takes minutes on a database
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
