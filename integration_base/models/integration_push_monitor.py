from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

#: What is compared: the changes of this time.
WINDOW = timedelta(hours=24)
#: Notifications are good again when so many came in this time, and no change came without one.
RECENT = timedelta(hours=2)
RECENT_TOLD = 5
#: So many changes have to come without a notification, and so large a share has to come with one
#: (percent), before anybody is told.
MIN_MISSED = 5
MIN_SHARE = 80.0


class IntegrationPushMonitor(models.AbstractModel):
    """Compares what push and pull learn: changes that a listing finds first were not notified.

    A flow whose notifications fail is read more often by itself, and an incident tells its owner.
    """

    _name = "integration.push.monitor"
    _description = "Integration Push Monitor"

    @api.model
    def _cron_measure(self):
        """Measure the notifications of every flow into Odoo that gets some."""
        now = fields.Datetime.now()
        flows = self.env["integration.flow"].search(
            [
                ("direction", "=", "in"),
                ("enabled", "=", True),
                ("backend_id.active", "=", True),
                ("backend_id.state", "=", "active"),
                *self.env["integration.backend"]._connected_here("backend_id."),
            ]
        )
        counts = self._count(flows, now)
        for flow in flows:
            self._judge(flow, now, *counts.get(flow.id, (0, 0, 0, 0)))

    @api.model
    def _count(self, flows, now):
        """Count the records that changed: notified, and found by a listing instead.

        A listing only adds what no notification has told of. What had changed before the flow
        was notified at all does not count, so that an initial load is no failure.

        :returns: ``{flow id: (told, missed, recently told, recently missed)}``.
        """
        recent = now - RECENT
        self.env.cr.execute(
            SQL(
                """
                SELECT flow_id,
                       count(DISTINCT key) FILTER (WHERE told),
                       count(DISTINCT key) FILTER (WHERE NOT told),
                       count(DISTINCT key) FILTER (WHERE told AND create_date >= %(recent)s),
                       count(DISTINCT key) FILTER (WHERE NOT told AND create_date >= %(recent)s)
                  FROM (SELECT o.flow_id, o.key, o.create_date, o."trigger" = 'webhook' AS told
                          FROM integration_sync_log o JOIN integration_flow f ON f.id = o.flow_id
                         WHERE o.flow_id = ANY(%(flows)s) AND o.kind = 'record'
                           AND o.create_date >= GREATEST(%(since)s, f.push_since)
                           AND (o."trigger" = 'webhook'
                                OR o."trigger" = 'schedule'
                               AND o.external_updated_at >= GREATEST(%(since)s, f.push_since))
                       ) changes
                 GROUP BY flow_id
                """,
                recent=recent,
                since=now - WINDOW,
                flows=flows.ids,
            )
        )
        return {row[0]: row[1:] for row in self.env.cr.fetchall()}

    @api.model
    def _judge(self, flow, now, told, missed, recently_told, recently_missed):
        """Keep the share of a flow, and begin or end the time in which it is read more often."""
        if not flow.push_since:
            if told or self._is_subscribed(flow):
                flow.push_since = now
            return
        changes = told + missed
        flow.push_count = changes
        flow.push_share = 100.0 * told / changes if changes else 0.0
        poor = missed >= MIN_MISSED and flow.push_share < MIN_SHARE
        if flow.push_degraded and (
            not poor or (recently_told >= RECENT_TOLD and not recently_missed)
        ):
            self._end(flow, now)
        elif poor and not flow.push_degraded:
            flow.push_degraded = True
            planned = flow._next_run(now)
            if planned and (not flow.next_run_at or planned < flow.next_run_at):
                flow.next_run_at = planned
        if flow.push_degraded:
            self._tell(flow, missed, changes)

    @api.model
    def _is_subscribed(self, flow):
        topics = flow.backend_id._connector()._connector_topics
        return any(
            row.state == "ok" and topics.get(row.topic) == flow.resource
            for row in flow.backend_id.subscription_ids
        )

    @api.model
    def _end(self, flow, now):
        # what was missed before says nothing about the notifications from now on
        flow.write({"push_degraded": False, "push_since": now - RECENT})
        self.env["integration.incident"]._resolve(
            "webhooks",
            flow.backend_id,
            f"push-{flow.id}",
            self.env._("Changes are learnt by notification again."),
        )

    @api.model
    def _tell(self, flow, missed, changes):
        self.env["integration.incident"]._raise(
            "webhooks",
            flow.backend_id,
            f"push-{flow.id}",
            self.env._(
                "%(missed)s of %(changes)s records that changed in the last 24 hours were found "
                "by reading, not by a notification. Nothing is lost: until the notifications come "
                "again, changes are read more often. Open the page Notifications of the backend, "
                "press Check Now, and see that the service reaches this address.",
                missed=missed,
                changes=changes,
            ),
            flow=flow,
            count=missed,
        )
