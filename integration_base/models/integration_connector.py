from dataclasses import replace
from datetime import timedelta

from odoo import api, models
from odoo.tools.translate import LazyGettext, get_translation

from ..lib.auth import ACCESS_TOKEN, Auth, CredentialSpec
from ..lib.breaker import DEFAULT_POLICY
from ..lib.errors import ConfigurationError, CredentialError, WebhookRefused
from ..lib.redact import Redactor

#: Where notifications arrive: whoever knows it can send some, so it is no more shown than a secret.
WEBHOOK_PATH = r"/integration/webhook/[\w-]+"


class IntegrationConnector(models.AbstractModel):
    """Behaviour of one external service. Inherit it as ``integration.connector.<code>``.

    Connectors are stateless: the backend (one configured account) is always the first argument.
    A minimal connector sets the attributes and writes :meth:`_test_connection`; the resources
    ``integration.<code>.<resource>`` do the rest.
    """

    _name = "integration.connector"
    _description = "Integration Connector"

    #: Name of the service for people.
    _connector_name = ""
    #: Kinds of authentication that the service knows, see ``lib/auth.py``; of several the user
    #: chooses one, the first is the default.
    _connector_auth: tuple[Auth, ...] = ()
    #: Credentials the backend form asks for whatever the kind of authentication, beside those of
    #: the kind; one with the code of such a one takes its place.
    _connector_credentials: tuple[CredentialSpec, ...] = ()
    #: code of a credential -> where the user finds it, for those of the kinds of authentication.
    _connector_hints: dict[str, str] = {}
    #: Where a person comes back to from the page on which access is granted.
    _connector_oauth_callback = "/integration/oauth/callback"
    #: topic of a webhook -> resource code, for :meth:`_webhook_topics`.
    _connector_topics: dict[str, str] = {}
    #: Topics by which the service asks for personal data to be exported or erased
    #: (``Notification.privacy``). What cannot be read of them is shown to a manager, never dropped.
    _connector_privacy_topics: frozenset[str] = frozenset()
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

    # === AUTHENTICATION === #

    @api.model
    def _auth_options(self):
        """Return ``{value of the backend's auth_kind: kind of authentication}``."""
        return {f"{self._connector_code()}.{auth.code}": auth for auth in self._connector_auth}

    @api.model
    def _auth_choices(self):
        """Return ``[(value, label)]`` of the kinds of all connectors, for the selection."""
        connectors = [
            self.env[f"integration.connector.{code}"] for code, _ in self._connector_codes()
        ]
        return [
            (value, ", ".join(self._translated(label) for label in auth.labels))
            for connector in connectors
            for value, auth in connector._auth_options().items()
        ]

    @api.model
    def _translated(self, text):
        """Return a label or help of a kind of authentication in the language of the user.

        :param text: what a connector has marked by a ``LazyTranslate`` of its own, or a text of
            ``lib/auth.py``, which stands without Odoo.
        """
        if isinstance(text, LazyGettext):
            return self.env._(text)
        return get_translation("integration_base", self.env.lang or "en_US", text, ())

    def _auth(self, backend):
        """Return the :class:`~..lib.auth.Auth` in force; None where the connector has hooks for it.

        :raises CredentialError: when the one that was chosen is gone.
        """
        if not self._connector_auth:
            return None
        auth = backend._auth_in_force()
        if not auth:
            raise CredentialError(
                self.env._(
                    "%s signs in with something that its service does not offer. Choose again "
                    "under Sign in with, on the form of the backend.",
                    backend.display_name,
                )
            )
        return auth

    def _auth_getter(self, backend):
        """Return the function that a kind of authentication gets credentials and tokens from."""

        def get(code):
            if code == ACCESS_TOKEN:
                return self.env["integration.auth"]._access_token(backend)
            return backend._credential(code)

        return get

    @api.model
    def _credential_specs(self, auth=None):
        """Return the :class:`CredentialSpec` that the form asks for.

        :param auth: those of this kind of authentication; without it those of all kinds.
        """
        kinds = (auth,) if auth else self._connector_auth
        hints = self._connector_hints
        specs = {
            spec.code: replace(spec, help=hints.get(spec.code, spec.help))
            for kind in kinds
            for spec in kind.credentials
        }
        own = {spec.code: spec for spec in self._connector_credentials}
        return [*(own | {code: spec for code, spec in specs.items() if code not in own}).values()]

    # === HOOKS - OUTGOING === #

    def _redactor(self):
        """Return the :class:`~..lib.redact.Redactor` for all that is stored of this service."""
        params = (name for auth in self._connector_auth for name in auth.secret_params)
        return Redactor(
            keys=(*self._connector_secret_keys, *self._connector_personal_keys, *params),
            headers=self._connector_secret_headers,
            patterns=(WEBHOOK_PATH, *self._connector_secret_patterns),
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

        Called once per request. Default: those of the kind of authentication. Get secrets of your
        own from ``backend._credential(code)``.

        :raises AuthError: when no valid credentials can be had.
        """
        auth = self._auth(backend)
        return auth.headers(self._auth_getter(backend)) if auth else {}

    def _auth_params(self, backend):
        """Return the secret parameters (dict of text) that the URL of a request gets."""
        auth = self._auth(backend)
        return auth.params(self._auth_getter(backend)) if auth else {}

    def _sign_request(self, backend, method, url, body):
        """Return headers that depend on the request, such as a signature.

        :param bytes body: what is sent.
        """
        auth = self._auth(backend)
        return auth.sign(self._auth_getter(backend), method, url, body) if auth else {}

    def _auth_certificate(self, backend):
        """Return the :class:`~..lib.client_certificate.ClientCertificate` to show, or None."""
        auth = self._auth(backend)
        return auth.certificate(self._auth_getter(backend)) if auth else None

    def _renew_auth(self, backend):
        """Get new credentials after the service refused the present ones.

        :returns: True when it is worth trying again, False when a person has to act.
        :raises TokenRefused: the same, with the reason.
        """
        auth = self._auth(backend)
        if not auth or not auth.grant:
            return False
        self.env["integration.auth"]._access_token(backend, refused=backend._token(ACCESS_TOKEN))
        return True

    def _oauth_address(self, backend, address):
        """Return the absolute form of an address of OAuth that the kind of authentication names.

        Default: a path is below the address of the backend. Override it where a sandbox has other
        ones.
        """
        if "://" in address:
            return address
        return f"{self._base_url(backend)}/{address.lstrip('/')}"

    def _oauth_scopes(self, backend):
        """Return what tokens of ``backend`` shall allow (list of text).

        Default: what its kind of authentication names, and what the enabled flows need.
        """
        return list(
            dict.fromkeys([*self._auth(backend).grant.scopes, *backend._scopes_to_request()])
        )

    def _check_consent(self, backend, parameters):
        """Check what is special in the answer of the page on which access is granted.

        :param dict parameters: the query it called back with. Its state was ours.
        :raises AuthError: when it is not authentic.
        :raises ConfigurationError: when it is about another account.
        """

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

    def _check_daily(self, backend):
        """Look once a day for what is special about the service and may go wrong by itself.

        What is found is raised or resolved as an incident (``integration.incident``). Only called
        for connected backends; the calls to the service belong to nobody's work.

        :raises IntegrationError: when the service cannot be asked; it is tried again in an hour.
        """

    # === HOOKS - ACCESS === #

    def _connector_scopes(self, backend):
        """Return the rights (list of :class:`~..lib.scopes.Scope`) of the connection itself.

        What set-up, notifications or several flows need; what one flow needs is declared by its
        resource (``_resource_scopes``). Without one of these nothing is stopped: it is shown.
        """
        return []

    def _granted_scopes(self, backend):
        """Ask the service which rights it grants.

        Default: what the access token allows, according to the answer it came with; an answer that
        does not say so grants what was asked for (RFC 6749, 5.1).

        :returns: the names (list of text), None when nobody can tell. Then a flow stops when the
            service refuses it (:class:`~..lib.errors.MissingScopeError`).
        :raises IntegrationError: when the service cannot be asked.
        """
        grant = backend._auth_grant()
        if not grant:
            return None
        return backend._token_scope().replace(grant.scope_separator, " ").split() or None

    def _implied_scopes(self, name):
        """Return the names of the other rights that a right includes, e.g. reading by writing."""
        return ()

    def _scope_advice(self, backend):
        """Return what a person has to do, so that the service grants a missing right."""
        if backend.needs_consent:
            return self.env._(
                "Allow it in the settings of the app at the service, then press Reconnect on the "
                "backend: the service asks for your consent."
            )
        return self.env._(
            "Grant it in the settings of the service. Then press Check Access on the backend (role "
            "Integration Manager)."
        )

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

    def _webhook_backends(self, backend, topic, headers, body):
        """Return the backends that an authentic notification is for.

        Default: the one at whose address it has arrived. Overridden where a service has a single
        address for the notifications of several accounts. Others that are returned have to be
        connected, and their own secret is checked by :meth:`_verify_webhook` once more.

        :param backend: at whose address it has arrived, and whose signature was checked.
        :raises WebhookRefused: when it is not for us.
        """
        return backend

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
