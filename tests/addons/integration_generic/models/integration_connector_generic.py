from odoo import models

from odoo.addons.integration_base.lib.auth import Bearer, CredentialSpec
from odoo.addons.integration_base.lib.errors import InvalidPayloadError, WebhookRefused
from odoo.addons.integration_base.lib.json_strict import loads_strict
from odoo.addons.integration_base.lib.records import Change, Notification, WebhookHeaders
from odoo.addons.integration_base.lib.signature import verify_hmac
from odoo.addons.integration_base.lib.token_bucket import RateLimit, RateState

#: Seconds: the service answers within milliseconds or not at all.
TIMEOUT = (2.0, 2.0, 10.0)
RATE_HEADERS = {"available": "Remaining", "capacity": "Limit", "per_second": "Rate"}
#: Most records a call.
MOST = 100


class IntegrationConnectorGeneric(models.AbstractModel):
    _name = "integration.connector.generic"
    _inherit = "integration.connector"
    _description = "Generic Connector"

    _connector_name = "Generic Service"
    _connector_auth = (Bearer(credential="key", label="API key"),)
    _connector_credentials = (
        CredentialSpec("secret", "Signing secret", "Checks that notifications are authentic."),
    )
    _connector_topics = dict.fromkeys(
        ("contacts/created", "contacts/updated", "contacts/deleted"), "contact"
    )

    def _base_url(self, backend):
        return f"{super()._base_url(backend)}/api"

    def _test_connection(self, backend):
        answer = self._ask(backend, "GET", "me").json()
        return self.env._('Connected to "%s".', answer["name"])

    def _connected(self, backend):
        url = backend._webhook_url()
        present = self._ask(backend, "GET", "webhooks").json()["rows"]
        if url not in [row["url"] for row in present]:
            body = {"url": url, "topics": list(self._connector_topics)}
            self._ask(backend, "POST", "webhooks", json=body)

    def _rate_limits(self, backend):
        return (RateLimit("calls", 500, 1000),)

    def _read_rate(self, backend, response):
        told = {
            name: float(response.headers[f"X-RateLimit-{header}"])
            for name, header in RATE_HEADERS.items()
            if f"X-RateLimit-{header}" in response.headers
        }
        return (RateState("calls", **told),)

    def _ask(self, backend, method, path, **options):
        """Send one request; see ``lib.http.HttpClient.request``."""
        with backend._client(timeout=TIMEOUT) as client:
            return client.request(method, path, label=path, **options)

    def _rows(self, backend, path, name, values):
        """Return the rows whose ``name`` (``ids`` or ``reference``) is one of ``values``."""
        rows = []
        for start in range(0, len(values), MOST):
            some = ",".join(values[start : start + MOST])
            answer = self._ask(backend, "GET", path, params={name: some})
            rows += answer.json()["rows"]
        return rows

    def _rate_limits(self, backend):
        return (RateLimit("calls", per_second=500, capacity=1000),)

    def _read_rate(self, backend, response):
        names = ("Remaining", "Limit", "Rate")
        told = [response.headers.get(f"X-RateLimit-{name}") for name in names]
        return (RateState("calls", *map(float, told)),) if all(told) else ()

    # === NOTIFICATIONS === #

    def _verify_webhook(self, backend, headers, body):
        signature = headers.get("X-Signature")
        if not verify_hmac(backend._credentials("secret"), body, signature, "hex"):
            raise WebhookRefused(self.env._("The signature is wrong."))

    def _read_webhook_headers(self, backend, headers, body):
        return WebhookHeaders(headers.get("X-Topic", ""), headers.get("X-Event-Id", ""))

    def _parse_webhook(self, backend, topic, body):
        try:
            change = Change(loads_strict(body)["id"])
        except (KeyError, TypeError) as error:
            raise InvalidPayloadError(self.env._("The notification is not readable.")) from error
        return Notification(self._connector_topics.get(topic), change)
