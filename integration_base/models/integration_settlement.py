import logging
import traceback
from datetime import timedelta

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import RedirectWarning, UserError
from odoo.tools import SQL

from ..lib.backoff import next_delay
from ..lib.digest import fingerprint
from ..lib.errors import (
    PAUSING,
    DependencyError,
    IntegrationError,
    KeyUnavailable,
    MappingError,
    MissingScopeError,
    NotReadyError,
    RateLimitedError,
    RetryableError,
    SkipRecord,
)
from ..lib.records import Change
from .integration_engine import DATABASE_AWAY, LeaseLost, concerns_all
from .integration_sync_log import LIVE_PRIORITY

_logger = logging.getLogger(__name__)


class IntegrationSettlement(models.AbstractModel):
    """Writes what became of operations.

    Success is written in the transaction that holds the effect; everything else through the
    control cursor, because it must survive the rollback of the work.
    """

    _name = "integration.settlement"
    _description = "Integration Settlement"

    # === SUCCESS === #

    def _finish(self, cr, batch, items):
        """Mark the items done in the transaction that holds their effect.

        :raises LeaseLost: when one of them is no longer ours; everything is rolled back.
        """
        if not items:
            return
        rows = SQL(", ").join(
            SQL(
                "(%s, %s, %s, %s, %s, %s::timestamp, %s)",
                item.operation_id,
                item.label or None,
                "\n".join(item.notes) or (None if item.changed else self.env._("Unchanged.")),
                item.record._name if item.record else None,
                item.record.id if item.record else None,
                item.updated_at,
                item.external_id or None,
            )
            for item in items
        )
        cr.execute(
            SQL(
                """
                WITH done AS (
                    UPDATE integration_sync_log o
                       SET state = 'done', claim_token = NULL, claimed_until = NULL,
                           error_class = NULL, detail = NULL, payload = NULL, fingerprint = NULL,
                           first_failed_at = NULL, waiting_since = NULL, depends_on = NULL,
                           edited_payload = NULL,
                           finished_at = clock_timestamp() AT TIME ZONE 'UTC',
                           label = COALESCE(v.label, o.label), message = v.message,
                           external_id = COALESCE(o.external_id, v.external_id),
                           res_model = v.res_model, res_id = v.res_id::int,
                           external_updated_at = COALESCE(v.updated_at, o.external_updated_at)
                      FROM (VALUES %(rows)s) AS v(id, label, message, res_model, res_id, updated_at,
                                                  external_id)
                     WHERE o.id = v.id AND o.claim_token = %(token)s
                 RETURNING o.id, o.key, o.external_id
                ), superseded AS (
                    UPDATE integration_sync_log old
                       SET state = 'merged', merged_into_id = done.id
                      FROM done
                     WHERE old.flow_id = %(flow)s AND old.key = done.key AND old.state = 'dead'
                       AND old.id < done.id
                 RETURNING old.id
                ), released AS (
                    UPDATE integration_sync_log
                       SET depends_on = NULL,
                           next_attempt_at = clock_timestamp() AT TIME ZONE 'UTC'
                     WHERE backend_id = %(backend)s AND state = 'pending'
                       AND depends_on IN (SELECT %(resource)s || '/' || external_id FROM done)
                 RETURNING flow_id
                )
                SELECT (SELECT count(*) FROM done), (SELECT count(*) FROM superseded),
                       ARRAY(SELECT DISTINCT flow_id FROM released)
                """,
                rows=rows,
                token=batch.token,
                flow=batch.flow_id,
                backend=batch.backend_id,
                resource=batch.facts.resource,
            )
        )
        finished, superseded, released = cr.fetchone()
        if finished != len(items):
            raise LeaseLost
        if superseded or released:
            # superuser: what became of work is written by the engine only
            env = api.Environment(cr, SUPERUSER_ID, {})
            if superseded:
                env["integration.incident"]._refresh([batch.flow_id])
            if set(released) - {batch.flow_id}:
                env["integration.engine"]._wake_after_commit(set(released) - {batch.flow_id})

    def _supersede(self, cr, flow_id, operation_ids):
        """Close older failures of the records whose newer operation has ended.

        :returns: whether there were any, so that their incident has to be refreshed.
        """
        cr.execute(
            SQL(
                """
                UPDATE integration_sync_log old
                   SET state = 'merged', merged_into_id = new.id
                  FROM integration_sync_log new
                 WHERE new.id = ANY(%s) AND old.flow_id = %s AND old.key = new.key
                   AND old.state = 'dead' AND old.id < new.id
                """,
                list(operation_ids),
                flow_id,
            )
        )
        return bool(cr.rowcount)

    def _close_older(self, cr, batch, operation_ids):
        if self._supersede(cr, batch.flow_id, operation_ids):
            # superuser: incidents are kept by the engine only
            env = api.Environment(cr, SUPERUSER_ID, {})
            env["integration.incident"]._refresh([batch.flow_id])

    # === FAILURE (control cursor) === #

    def _fail_items(self, batch, items):
        """Write what became of items that failed alone; commits."""
        self._fail(batch, [(batch.by_id[item.operation_id], item.error, item) for item in items])

    def _fail(self, batch, failures):
        """Write what became of failed operations; commits.

        Whatever an error contains, its operation ends in a state: an exception from here would
        look like a dead process, and take the neighbours with it.

        :param failures: tuples ``(operation, error)`` or ``(operation, error, item)``.
        """
        if not failures:
            return
        batch.stopped |= any(concerns_all(error) for _operation, error, *_item in failures)
        try:
            tell = self._settle(batch, failures)
        except DATABASE_AWAY:
            raise
        except Exception as problem:
            _logger.exception("flow %s: settling %s failures", batch.flow_id, len(failures))
            batch.ctl.rollback()
            if len(failures) > 1:
                for failure in failures:
                    self._fail(batch, [failure])
                return
            operation = failures[0][0]
            message = self.env._(
                "This record failed, and the reason could not be stored (%s). Nothing was changed "
                "in Odoo. Show this page to your integrator.",
                type(problem).__name__,
            )
            self._end(batch, operation, "dead", IntegrationError(message))
            batch.ctl.commit()  # pylint: disable=invalid-commit
            tell = True
        if tell:
            self._tell(batch, [error for _operation, error, *_item in failures])

    def _tell(self, batch, errors):
        """Tell the people in charge; what became of the operations is committed before.

        The next failure tells again what cannot be told now.
        """
        try:
            # superuser: incidents are kept by the engine only
            env = api.Environment(batch.ctl, SUPERUSER_ID, {"mail_notify_force_send": False})
            refused = [error for error in errors if isinstance(error, PAUSING)]
            backend = env["integration.backend"].browse(batch.backend_id)
            if any(isinstance(error, MissingScopeError) for error in errors):
                env["integration.scope"]._refresh(backend)
            if refused:
                backend._tell_paused(self._describe(batch, None, refused[0])[1])
            env["integration.incident"]._refresh([batch.flow_id])
            batch.ctl.commit()  # pylint: disable=invalid-commit
        except DATABASE_AWAY:
            raise
        except Exception:
            _logger.exception("flow %s: telling of its failures", batch.flow_id)
            batch.ctl.rollback()

    def _settle(self, batch, failures):
        """Write what became of failed operations; returns whether people have to know."""
        # superuser: what became of work is written by the engine only
        env = api.Environment(batch.ctl, SUPERUSER_ID, {})
        flow = env["integration.flow"].browse(batch.flow_id)
        silent = self._is_silent(batch, [error for _operation, error, *_item in failures])
        ended, refused = [], []
        for operation, error, *item in failures:
            if isinstance(error, (RateLimitedError, KeyUnavailable)):
                self._slow_down(batch, operation, error)
            elif isinstance(error, PAUSING):
                self._postpone(batch, [operation], 0, error)
                flow.backend_id._set_paused(self._describe(batch, operation, error)[1])
            elif isinstance(error, MissingScopeError):
                self._postpone(batch, [operation], 0, error)
                refused += error.scopes
            elif isinstance(error, SkipRecord):
                self._end(batch, operation, "skipped", error, *item)
                ended.append(operation["id"])
            elif isinstance(error, NotReadyError) and self._is_young(
                flow, operation["waiting_since"]
            ):
                self._wait(batch, flow, operation, error)
            elif silent and self._is_technical(error):
                # it waits until the service answers; that is nothing it is to blame for
                self._postpone(batch, [operation], 0, error)
            elif (
                self._is_technical(error)
                and operation["attempts"] < flow.max_attempts
                and self._is_young(flow, operation["first_failed_at"])
            ):
                self._retry_later(batch, flow, operation, error)
            else:
                self._end(batch, operation, "dead", error, *item)
                ended.append(operation["id"])
                if operation["kind"] == "listing":
                    # the page it stopped at may be what the service refuses
                    flow.cursor_page = False
        if refused:
            flow._note_refused(refused)
        env.flush_all()
        self._supersede(batch.ctl, batch.flow_id, ended)
        batch.ctl.commit()  # pylint: disable=invalid-commit
        return bool(ended) or any(
            isinstance(error, (*PAUSING, MissingScopeError)) for _op, error, *_item in failures
        )

    def _is_silent(self, batch, errors):
        """Whether the circuit breaker leaves the service alone, now that it knows of the errors."""
        technical = [error for error in errors if isinstance(error, RetryableError)]
        if not technical:
            return False
        # an answer that was no data looks like any other among the exchanges
        useless = any(error.outcome == "unknown" for error in technical)
        self._note_calls(batch, useless, self._describe(batch, None, technical[0])[1])
        batch.ctl.execute(
            "SELECT state <> 'closed' FROM integration_breaker WHERE backend_id = %s",
            [batch.backend_id],
        )
        return bool((batch.ctl.fetchone() or [False])[0])

    def _note_calls(self, batch, useless=False, error=""):
        """Tell the circuit breaker of the calls it has not counted yet.

        :param bool useless: whether at least one brought nothing, whatever its status.
        """
        fresh = [exchange for _backend, _company, exchange in batch.exchanges[batch.noted :]]
        batch.noted = len(batch.exchanges)
        failures = sum(x.status is None or x.status >= 500 for x in fresh)
        if fresh and useless:
            failures = max(failures, 1)
        if batch.probe and not batch.exchanges:
            # it had nothing to ask: the next operation is the probe
            self.env["integration.breaker"]._end_probe(batch.ctl, batch.backend_id)
        self.env["integration.breaker"]._note(
            batch.ctl, batch.backend_id, len(fresh), failures, error
        )

    def _is_technical(self, error):
        return isinstance(error, (RetryableError, *DATABASE_AWAY))

    def _is_young(self, flow, since):
        """Whether something may go on failing or waiting that does so since then (None: new)."""
        return not since or fields.Datetime.now() - since < timedelta(hours=flow.max_age_hours)

    def _describe(self, batch, operation, error, item=None):
        """Return ``(error class, text for the clerk, technical detail)``, without secrets."""
        kind, message, detail = self._explain(operation, error, item)
        if batch.mask is None:
            batch.mask = self.env["integration.credential"]._mask(batch.backend_id)
        storable = self.env["integration.engine"]._storable
        return (
            kind,
            storable(message and batch.mask(message)),
            storable(detail and batch.mask(detail)),
        )

    def _explain(self, operation, error, item):
        if isinstance(error, IntegrationError):
            return error.error_class, error.message, error.detail
        if isinstance(error, UserError | RedirectWarning):
            reason = str(error.args[0]) if isinstance(error, RedirectWarning) else str(error)
            return (
                "odoo",
                self.env._(
                    "%(record)s: Odoo does not accept it: %(reason)s Nothing was changed. Solve "
                    "that in Odoo, then press Retry.",
                    record=(item and item.label) or operation["label"] or operation["external_id"],
                    reason=f"{reason.rstrip().rstrip('.')}.",
                ),
                "".join(traceback.format_exception(error)),
            )
        if self._is_technical(error):
            return "retryable", self.env._("The database was not available."), str(error)
        detail = "".join(traceback.format_exception(error))
        return (
            "bug",
            self.env._(
                "An error nobody expected: %(error)s. Nothing was changed in Odoo. Press Retry "
                "once; if it fails again, show this page to your integrator.",
                error=f"{type(error).__name__}: {error}",
            ),
            detail,
        )

    # === WAITING === #

    def _slow_down(self, batch, operation, error):
        """Let the flow wait as long as the service, our own limit or a missing key asks for.

        Work that has time waits for itself: what is live may still be allowed. As one gate, not
        operation by operation: a long backlog would be gone through in vain.
        """
        gate = "blocked_until" if batch.priority <= LIVE_PRIORITY else "heavy_from"
        batch.ctl.execute(
            SQL(
                "UPDATE integration_flow SET %(gate)s = GREATEST(%(gate)s,"
                " (clock_timestamp() + %(seconds)s * interval '1 second') AT TIME ZONE 'UTC')"
                " WHERE id = %(flow)s",
                gate=SQL.identifier(gate),
                seconds=error.retry_after,
                flow=batch.flow_id,
            )
        )
        self._postpone(batch, [operation], error.retry_after, error)

    def _wait(self, batch, flow, operation, error):
        """Let the operation wait for what is not ready, and see to it that it comes."""
        self._postpone(batch, [operation], error.retry_after, error)
        if not isinstance(error, DependencyError):
            return
        source = flow.backend_id.flow_ids.filtered(
            lambda f: f.resource == error.resource and f.direction == "in" and f.enabled
        )[:1]
        batch.ctl.execute(
            "UPDATE integration_sync_log SET depends_on = %s WHERE id = %s AND state = 'pending'",
            [f"{error.resource}/{error.external_id}", operation["id"]],
        )
        if not source:
            return
        batch.ctl.execute(
            "SELECT 1 FROM integration_sync_log WHERE flow_id = %s AND key = %s"
            " AND state IN ('pending', 'running', 'dead') LIMIT 1",
            [source.id, error.external_id],
        )
        if not batch.ctl.fetchone():
            flow.env["integration.sync.log"]._append(
                source, [Change(error.external_id)], "dependency"
            )
            source._wake_after_commit()

    def _postpone(self, batch, operations, seconds, error=None):
        """Make the operations due again later, without using up an attempt.

        :param error: what they wait for, shown to people meanwhile.
        """
        kind, message = self._describe(batch, None, error)[:2] if error else (None, None)
        batch.ctl.execute(
            SQL(
                """
                UPDATE integration_sync_log
                   SET state = 'pending', attempts = GREATEST(attempts - 1, 0),
                       claim_token = NULL, claimed_until = NULL,
                       error_class = COALESCE(%s, error_class), message = COALESCE(%s, message),
                       waiting_since = CASE WHEN %s
                                            THEN COALESCE(waiting_since,
                                                          clock_timestamp() AT TIME ZONE 'UTC')
                                       END,
                       next_attempt_at = (clock_timestamp() + %s * interval '1 second')
                                         AT TIME ZONE 'UTC'
                 WHERE id = ANY(%s) AND claim_token = %s
                """,
                kind,
                message,
                isinstance(error, NotReadyError),
                seconds,
                [op["id"] for op in operations],
                batch.token,
            )
        )

    def _retry_later(self, batch, flow, operation, error):
        delay = next_delay(
            operation["attempts"], base=flow.retry_seconds, cap=flow.retry_max_seconds
        )
        delay = max(delay, getattr(error, "retry_after", None) or 0)
        kind, message, detail = self._describe(batch, operation, error)
        self._log_attempt(batch, operation, kind, message)
        batch.ctl.execute(
            SQL(
                """
                UPDATE integration_sync_log
                   SET state = 'pending', claim_token = NULL, claimed_until = NULL,
                       error_class = %s, message = %s, detail = %s,
                       first_failed_at = COALESCE(first_failed_at,
                                                  clock_timestamp() AT TIME ZONE 'UTC'),
                       next_attempt_at = (clock_timestamp() + %s * interval '1 second')
                                         AT TIME ZONE 'UTC'
                 WHERE id = %s AND claim_token = %s
                """,
                kind,
                message,
                detail,
                delay,
                operation["id"],
                batch.token,
            )
        )

    def _end(self, batch, operation, state, error, item=None):
        kind, message, detail = self._describe(batch, operation, error, item)
        # superuser: what became of work is written by the engine only
        Operation = api.Environment(batch.ctl, SUPERUSER_ID, {})["integration.sync.log"]
        payload = None
        if item and state == "dead":
            payload = self.env["integration.engine"]._storable(
                Operation._payload_text(item.payload)
            )
        # what the service sent stays beside what a person made of it
        edited = state == "dead" and bool(operation["edited_payload"])
        if state == "dead":
            self._log_attempt(batch, operation, kind, message)
        batch.ctl.execute(
            SQL(
                """
                UPDATE integration_sync_log o
                   SET state = %s, claim_token = NULL, claimed_until = NULL, error_class = %s,
                       message = %s, detail = %s, fingerprint = %s,
                       (res_model, res_id) = (
                           SELECT COALESCE(o.res_model, link.res_model),
                                  COALESCE(o.res_id, link.res_id)
                             FROM (SELECT) AS one LEFT JOIN integration_binding link
                               ON link.backend_id = o.backend_id AND link.resource = o.resource
                              AND link.external_id = o.external_id),
                       payload = CASE WHEN %s THEN payload ELSE %s END,
                       edited_payload = CASE WHEN %s THEN edited_payload END,
                       label = COALESCE(%s, label),
                       external_updated_at = COALESCE(%s, external_updated_at),
                       finished_at = clock_timestamp() AT TIME ZONE 'UTC'
                 WHERE id = %s AND claim_token = %s
                """,
                state,
                kind,
                message,
                detail,
                fingerprint(
                    kind,
                    message or "",
                    about=(
                        item and item.label,
                        operation["label"],
                        operation["external_id"],
                        *getattr(error, "candidates", ()),
                    ),
                ),
                edited,
                payload,
                edited,
                self.env["integration.engine"]._storable(item and item.label),
                (item and item.updated_at) or None,
                operation["id"],
                batch.token,
            )
        )
        if batch.ctl.rowcount and isinstance(error, MappingError):
            Operation.invalidate_model()
            Operation.browse(operation["id"])._wait_for_mappings(error.missing)

    def _log_attempt(self, batch, operation, kind, message):
        batch.ctl.execute(
            SQL(
                """
                INSERT INTO integration_sync_attempt
                       (operation_id, company_id, at, duration_ms, status, error_class, message,
                        batch_ref)
                SELECT id, company_id, clock_timestamp() AT TIME ZONE 'UTC',
                       extract(epoch FROM clock_timestamp() AT TIME ZONE 'UTC' - started_at) * 1000,
                       %s, %s, %s, batch_ref
                  FROM integration_sync_log WHERE id = %s AND claim_token = %s
                """,
                batch.failed_status,
                kind,
                message,
                operation["id"],
                batch.token,
            )
        )

    def _note_seen(self, batch, items):
        """Collect optional values without a mapping, with their count."""
        seen = [value for item in items for value in item.seen]
        if seen:
            # superuser: the engine collects what people map later
            env = api.Environment(batch.ctl, SUPERUSER_ID, {})
            flow = env["integration.flow"].browse(batch.flow_id)
            env["integration.mapping"]._collect(flow.backend_id, seen)
            env.flush_all()
            batch.ctl.commit()  # pylint: disable=invalid-commit
