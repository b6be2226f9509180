from dataclasses import dataclass
from datetime import timedelta

from odoo import api, models

from ..lib.breaker import DEFAULT_POLICY
from ..lib.errors import ConfigurationError, WebhookRefused
from ..lib.redact import Redactor


@dataclass(frozen=True)
class CredentialSpec:
    """One secret or identifier that a connector needs from the user.

    :param code: technical name, unique in the connector, e.g. ``client_secret``.
    :param label: what the form shows (English source; translated by the connector).
    :param help: where the user finds it.
    :param required: whether the backend cannot connect without it.
    """

    code: str
    label: str
    help: str = ""
    required: bool = True


class IntegrationConnector(models.AbstractModel):
    """Behaviour of one external service. Inherit it as ``integration.connector.<code>``.

    Connectors are stateless: the backend (one configured account) is always the first argument.
    A minimal connector sets the attributes and writes :meth:`_auth_headers` and
    :meth:`_test_connection`; the resources ``integration.<code>.<resource>`` do the rest.
    """

    _name = "integration.connector"
    _description = "Integration Connector"

    #: Name of the service for people.
    _connector_name = ""
    #: Credentials the backend form asks for.
    _connector_credentials: tuple[CredentialSpec, ...] = ()
    #: topic of a webhook -> resource code, for :meth:`_webhook_topics`.
    _connector_topics: dict[str, str] = {}
    #: Names of fields with secrets or personal data, beside those of ``lib/redact.py``: free text
    #: such as order notes. ``a.b`` is ``b`` directly below ``a``. They are kept out of what is
    #: stored of calls, and taken out of the rest when a person is erased.
    _connector_secret_keys: tuple[str, ...] = ()
    _connector_personal_keys: tuple[str, ...] = ()
    #: Names of headers with secrets, and regular expressions of secrets in free text.
    _connector_secret_headers: tuple[str, ...] = ()
    _connector_secret_patterns: tuple[str, ...] = ()
    #: How far from now a notification may be signed, where the service signs the time.
    _connector_webhook_tolerance = timedelta(minutes=5)
    #: When a service that does not answer is left alone, see :class:`~..lib.breaker.BreakerPolicy`.
    _connector_breaker = DEFAULT_POLICY

    # === DISCOVERY === #

    @api.model
    def _connector_codes(self):
        """Return ``[(code, name)]`` of every installed connector, for the backend's selection."""
        prefix = "integration.connector."
        return sorted(
            (name.removeprefix(prefix), self.env[name]._connector_name)
            for name in self.env.registry
            if name.startswith(prefix)
        )

    @api.model
    def _connector_code(self):
        """Return the code of this connector, the last part of its model name."""
        return self._name.removeprefix("integration.connector.")

    @api.model
    def _resource_codes(self):
        """Return the sorted codes of this connector's resources, found by their model names."""
        prefix = f"integration.{self._connector_code()}."
        return sorted(
            name.removeprefix(prefix)
            for name, model in self.env.registry.items()
            if name.startswith(prefix) and issubclass(model, self._resource_base())
        )

    @api.model
    def _resource_base(self):
        return self.env.registry["integration.resource"]

    # === HOOKS - OUTGOING === #

    def _redactor(self):
        """Return the :class:`~..lib.redact.Redactor` for all that is stored of this service."""
        return Redactor(
            keys=(*self._connector_secret_keys, *self._connector_personal_keys),
            headers=self._connector_secret_headers,
            patterns=self._connector_secret_patterns,
        )

    def _base_url(self, backend):
        """Return the root of the service's API for ``backend``, without a trailing slash.

        Default: the address typed into the backend.

        :raises ConfigurationError: when no address is known.
        """
        if not backend.base_url:
            raise ConfigurationError(
                self.env._("%s has no address. Fill in Address on its form.", backend.display_name)
            )
        return backend.base_url.rstrip("/")

    def _auth_headers(self, backend):
        """Return the headers (dict of text) that authenticate a request of ``backend``.

        Called once per request. Get secrets from ``backend._credential(code)``.

        :raises AuthError: when no valid credentials can be had.
        """
        return {}

    def _renew_auth(self, backend):
        """Get new credentials after the service refused the present ones.

        :returns: True when it is worth trying again, False when a person has to act.
        """
        return False

    def _classify_response(self, backend, response):
        """Raise an error of ``lib/errors.py`` for answers that need a service-specific reading.

        :param response: ``lib.http.Response`` of any status. Returning None leaves the usual
            table in force (429 -> RateLimitedError, 5xx -> RetryableError, 401 -> AuthError ...).
        """

    def _test_connection(self, backend):
        """Call the service and say who answered.

        :returns: a sentence for the user, e.g. ``Connected to "Demo shop" (EUR).``
        :raises IntegrationError: with the reason and the way out.
        """
        raise ConfigurationError(
            self.env._("The connector %s cannot test its connection.", self._connector_name)
        )

    def _connected(self, backend):
        """Complete the set-up after a successful test, e.g. read the name of the shop.

        Called once :meth:`_test_connection` succeeded; must be safe to repeat.
        """

    # === HOOKS - RATE LIMITS === #

    def _rate_limits(self, backend):
        """Return what the service allows of calls, as far as it is known beforehand.

        Called before each request, so it has to be cheap. All workers share one bucket for each
        limit; where it is empty, ``RateLimitedError`` is raised before anything is sent.

        :returns: tuple of :class:`~..lib.token_bucket.RateLimit`, empty for a service whose limits
            nobody knows. State what the service documents: a margin is kept by itself.
        """
        return ()

    def _rate_cost(self, backend, request):
        """Return the tokens that a request takes. Default: one of each bucket.

        :param request: :class:`~..lib.http.Request` with method, url, label and json.
        :returns: ``{name of the limit: tokens}``; a bucket that is not concerned is left out.
        """
        return {limit.name: 1.0 for limit in self._rate_limits(backend)}

    def _read_rate(self, backend, response):
        """Return what an answer tells about the buckets, in its headers or its body.

        Called for every answer, refusals included; HTTP 429 needs no reading: its buckets are
        closed for the time it asks for.

        :param response: :class:`~..lib.http.Response`.
        :returns: tuple of :class:`~..lib.token_bucket.RateState` with what is left at the service,
            the real size and speed of a bucket, and the real cost of the call, where it differs
            from :meth:`_rate_cost`.
        """
        return ()

    # === HOOKS - SUBSCRIPTIONS === #

    def _webhook_topics(self, backend):
        """Return the topics (list) that the service shall send notifications of.

        Default: those of ``_connector_topics`` whose resource has a flow into Odoo that is on.
        """
        resources = {
            flow.resource for flow in backend.flow_ids if flow.enabled and flow.direction == "in"
        }
        return [topic for topic, code in self._connector_topics.items() if code in resources]

    def _list_subscriptions(self, backend):
        """Return every :class:`~..lib.records.Subscription` the service has to our topics.

        Also those of others. None (the default): the service cannot be asked, a person enters the
        address there.
        """
        return None

    def _create_subscription(self, backend, topic, address):
        """Have the service send notifications of ``topic`` to ``address``.

        :returns: the id of the subscription there.
        :raises RequestRefused: when the service does not want to; the text says why.
        """
        raise NotImplementedError

    def _delete_subscription(self, backend, remote_id):
        """End a subscription; one that does not exist any more is no error."""
        raise NotImplementedError

    # === HOOKS - MAPPING === #

    def _default_mapping(self, backend, kind, values):
        """Return Odoo records for values nobody has mapped, where there is no doubt.

        Default: active currencies and countries by their ISO code.

        :param str kind: see ``integration.mapping``.
        :param dict values: ``{external_value: label}``.
        :returns: ``{external_value: Odoo record}`` of those that are certain; a doubtful value is
            left out, so that a person chooses.
        """
        field = {"currency": ("res.currency", "name"), "country": ("res.country", "code")}.get(kind)
        if not field:
            return {}
        model, name = field
        records = self.env[model].search([(name, "in", list(values))])
        return {record[name]: record for record in records}

    # === HOOKS - INCOMING === #

    def _verify_webhook(self, backend, headers, body):
        """Check that a notification is authentic. The default refuses everything (fail closed).

        :param headers: mapping of request headers, case-insensitive.
        :param bytes body: the raw body.
        :raises WebhookRefused: when it is not authentic.
        """
        raise WebhookRefused("This connector takes no notifications.")

    def _read_webhook_headers(self, backend, headers, body):
        """Return the :class:`~..lib.records.WebhookHeaders` of an authentic notification.

        ``event_id`` has to be equal for every delivery of one event. Never raises for a bad body.
        """
        raise WebhookRefused("This connector takes no notifications.")

    def _parse_webhook(self, backend, topic, body):
        """Return the :class:`~..lib.records.Notification` that an authentic webhook stands for.

        :raises InvalidPayloadError: when the body cannot be read.
        """
        raise WebhookRefused("This connector takes no notifications.")
