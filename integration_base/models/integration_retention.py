import time
from dataclasses import dataclass
from datetime import timedelta

from markupsafe import Markup

from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import SQL, format_date, format_datetime, formatLang

#: Rows deleted by one statement; it holds their locks for some hundredths of a second.
BATCH = 2000
MEGABYTE = 1024 * 1024
#: Longest that somebody waits who has pressed Clean Up Now; the cron does the rest.
FOREGROUND_SECONDS = 20

#: Of an operation ``o`` that is not over, or that a person has to look at.
_OPEN = "o.state IN ('pending', 'running', 'dead')"


@dataclass(frozen=True)
class Kind:
    """One kind of data that is deleted after a time.

    :param code: its name in figures.
    :param table: where it is; the conditions are SQL over its alias ``r``.
    :param ended_at: since when a row is of no use but as evidence.
    :param which: the rows that are meant.
    :param keep: the rows that stay, whatever their age.
    :param size: bytes of a row, without reading its large values.
    :param days: field of the backend with the days it is kept, 0 for ever.
    :param megabytes: field of the backend with the most it may take, 0 for any; None for no limit.
    """

    code: str
    table: str
    ended_at: str
    which: str
    keep: str
    size: str
    days: str
    megabytes: str | None = None


def _size(*columns):
    large = " + ".join(f"COALESCE(pg_column_size(r.{column}), 0)" for column in columns)
    return f"(300 + {large})"


#: Operations first: the events and exchanges they needed are free then.
KINDS = (
    Kind(
        "operations",
        "integration_sync_log",
        "COALESCE(r.finished_at, r.create_date)",
        "r.state IN ('done', 'merged', 'skipped')",
        "false",
        _size("message", "detail", "payload", "edited_payload"),
        "keep_done_days",
        "keep_done_mb",
    ),
    Kind(
        "failures",
        "integration_sync_log",
        "COALESCE(r.finished_at, r.create_date)",
        "r.state IN ('dead', 'ignored')",
        "false",
        _size("message", "detail", "payload", "edited_payload"),
        "keep_failed_days",
    ),
    Kind(
        "events",
        "integration_webhook_event",
        "r.received_at",
        "true",
        "EXISTS (SELECT 1 FROM integration_sync_log o"
        f"        WHERE o.webhook_event_id = r.id AND {_OPEN})"
        " OR EXISTS (SELECT 1 FROM integration_privacy_request p"
        "             WHERE p.event_id = r.id AND p.state NOT IN ('done', 'closed'))",
        _size("body", "message"),
        "keep_events_days",
        "keep_events_mb",
    ),
    Kind(
        "exchanges",
        "integration_exchange",
        "r.at",
        "true",
        f"EXISTS (SELECT 1 FROM integration_sync_log o WHERE o.batch_ref = r.batch_ref AND {_OPEN})"
        " OR EXISTS (SELECT 1 FROM integration_sync_attempt a"
        "              JOIN integration_sync_log o ON o.id = a.operation_id"
        f"            WHERE a.batch_ref = r.batch_ref AND {_OPEN})",
        _size("request_headers", "request_body", "response_headers", "response_body"),
        "keep_exchanges_days",
        "keep_exchanges_mb",
    ),
)


