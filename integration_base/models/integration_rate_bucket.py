import contextlib
import logging
import math

from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

from odoo import api, fields, models
from odoo.sql_db import Cursor
from odoo.tools import SQL

from ..lib.errors import RateLimitedError
from ..lib.token_bucket import PRIORITY, RESERVES, TOLERANCE, Bucket, RateState

_logger = logging.getLogger(__name__)


class Limiter:
    """Asks the buckets of a backend before each request, and tells them what the answer says.

    One for each HTTP client, so that one request is on its way at a time.
    """

    def __init__(self, backend):
        self._backend = backend
        self._taken, self._left = {}, {}

    def before_request(self, request):
        """Take what ``request`` costs.

        :raises RateLimitedError: when a bucket does not hold it; nothing is taken then.
        """
        self._taken, self._left = {}, {}
        connector = self._backend._connector()
        limits = connector._rate_limits(self._backend)
        if not limits:
            return
        costs = connector._rate_cost(self._backend, request)
        if costs:
            buckets = self._backend.env["integration.rate.bucket"]
            self._left = buckets._take(self._backend, limits, costs)
            self._taken = costs

    def after_response(self, request, response, error):
        """Correct the buckets by what the answer tells; never raises."""
        if not self._taken:
            return
        try:
            states = [
                state
                for state in self._backend._connector()._read_rate(self._backend, response)
                if state.name not in self._left
                or not self._left[state.name].knows(self._taken[state.name], state)
            ]
            wait = error.retry_after if isinstance(error, RateLimitedError) else 0
            if states or wait:
                self._backend.env["integration.rate.bucket"]._correct(
                    self._backend, self._taken, states, wait
                )
        except Exception:
            # the answer to a call that may have cost money is worth more than its bucket
            _logger.exception("Reading the rate limit of %s", self._backend.display_name)


