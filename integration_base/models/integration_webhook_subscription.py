import logging
from datetime import timedelta

from odoo import api, fields, models

from ..lib.errors import IntegrationError, RateLimitedError, RequestRefused, RetryableError

_logger = logging.getLogger(__name__)

#: First key of the advisory lock that lets one process at a time repair a backend's subscriptions.
LOCK_SUBSCRIPTIONS = 0x1A7F0
#: When a check that failed for a passing reason is repeated.
AGAIN_AFTER = timedelta(hours=1)


class IntegrationWebhookSubscription(models.Model):
    """What a service was asked to notify us of, as it was found at the last check.

    The rows of a backend are written anew by each check; they also tell which addresses are ours,
    so that a subscription of another system, or of the original of this database, is left alone.
    """

    _name = "integration.webhook.subscription"
    _description = "Webhook Subscription"
    _order = "state, topic, id"
    _rec_name = "topic"

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    topic = fields.Char(required=True, readonly=True)
    address = fields.Char(
        required=True, readonly=True, groups="integration_base.group_integration_manager"
    )
    remote_id = fields.Char(string="Remote ID", readonly=True)
    state = fields.Selection(
        [
            ("failed", "Failed"),
            ("missing", "Missing"),
            ("ok", "In Place"),
            ("foreign", "Of Another System"),
        ],
        required=True,
        readonly=True,
    )
    message = fields.Text(readonly=True)
    checked_at = fields.Datetime(required=True, readonly=True, default=fields.Datetime.now)

    # === CHECKING === #

    @api.model
    def _check(self, backend):
        """Compare what the service knows with what we need; create what is missing.

        Subscriptions of ours with an old address, repeated ones and those that are set up
        otherwise than they should be are deleted; those of others stay as they are.

        :returns: the rows of the backend, or None when the service cannot be asked, or somebody
            else does so now.
        :raises IntegrationError: when the service does not answer as it should.
        """
        self.env.cr.execute(
            "SELECT pg_try_advisory_xact_lock(%s, %s)", [LOCK_SUBSCRIPTIONS, backend.id]
        )
        if not self.env.cr.fetchone()[0]:
            return None
        connector = backend._connector()
        present = backend._with_renewed_auth(lambda: connector._list_subscriptions(backend))
        if present is None:
            return None
        address = backend._webhook_url()
        # sudo: the rows are written by nobody else, and managers alone see the addresses
        before = self.sudo().search([("backend_id", "=", backend.id)])
        ours = set(before.filtered(lambda row: row.state != "foreign").mapped("address"))
        found, values = {}, []
        for subscription in present:
            if (
                subscription.address == address
                and subscription.topic not in found
                and not subscription.drifted
            ):
                found[subscription.topic] = subscription
                values.append(self._values(backend, "ok", subscription))
            elif subscription.address == address or subscription.address in ours:
                values += self._delete(backend, subscription)
            else:
                values.append(self._values(backend, "foreign", subscription))
        wanted = [topic for topic in connector._webhook_topics(backend) if topic not in found]
        values += self._create_missing(backend, address, wanted)
        before.unlink()
        # sudo: the list is what the service says, nobody writes it by hand
        return self.sudo().create(values)

    @api.model
    def _values(self, backend, state, subscription, message=False):
        return {
            "backend_id": backend.id,
            "state": state,
            "topic": subscription.topic,
            "address": subscription.address,
            "remote_id": subscription.remote_id,
            "message": message,
        }

    @api.model
    def _delete(self, backend, subscription):
        """Delete one of our old subscriptions; returns the values of its row if that fails."""
        try:
            backend._connector()._delete_subscription(backend, subscription.remote_id)
        except RequestRefused as error:
            message = self._without_address(backend, error)
            return [self._values(backend, "failed", subscription, message)]
        return []

    @api.model
    def _create_missing(self, backend, address, topics):
        """Subscribe to topics; what the service refuses once, it is not asked a second time.

        :returns: values of the rows.
        """
        values, refused = [], None
        for topic in topics:
            row = {"backend_id": backend.id, "topic": topic, "address": address}
            if not refused:
                try:
                    remote_id = backend._connector()._create_subscription(backend, topic, address)
                except RequestRefused as error:
                    refused = self._without_address(backend, error)
                    values.append({**row, "state": "failed", "message": refused})
                else:
                    values.append({**row, "state": "ok", "remote_id": remote_id})
            else:
                values.append({**row, "state": "missing", "message": refused})
        return values

    @api.model
    def _without_address(self, backend, error):
        """Return the text of an error for those who may not see the address for notifications."""
        return backend._connector()._redactor().text(error.message)

    @api.model
    def _check_and_report(self, backend):
        """Check the subscriptions of a backend; what is wrong becomes an incident.

        :returns: see :meth:`_check`; None also when the check failed.
        :raises RetryableError, RateLimitedError: when it is worth trying again later.
        """
        Incident = self.env["integration.incident"]
        try:
            rows = self._check(backend)
        except (RetryableError, RateLimitedError):
            raise
        except IntegrationError as error:
            message = self._without_address(backend, error)
            Incident._raise("webhooks", backend, "subscriptions", message)
            return None
        if rows is None:
            return None
        wrong = rows.filtered(lambda row: row.state in ("failed", "missing"))
        if wrong:
            message = self.env._(
                "%(reason)s. Until this is solved, changes arrive only by the schedule of the "
                "flows. Open the page Notifications of the backend, and press Check Now when the "
                "cause is gone.",
                reason=(wrong[0].message or "").rstrip("."),
            )
            Incident._raise("webhooks", backend, "subscriptions", message)
        else:
            Incident._resolve("webhooks", backend, "subscriptions")
        return rows

    @api.model
    def _cron_check(self):
        """Check every connected backend: its subscriptions, what it is allowed to do, and the
        rest that its connector looks after once a day."""
        cron = self.env["ir.cron"]
        Backend = self.env["integration.backend"]
        backends = Backend.search([("state", "=", "active"), *Backend._connected_here()])
        for done, backend in enumerate(backends, start=1):
            try:
                backend._ensure_callable()
                self._check_and_report(backend)
                self.env["integration.scope"]._check(backend)
                backend._with_renewed_auth(
                    lambda backend=backend: backend._connector()._check_daily(backend)
                )
            except IntegrationError as error:
                _logger.info("Subscriptions of backend %s: %s", backend.id, error.message)
                self.env.ref("integration_base.ir_cron_check_subscriptions")._trigger(
                    fields.Datetime.now() + AGAIN_AFTER
                )
            cron._commit_progress(1, remaining=len(backends) - done)
