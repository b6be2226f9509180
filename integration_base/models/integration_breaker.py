import logging

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL, format_datetime

from ..lib.breaker import CLOSED, HALF_OPEN, OPEN, Breaker

_logger = logging.getLogger(__name__)

#: Columns that are the state of :class:`~..lib.breaker.Breaker`, by the same names.
COLUMNS = tuple(Breaker.__dataclass_fields__)


class IntegrationBreaker(models.Model):
    """Whether the service of a backend answers; one that does not is left alone for a while.

    The rules are those of :mod:`~..lib.breaker`. While a breaker is not closed, the operations of
    its backend wait without using up attempts.
    """

    _name = "integration.breaker"
    _description = "Integration Circuit Breaker"
    _rec_name = "backend_id"
    _order = "open_until, backend_id"

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    state = fields.Selection(
        [(CLOSED, "Answers"), (OPEN, "Does not answer"), (HALF_OPEN, "Being asked")],
        required=True,
        readonly=True,
        default=CLOSED,
    )
    failures_in_row = fields.Integer(readonly=True, default=0)
    calls = fields.Integer(readonly=True, default=0)
    failures = fields.Integer(readonly=True, default=0)
    previous_calls = fields.Integer(readonly=True, default=0)
    previous_failures = fields.Integer(readonly=True, default=0)
    half_until = fields.Datetime(readonly=True)
    openings = fields.Integer(
        string="Times Stopped",
        readonly=True,
        default=0,
        help="How often it was asked in vain since it last answered, and once more.",
    )
    opened_at = fields.Datetime(string="Not Answering Since", readonly=True)
    open_until = fields.Datetime(string="Asked Again", readonly=True)
    last_error = fields.Text(readonly=True)
    recent_calls = fields.Integer(compute="_compute_recent")
    recent_failures = fields.Integer(compute="_compute_recent")
    message = fields.Text(compute="_compute_message")

    _backend_unique = models.Constraint("UNIQUE(backend_id)", "A backend has one circuit breaker.")

    # === COMPUTE METHODS === #

    @api.depends("calls", "failures", "previous_calls", "previous_failures", "half_until")
    def _compute_recent(self):
        now = fields.Datetime.now()
        for breaker in self:
            state = Breaker(
                calls=breaker.calls,
                failures=breaker.failures,
                previous_calls=breaker.previous_calls,
                previous_failures=breaker.previous_failures,
                half_until=breaker.half_until or None,
            )
            policy = breaker.backend_id._connector()._connector_breaker
            breaker.recent_calls, breaker.recent_failures = state.recent(now, policy)

    @api.depends("state", "opened_at", "open_until", "last_error", "backend_id.name")
    @api.depends_context("tz", "lang")
    def _compute_message(self):
        for breaker in self:
            breaker.message = breaker.state != CLOSED and breaker._explain()

    def _explain(self):
        """Return what the admin has to know about a service that does not answer."""
        self.ensure_one()
        return self.env._(
            "%(backend)s has not answered properly since %(since)s. It is asked again by itself, "
            "next at %(next)s. Nothing is lost: operations wait, use up no attempts, and go on "
            "when it answers. Last error: %(error)s",
            backend=self.backend_id.name,
            since=format_datetime(self.env, self.opened_at, dt_format="medium"),
            error=self.last_error or self.env._("unknown"),
            next=format_datetime(self.env, self.open_until, dt_format="medium"),
        )

    # === BUSINESS METHODS === #

    @api.model
    def _note(self, cr, backend_id, calls, failures, error=""):
        """Count the calls of one batch; one statement while the service answers.

        :param cr: control cursor (READ COMMITTED); the caller commits. A change of state is
            committed here, before people are told: other drains must not wait for a mail.
        :param int failures: those of the ``calls`` that brought no usable answer: none at all,
            5xx, or no data where data was due.
        :param str error: text of the last failure; without it that of the last failed exchange.
        """
        if not calls:
            return
        if not failures:
            cr.execute(
                "UPDATE integration_breaker SET calls = calls + %s, failures_in_row = 0"
                " WHERE backend_id = %s AND state = 'closed'"
                " AND half_until > clock_timestamp() AT TIME ZONE 'UTC'",
                [calls, backend_id],
            )
            if cr.rowcount:
                return
        # superuser: the engine's own bookkeeping, whoever made the call
        backend = api.Environment(cr, SUPERUSER_ID, {})["integration.backend"].browse(backend_id)
        before, now = self._locked(cr, backend_id, create=True)
        policy = backend._connector()._connector_breaker
        after = before.note(calls, failures, now, policy)
        if after == before:
            return
        opened = after.state == OPEN
        if opened and not error:
            error = self._last_error(cr, backend_id)
        self._store(cr, backend_id, after, error)
        if after.state != before.state:
            cr.commit()  # pylint: disable=invalid-commit
            self._announce(backend, opened)

    @api.model
    def _begin_probe(self, cr, backend_id, forced=False):
        """Let the caller ask a service that did not answer; of many callers, one at a time.

        The batch it then runs should be small, and has to end with :meth:`_note`, or where it made
        no call with :meth:`_end_probe`. A probe that does not end frees itself after a minute.

        :param cr: control cursor (READ COMMITTED); the caller commits.
        :param forced: before its time, for a person who waits.
        :returns: whether the caller is the probe; False also when the breaker is closed by now.
        """
        before, now = self._locked(cr, backend_id)
        if before is None:
            return False
        # superuser: the engine's own bookkeeping, whoever made the call
        backend = api.Environment(cr, SUPERUSER_ID, {})["integration.backend"].browse(backend_id)
        policy = backend._connector()._connector_breaker
        probing = before.begin_probe(now, policy, forced=forced)
        if probing:
            self._store(cr, backend_id, probing)
        return bool(probing)

    @api.model
    def _end_probe(self, cr, backend_id):
        """Let somebody else ask at once: the probe has ended without a call, and tells nothing.

        :param cr: control cursor (READ COMMITTED); the caller commits.
        """
        cr.execute(
            "UPDATE integration_breaker"
            "   SET state = 'open', open_until = clock_timestamp() AT TIME ZONE 'UTC'"
            " WHERE backend_id = %s AND state = 'half_open'",
            [backend_id],
        )

    @api.model
    def _close(self, backend):
        """Close the breaker of a backend whose service has just answered a person's question."""
        breaker, _now = self._locked(self.env.cr, backend.id)
        if breaker and breaker.state != CLOSED:
            self._store(self.env.cr, backend.id, Breaker())
            # sudo: whoever tests the connection makes it known, which closes the incident
            self._announce(backend.sudo(), False)

    @api.model
    def _locked(self, cr, backend_id, create=False):
        """Return the :class:`Breaker` (or None) with its row locked, and the database's time."""
        if create:
            cr.execute(
                "INSERT INTO integration_breaker (backend_id, company_id, state, failures_in_row,"
                " calls, failures, previous_calls, previous_failures, openings)"
                " SELECT id, company_id, 'closed', 0, 0, 0, 0, 0, 0"
                " FROM integration_backend WHERE id = %s ON CONFLICT (backend_id) DO NOTHING",
                [backend_id],
            )
        cr.execute(
            SQL(
                "SELECT %s FROM integration_breaker WHERE backend_id = %s FOR NO KEY UPDATE",
                SQL(", ").join(SQL.identifier(column) for column in COLUMNS),
                backend_id,
            )
        )
        row = cr.fetchone()
        # asked after the lock was had, so that it is not the time before a long wait
        cr.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'")
        return row and Breaker(*row), cr.fetchone()[0]

    @api.model
    def _store(self, cr, backend_id, breaker, error=""):
        values = {column: getattr(breaker, column) for column in COLUMNS}
        if error or breaker.state == CLOSED:
            values["last_error"] = error or None
        cr.execute(
            SQL(
                "UPDATE integration_breaker SET %s WHERE backend_id = %s",
                SQL(", ").join(
                    SQL("%s = %s", SQL.identifier(column), value)
                    for column, value in values.items()
                ),
                backend_id,
            )
        )

    @api.model
    def _last_error(self, cr, backend_id):
        cr.execute(
            "SELECT error FROM integration_exchange WHERE backend_id = %s"
            " AND (status >= 400 OR status IS NULL) ORDER BY id DESC LIMIT 1",
            [backend_id],
        )
        return (cr.fetchone() or [""])[0] or ""

    @api.model
    def _announce(self, backend, opened):
        """Tell people of an opened or closed breaker; after a closed one the work goes on."""
        env = backend.env
        env[self._name].invalidate_model()
        if not opened:
            self._release(backend)
        try:
            with env.cr.savepoint():
                Incident = env["integration.incident"]
                if opened:
                    owner = backend.user_id or env.ref("base.user_admin")
                    breaker = env[self._name].search([("backend_id", "=", backend.id)])
                    message = breaker.with_context(tz=owner.tz or "UTC", lang=owner.lang)._explain()
                    Incident._raise("breaker", backend, key="breaker", message=message)
                else:
                    Incident._resolve("breaker", backend, key="breaker")
        except Exception:
            # the service is spared or used again, whether people hear of it or not
            _logger.exception("Telling about the circuit breaker of backend %s", backend.id)

    @api.model
    def _release(self, backend):
        """Make due what failed for technical reasons and waits to be tried again."""
        backend.env.cr.execute(
            "UPDATE integration_sync_log o"
            "   SET next_attempt_at = clock_timestamp() AT TIME ZONE 'UTC'"
            "  FROM integration_flow f"
            " WHERE f.id = o.flow_id AND f.backend_id = %s AND o.state = 'pending'"
            "   AND o.error_class = 'retryable'"
            "   AND o.next_attempt_at > clock_timestamp() AT TIME ZONE 'UTC'",
            [backend.id],
        )
        backend.flow_ids._wake_after_commit()

    # === ACTIONS === #

    def action_probe_now(self):
        """Ask the service again now, with one of the operations that wait.

        :raises UserError: when the user may not.
        """
        if not self.env.user.has_group("integration_base.group_integration_operator"):
            raise UserError(self.env._("Only integration operators may ask the service again."))
        self.check_access("read")
        waiting = self.filtered(lambda breaker: breaker.state != CLOSED)
        # sudo: nobody writes breakers by hand, this is the one thing operators may change
        waiting.sudo().open_until = fields.Datetime.now()
        waiting.backend_id.flow_ids._wake_after_commit()