class IntegrationRateBucket(models.Model):
    """How many calls a service still allows, counted for all workers and servers together.

    The rules are those of :class:`~..lib.token_bucket.Bucket`, in SQL: each change is one statement
    that commits by itself and uses the clock of the database.
    """

    _name = "integration.rate.bucket"
    _description = "Integration Rate Limit"
    _order = "backend_id, name"

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    name = fields.Char(string="Limit", required=True, readonly=True)
    capacity = fields.Float(readonly=True, help="Largest burst: what a full bucket holds.")
    per_second = fields.Float(readonly=True, help="What the service allows in the long run.")
    told_capacity = fields.Float(
        readonly=True, help="What the answers of the service say; else documented."
    )
    told_per_second = fields.Float(
        readonly=True, help="What the answers of the service say; else documented."
    )
    tokens = fields.Float(readonly=True)
    updated_at = fields.Datetime(string="Last Used", readonly=True)
    blocked_until = fields.Datetime(
        readonly=True, help="The service refused calls and asked to wait until then."
    )
    waits = fields.Integer(
        readonly=True, help="How often work had to wait because the bucket was too empty."
    )
    level = fields.Float(
        string="Left", compute="_compute_level", help="What may be used now, before its reserve."
    )

    _name_unique = models.Constraint("UNIQUE(backend_id, name)", "A backend has each limit once.")

    @api.depends("tokens", "updated_at", "capacity", "per_second")
    def _compute_level(self):
        now = fields.Datetime.now()
        for row in self:
            bucket = Bucket(row.capacity, row.per_second, row.tokens, row.updated_at or now)
            row.level = bucket.refilled(now).level

    # === BUSINESS METHODS === #

    @api.model
    def _take(self, backend, limits, costs):
        """Take tokens from several buckets, all or nothing.

        :param limits: tuple of :class:`~..lib.token_bucket.RateLimit`.
        :param dict costs: ``{name: tokens}``.
        :returns: ``{name: Bucket}`` as they are left.
        :raises RateLimitedError: with the seconds after which it pays to come back.
        """
        documented = {limit.name: limit for limit in limits}
        wanted = [(documented[name], cost) for name, cost in costs.items()]
        with self._counting_cursor() as cr:
            rows = self._take_rows(cr, backend, wanted)
            if len(rows) < len(wanted):
                self._create_missing(cr, backend, limits)
                rows = self._take_rows(cr, backend, wanted)
        # a backend that is not committed yet has no buckets, and no rush
        if len(rows) == len(wanted) and not rows[0]["granted"]:
            self._refuse(backend, rows)
        return {
            row["name"]: Bucket(
                row["capacity"], row["per_second"], row["tokens"], row["updated_at"]
            )
            for row in rows
        }

    def _refuse(self, backend, rows):
        pauses = []
        for row in rows:
            now = row["updated_at"]
            bucket = Bucket(
                row["capacity"], row["per_second"], row["tokens"], now, row["blocked_until"]
            )
            pauses.append((bucket.pause(row["cost"], PRIORITY.get(), now), row["name"]))
        pause, name = max(pauses)
        raise RateLimitedError(
            self.env._(
                "%(backend)s allows no more calls for now (limit %(limit)s is used up). Nothing "
                "was sent. The work goes on by itself in %(seconds)s s.",
                backend=backend.display_name,
                limit=name,
                seconds=math.ceil(pause),
            ),
            retry_after=pause,
        )

    @api.model
    def _take_rows(self, cr, backend, wanted):
        """Take or count a wait, in one statement; returns what was found of each bucket.

        The rows are locked in the order of their names, so that two callers never wait for each
        other, and the clock is read after that.
        """
        cr.execute(
            SQL(
                """
                WITH wanted (name, cost, capacity, per_second) AS (VALUES %(wanted)s),
                quick AS (
                    -- tokens that a crash of the database gives back do no harm
                    SELECT set_config('synchronous_commit', 'off', true)
                ), held AS (
                    SELECT b.id, b.name, b.tokens, b.updated_at, b.blocked_until,
                           COALESCE(b.told_capacity, w.capacity) AS capacity,
                           COALESCE(b.told_per_second, w.per_second) AS per_second, w.cost
                      FROM integration_rate_bucket b JOIN wanted w ON w.name = b.name
                     WHERE b.backend_id = %(backend)s
                     ORDER BY b.name
                       FOR NO KEY UPDATE OF b
                ), timed AS (
                    SELECT *, clock_timestamp() AT TIME ZONE 'UTC' AS now FROM held
                ), filled AS (
                    SELECT *, %(level)s AS level, COALESCE(blocked_until > now, false) AS blocked,
                           LEAST(cost + %(reserve)s * capacity, capacity) AS needed
                      FROM timed
                ), verdict AS (
                    SELECT bool_and(level >= needed - %(tolerance)s AND NOT blocked)
                           AND count(*) = %(count)s AS granted
                      FROM filled
                )
                UPDATE integration_rate_bucket b
                   SET tokens = CASE WHEN v.granted
                                     THEN GREATEST(0, f.level - LEAST(f.cost, f.capacity))
                                     ELSE f.level END,
                       updated_at = f.now, capacity = f.capacity, per_second = f.per_second,
                       waits = b.waits + (f.level < f.needed - %(tolerance)s OR f.blocked)::int
                  FROM filled f, verdict v, quick
                 WHERE b.id = f.id
             RETURNING b.name, b.capacity, b.per_second, b.tokens, b.updated_at, b.blocked_until,
                       f.cost, v.granted
                """,
                wanted=SQL(", ").join(
                    SQL(
                        "(%s, %s::float8, %s::float8, %s::float8)",
                        limit.name,
                        cost,
                        limit.capacity,
                        limit.per_second,
                    )
                    for limit, cost in wanted
                ),
                backend=backend.id,
                level=self._level_sql(),
                reserve=RESERVES[PRIORITY.get()],
                tolerance=TOLERANCE,
                count=len(wanted),
            )
        )
        return cr.dictfetchall()

    @api.model
    def _level_sql(self):
        """Return the level of a row at ``now``; a clock that was set back takes nothing."""
        return SQL(
            "LEAST(capacity, tokens"
            " + per_second * GREATEST(0, extract(epoch FROM now - updated_at))::float8)"
        )

    @api.model
    def _create_missing(self, cr, backend, limits):
        cr.execute(
            SQL(
                """
                INSERT INTO integration_rate_bucket
                       (backend_id, company_id, name, capacity, per_second, tokens, waits,
                        updated_at)
                SELECT b.id, b.company_id, l.name, l.capacity, l.per_second, l.capacity, 0,
                       clock_timestamp() AT TIME ZONE 'UTC'
                  FROM integration_backend b,
                       (VALUES %s) AS l (name, capacity, per_second)
                 WHERE b.id = %s
                 ORDER BY l.name
                    ON CONFLICT (backend_id, name) DO NOTHING
                """,
                SQL(", ").join(
                    SQL(
                        "(%s, %s::float8, %s::float8)", limit.name, limit.capacity, limit.per_second
                    )
                    for limit in limits
                ),
                backend.id,
            )
        )

    @api.model
    def _correct(self, backend, taken, states, wait):
        """Bring buckets in line with what an answer told, in one statement.

        :param dict taken: ``{name: tokens}`` the call has taken.
        :param states: tuple of :class:`~..lib.token_bucket.RateState`.
        :param wait: seconds for which the service refuses calls, 0 for none.
        """
        with self._counting_cursor() as cr:
            self._correct_rows(cr, backend, taken, states, wait)

    @api.model
    def _correct_rows(self, cr, backend, taken, states, wait):
        by_name = {state.name: state for state in states}
        rows = []
        for name in sorted({*by_name, *(taken if wait else ())}):
            state, cost = by_name.get(name, RateState(name)), taken.get(name, 0.0)
            rows.append(
                SQL(
                    "(%s, %s::float8, %s::float8, %s::float8, %s::float8, %s::float8)",
                    name,
                    cost - state.cost if state.cost is not None else 0.0,
                    state.available,
                    # a size of 0 is no size; the service may say so where it has no limit
                    state.capacity or None,
                    state.per_second or None,
                    wait if name in taken else 0.0,
                )
            )
        cr.execute(
            SQL(
                """
                WITH told (name, refund, available, capacity, per_second, wait)
                     AS (VALUES %(told)s),
                quick AS (
                    SELECT set_config('synchronous_commit', 'off', true)
                ), held AS (
                    SELECT b.id, b.capacity, b.per_second, b.tokens, b.updated_at, t.refund,
                           t.available, t.capacity AS told_capacity,
                           t.per_second AS told_per_second, t.wait
                      FROM integration_rate_bucket b JOIN told t ON t.name = b.name
                     WHERE b.backend_id = %(backend)s
                     ORDER BY b.name
                       FOR NO KEY UPDATE OF b
                ), timed AS (
                    SELECT *, clock_timestamp() AT TIME ZONE 'UTC' AS now FROM held
                ), filled AS (
                    SELECT *, %(level)s + refund AS level,
                           COALESCE(told_capacity, capacity) AS size
                      FROM timed
                )
                UPDATE integration_rate_bucket b
                   SET capacity = f.size,
                       per_second = COALESCE(f.told_per_second, f.per_second),
                       told_capacity = COALESCE(f.told_capacity, b.told_capacity),
                       told_per_second = COALESCE(f.told_per_second, b.told_per_second),
                       tokens = CASE WHEN f.wait > 0 THEN 0
                                     ELSE GREATEST(0, LEAST(
                                         f.size, f.available,
                                         CASE WHEN f.size = f.capacity OR f.available IS NULL
                                              THEN f.level END)) END,
                       updated_at = f.now,
                       blocked_until = CASE WHEN f.wait > 0
                                            THEN GREATEST(b.blocked_until,
                                                          f.now + f.wait * interval '1 second')
                                            ELSE b.blocked_until END
                  FROM filled f, quick
                 WHERE b.id = f.id
                """,
                told=SQL(", ").join(rows),
                backend=backend.id,
                level=self._level_sql(),
            )
        )

    @contextlib.contextmanager
    def _counting_cursor(self):
        """Open a cursor each of whose statements commits by itself.

        What was taken stays taken when the caller's transaction is rolled back, no lock is held
        while Python works, and every caller sees what the others have taken.
        """
        with self.env.registry.cursor() as cr:
            # within Odoo's tests all cursors share one transaction and have no level of their own
            if isinstance(cr, Cursor):
                cr.connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            yield cr