class IntegrationRetention(models.AbstractModel):
    """Deletes what each backend keeps longer, or in larger amounts, than its settings say.

    Never an operation that is not over, and never an event or exchange such a one (or a failed
    one) goes back to. Bindings and intents stay: they keep things from happening twice.
    Each batch is one statement in a transaction of its own, which waits for nobody.
    """

    _name = "integration.retention"
    _description = "Integration Retention"

    @api.model
    def _cron_clean_up(self):
        """Clean up all backends, the archived ones too; goes on with the next run if it has to."""
        Cron = self.env["ir.cron"]
        for backend in self.env["integration.backend"].search([("active", "in", (True, False))]):
            for _kind, deleted in self._delete(backend):
                if not Cron._commit_progress(deleted, remaining=1):
                    return
            self._measure(backend)
        Cron._commit_progress(remaining=0)

    @api.model
    def _clean_up_now(self, backend):
        """Delete what is over the limits of a backend, for a user who waits.

        :returns: a sentence that says what was deleted.
        """
        counts, done = self._clean_up(backend)
        names = self._names()
        deleted = ", ".join(f"{names[code]}: {count}" for code, count in counts.items() if count)
        message = (
            self.env._("Deleted: %s.", deleted)
            if deleted
            else self.env._("Nothing is older or larger than it may be.")
        )
        if done:
            return message
        # sudo: scheduled actions are for administrators
        self.env.ref("integration_base.ir_cron_retention").sudo()._trigger()
        return f"{message} {self.env._('There is more; it is deleted in the background.')}"

    @api.model
    def _clean_up(self, backend, seconds=FOREGROUND_SECONDS):
        """Delete what is over the limits of a backend.

        :param seconds: time after which the rest is left to the cron.
        :returns: ``({code of the kind: rows deleted}, whether all is done)``.
        """
        end = time.monotonic() + seconds
        counts = dict.fromkeys((kind.code for kind in KINDS), 0)
        for kind, deleted in self._delete(backend):
            counts[kind.code] += deleted
            if time.monotonic() > end:
                return counts, False
        self._measure(backend)
        return counts, True

    @api.model
    def _delete(self, backend):
        """Delete batch after batch; yields ``(kind, rows deleted)`` after each."""
        for kind in KINDS:
            with self.env["integration.engine"]._control_cursor() as cr:
                limit = self._limit(cr, backend, kind)
            position, more = None, limit is not None
            while more:
                with self.env["integration.engine"]._control_cursor() as cr:
                    deleted, position = self._delete_batch(cr, backend, kind, limit, position)
                    if deleted and kind.code == "failures":
                        # superuser: incidents are kept by the engine only
                        env = api.Environment(cr, SUPERUSER_ID, {})
                        env["integration.incident"]._refresh(backend.flow_ids.ids)
                more = deleted == BATCH
                if deleted:
                    yield kind, deleted

    def _delete_batch(self, cr, backend, kind, limit, position):
        """Delete the oldest rows past a position; those that stay are not looked at again.

        :param datetime limit: naive UTC; younger rows stay.
        :param position: ``(time, id)`` of the last row deleted before, None at first.
        :returns: number of rows and position of the last one.
        """
        after = SQL("true")
        if position:
            after = SQL("(%s, r.id) > %s", SQL(kind.ended_at), position)
        cr.execute(
            SQL(
                """
                WITH old AS (
                    SELECT r.id, %(ended_at)s AS ended_at FROM %(table)s r
                     WHERE r.backend_id = %(backend)s AND %(which)s AND %(ended_at)s < %(limit)s
                       AND %(after)s AND NOT (%(keep)s)
                     ORDER BY %(ended_at)s, r.id LIMIT %(batch)s
                       FOR UPDATE OF r SKIP LOCKED
                ), gone AS (
                    DELETE FROM %(table)s r USING old WHERE r.id = old.id RETURNING r.id
                )
                SELECT (SELECT count(*) FROM gone), max(ended_at),
                       (array_agg(id ORDER BY ended_at DESC, id DESC))[1]
                  FROM old
                """,
                **self._sql(backend, kind),
                limit=limit,
                after=after,
                keep=SQL(kind.keep),
                batch=BATCH,
            )
        )
        deleted, *position = cr.fetchone()
        return deleted, tuple(position)

    def _limit(self, cr, backend, kind):
        """Return the time (naive UTC) before which rows are too old, or too many; None if never."""
        limits = []
        if backend[kind.days]:
            limits.append(fields.Datetime.now() - timedelta(days=backend[kind.days]))
        most = kind.megabytes and backend[kind.megabytes] * MEGABYTE
        if most and self._figures(cr, backend, kind)["bytes"] > most:
            cr.execute(
                SQL(
                    """
                    SELECT min(ended_at) FROM (
                        SELECT %(ended_at)s AS ended_at,
                               sum(%(size)s) OVER (ORDER BY %(ended_at)s DESC, r.id DESC) AS total
                          FROM %(table)s r WHERE r.backend_id = %(backend)s AND %(which)s) sizes
                     WHERE total <= %(most)s
                    """,
                    **self._sql(backend, kind),
                    most=most,
                )
            )
            # None when not even the newest row fits
            limits.append(cr.fetchone()[0] or fields.Datetime.now())
        return max(limits, default=None)

    def _sql(self, backend, kind):
        """Return the parts of statements about a kind of data of a backend."""
        return {
            "table": SQL.identifier(kind.table),
            "backend": backend.id,
            "which": SQL(kind.which),
            "ended_at": SQL(kind.ended_at),
            "size": SQL(kind.size),
        }

    # === FIGURES === #

    def _figures(self, cr, backend, kind):
        """Return ``{count, bytes, oldest}`` of what a backend keeps."""
        cr.execute(
            SQL(
                "SELECT count(*) AS count, COALESCE(sum(%(size)s), 0)::bigint AS bytes,"
                " min(%(ended_at)s) AS oldest FROM %(table)s r"
                " WHERE r.backend_id = %(backend)s AND %(which)s",
                **self._sql(backend, kind),
            )
        )
        return cr.dictfetchone()

    @api.model
    def _measure(self, backend):
        """Store how much of each kind a backend keeps, for its form."""
        with self.env["integration.engine"]._control_cursor() as cr:
            kept = {"at": fields.Datetime.to_string(fields.Datetime.now())}
            for kind in KINDS:
                figures = self._figures(cr, backend, kind)
                oldest = figures["oldest"]
                kept[kind.code] = {
                    **figures,
                    "oldest": oldest and fields.Datetime.to_string(oldest),
                }
            # superuser: the figures are nobody's to write
            own = api.Environment(cr, SUPERUSER_ID, {})["integration.backend"].browse(backend.id)
            own.kept = kept
        backend.invalidate_recordset(["kept", "kept_summary"])

    @api.model
    def _names(self):
        """Return ``{code: name for people}`` of the kinds of data."""
        return {
            "operations": self.env._("Finished operations"),
            "failures": self.env._("Failed or set aside"),
            "events": self.env._("Webhook events"),
            "exchanges": self.env._("HTTP exchanges"),
        }

    @api.model
    def _summary(self, kept):
        """Return what :meth:`_measure` stored as a table (HTML), None when nothing is known."""
        if not kept:
            return None
        cell, number = Markup("<td>%s</td>"), Markup('<td class="text-end">%s</td>')
        rows = Markup("").join(
            Markup("<tr>%s%s%s%s</tr>")
            % (
                cell % name,
                number % formatLang(self.env, kept[code]["count"], digits=0),
                number % formatLang(self.env, kept[code]["bytes"] / MEGABYTE, digits=1),
                number % format_date(self.env, kept[code]["oldest"] or False),
            )
            for code, name in self._names().items()
        )
        head = Markup("<tr><th></th>%s</tr>") % Markup("").join(
            Markup('<th class="text-end">%s</th>') % title
            for title in (self.env._("Rows"), self.env._("MB"), self.env._("Oldest"))
        )
        when = self.env._("As of %s.", format_datetime(self.env, kept["at"]))
        return Markup('<table class="table table-sm w-auto">%s%s</table><p>%s</p>') % (
            head,
            rows,
            when,
        )
