import hashlib
from dataclasses import replace
from decimal import Decimal

from odoo import api, models
from odoo.tools import LazyTranslate

from odoo.addons.integration_base.lib.auth import (
    ApiKey,
    AuthorizationCode,
    ClientCredentials,
    CredentialSpec,
)
from odoo.addons.integration_base.lib.errors import (
    AuthError,
    ConfigurationError,
    IntegrationError,
    InvalidPayloadError,
    RequestRefused,
    WebhookRefused,
)
from odoo.addons.integration_base.lib.records import (
    Notification,
    Subscription,
)
from odoo.addons.integration_base.lib.scopes import Scope

from ..lib import oauth, scopes, webhook
from ..lib.client import ENDPOINT, POINTS, UserErrors, bucket_state, expected_cost
from ..lib.taxes import read_tax_key

_lt = LazyTranslate(__name__)


class IntegrationConnectorShopify(models.AbstractModel):
    _name = "integration.connector.shopify"
    _inherit = "integration.connector"
    _description = "Shopify Connector"

    _connector_name = "Shopify"
    _connector_auth = (
        ClientCredentials(**oauth.TOKENS),
        AuthorizationCode(
            **oauth.TOKENS,
            authorize_url=oauth.AUTHORIZE_PATH,
            scope_separator=",",
            code_params={"expiring": "1"},
            pkce=False,
        ),
        ApiKey(
            code="legacy",
            label=_lt("Access token"),
            header=oauth.TOKEN_HEADER,
            credential="access_token",
        ),
    )
    _connector_credentials = (
        CredentialSpec(
            "client_secret",
            _lt("Client secret"),
            _lt(
                "Beside the client ID of your app; an app made in the Shopify admin calls it API "
                "secret key. It also checks that notifications come from Shopify."
            ),
        ),
    )
    _connector_hints = {
        "client_id": _lt("In the Shopify Dev Dashboard: your app, Settings."),
        "access_token": _lt(
            "Only for an app made in the Shopify admin before 2026; it begins with shpat_."
        ),
    }
    _connector_oauth_callback = "/integration/shopify/callback"
    _connector_topics = webhook.TOPICS
    _connector_privacy_topics = frozenset(webhook.PRIVACY_TOPICS)
    _connector_personal_keys = (
        # what a buyer types in
        "note",
        "customAttributes.value",
        "note_attributes.value",
        "properties.value",
        *(
            f"{address}.{part}"
            for address in (
                "billingAddress",
                "shippingAddress",
                "defaultAddress",
                "addresses",
            )
            for part in ("company", "city")
        ),
    )

    # === HOOKS - OUTGOING === #

    def _base_url(self, backend):
        base_url = super()._base_url(backend)
        oauth.refuse_foreign_host(base_url, backend.environment == "sandbox")
        return base_url

    def _check_consent(self, backend, parameters):
        if not oauth.is_signed_query(parameters, backend._credentials("client_secret")):
            raise AuthError(
                self.env._(
                    "The answer is not signed with the client secret of this backend. Check the "
                    "secret and press Connect again."
                )
            )
        shop = (parameters.get("shop") or "").lower()
        base_url = self._base_url(backend)
        sandbox = backend.environment == "sandbox"
        expected = {base_url.split("://", 1)[1], backend.shopify_domain}
        if not (oauth.is_shop_domain(shop) or sandbox) or shop not in expected:
            raise ConfigurationError(
                self.env._(
                    "You gave access to the shop %(shop)s, but this backend belongs to "
                    "%(expected)s. Log in to the right shop and press Connect again.",
                    shop=shop or "?",
                    expected=base_url,
                )
            )

    def _test_connection(self, backend):
        answer = backend._shopify_client(note=False).execute("shop")
        shop = answer.data.get("shop") or {}
        return self.env._(
            'Connected to "%(name)s" (%(domain)s, %(currency)s).',
            name=shop.get("name"),
            domain=shop.get("myshopifyDomain"),
            currency=shop.get("currencyCode"),
        )

    def _connected(self, backend):
        client = backend._shopify_client(note=False)
        answer = client.execute("shop")
        shop = answer.data.get("shop") or {}
        backend.write(
            {
                **backend._shopify_news(answer),
                "shopify_domain": shop.get("myshopifyDomain"),
                "shopify_shop_name": shop.get("name"),
                "shopify_currency": shop.get("currencyCode"),
                "shopify_timezone": shop.get("ianaTimezone"),
            }
        )
        backend._shopify_report_api()
        self._untaxed_tax(backend.company_id)

    def _check_daily(self, backend):
        backend._shopify_report_api()
        self.env["integration.shopify.number"]._check(backend)
        return super()._check_daily(backend)

    # === HOOKS - ACCESS === #

    def _oauth_scopes(self, backend):
        # without a consent the version of the app says what its tokens allow
        if not backend.needs_consent:
            return []
        # optional, but who gives consent gives it for what the buttons of orders do as well
        return [*super()._oauth_scopes(backend), "write_orders"]

    def _connector_scopes(self, backend):
        resources = {
            flow.resource for flow in backend.flow_ids if flow.enabled and flow.direction == "in"
        }
        topics = [topic for topic, code in webhook.TOPICS.items() if code in resources]
        reasons = {
            "read_orders": self.env._("be notified of changes"),
            "read_returns": self.env._("be notified of returns at once"),
            "read_fulfillments": self.env._("be notified of shipments at once"),
            "read_merchant_managed_fulfillment_orders": self.env._(
                "be notified at once when a fulfillment is put on hold, moved or split"
            ),
        }
        needed = {scopes.of_topic(self._remote_topic(topic)): None for topic in topics}
        # some are told to everybody
        needed.pop("", None)
        return [
            Scope(
                name,
                reasons.get(name) or self.env._("be notified of changes"),
                # the rest is found by the scheduled reading
                optional=name != "read_orders",
            )
            for name in needed
        ]

    def _granted_scopes(self, backend):
        answer = backend._shopify_client(note=False).execute("access_scopes")
        scopes = (answer.data.get("currentAppInstallation") or {}).get("accessScopes")
        return None if scopes is None else [row["handle"] for row in scopes]

    def _implied_scopes(self, name):
        return scopes.included(name)

    def _scope_advice(self, backend):
        if backend.needs_consent:
            return self.env._(
                "Add it to the app in the Shopify Dev Dashboard and release the version, then "
                "press Reconnect on the backend (role Integration Manager): Shopify asks for your "
                "consent."
            )
        if backend.auth_kind == "shopify.legacy":
            return self.env._(
                "In the Shopify admin open Settings, Apps, the app of this connection, and add it "
                "to its Admin API access scopes. Then press Check Access on the backend (role "
                "Integration Manager)."
            )
        return self.env._(
            "Add it to the app in the Shopify Dev Dashboard, release the version and accept it in "
            "the shop. Then press Check Access on the backend (role Integration Manager)."
        )

    # === HOOKS - SUBSCRIPTIONS === #

    def _webhook_topics(self, backend):
        # Shopify refuses to tell of what the app may not read
        granted = backend._granted_scopes() or ["read_orders"]
        return [
            topic
            for topic in super()._webhook_topics(backend)
            if scopes.allows_topic(self._remote_topic(topic), granted)
        ]

    def _list_subscriptions(self, backend):
        client = backend._shopify_client(note=False)
        topics = {self._remote_topic(topic): topic for topic in webhook.TOPICS}
        found, after = [], None
        while True:
            page = client.execute(
                "webhook_subscriptions", {"first": 100, "after": after, "topics": sorted(topics)}
            ).data["webhookSubscriptions"]
            found += [
                Subscription(
                    topics[row["topic"]],
                    row["uri"],
                    row["id"],
                    drifted=self._subscription_drift(topics[row["topic"]], row),
                )
                for row in page["nodes"]
                if row["topic"] in topics
            ]
            if not page["pageInfo"]["hasNextPage"]:
                return found
            after = page["pageInfo"]["endCursor"]

    def _create_subscription(self, backend, topic, address):
        subscription = {"uri": address, "format": "JSON"}
        if fields := webhook.include_fields(topic):
            subscription["includeFields"] = fields
        try:
            payload = backend._shopify_client(note=False).mutate(
                "webhook_subscription_create",
                {"topic": self._remote_topic(topic), "webhookSubscription": subscription},
                action=self.env._(
                    "send notifications of %(topic)s to %(uri)s", topic=topic, uri=address
                ),
            )
        except UserErrors as error:
            raise RequestRefused(
                self.env._(
                    "%s. Shopify needs a public https address: check the system parameter "
                    "web.base.url",
                    error.message,
                )
            ) from error
        return (payload.get("webhookSubscription") or {}).get("id")

    def _delete_subscription(self, backend, remote_id):
        try:
            backend._shopify_client(note=False).mutate(
                "webhook_subscription_delete",
                {"id": remote_id},
                action=self.env._("end the subscription %s", remote_id),
            )
        except UserErrors as error:
            # about its id: it is gone already
            if any(problem.path != "id" for problem in error.problems):
                raise

    @api.model
    def _subscription_drift(self, topic, row):
        """Return what of a subscription is not as :meth:`_create_subscription` makes it.

        A filter hides orders, other fields may bring personal data or leave out the order's id.
        """
        if row.get("format") != "JSON":
            return "format"
        if row.get("filter"):
            return "filter"
        wanted = webhook.include_fields(topic)
        return "" if sorted(row.get("includeFields") or []) == sorted(wanted) else "includeFields"

    @api.model
    def _remote_topic(self, topic):
        return topic.replace("/", "_").replace(".", "_").upper()

    # === HOOKS - RATE LIMITS === #

    def _rate_limits(self, backend):
        return (POINTS,)

    def _rate_cost(self, backend, request):
        if not request.url.endswith(ENDPOINT):
            return {}
        return {POINTS.name: expected_cost(request.json)}

    def _read_rate(self, backend, response):
        try:
            body = response.json()
        except IntegrationError:
            # a page of something in between; whoever asked says so
            return ()
        extensions = body.get("extensions") if isinstance(body, dict) else None
        state = bucket_state((extensions or {}).get("cost") or {})
        return (state,) if state else ()

    # === HOOKS - INCOMING === #

    def _verify_webhook(self, backend, headers, body):
        webhook.verify(headers, body, backend._credentials("client_secret"))

    def _webhook_backends(self, backend, topic, headers, body):
        if topic not in webhook.PRIVACY_TOPICS:
            webhook.refuse_other_shop(headers, backend.shopify_domain or "")
            return backend
        try:
            shop = webhook.read_shop(topic, body)
        except InvalidPayloadError:
            return backend
        # the settings of an app name one address for what all of its shops ask for
        # sudo: of whichever company the shop is
        return backend.sudo().search(
            [
                ("connector", "=", backend.connector),
                ("state", "!=", "draft"),
                ("shopify_domain", "=", shop),
            ]
        )

    def _read_webhook_headers(self, backend, headers, body):
        read = webhook.read_headers(headers)
        if not read.topic:
            raise WebhookRefused(self.env._("The notification does not say what it is about."))
        if read.event_id:
            return read
        # without an id, equal bodies of one topic are the same event
        event_id = f"{read.topic}:{hashlib.sha256(body).hexdigest()}"
        return replace(read, event_id=event_id)

    def _parse_webhook(self, backend, topic, body):
        if topic in webhook.PRIVACY_TOPICS:
            notice = webhook.read_privacy(topic, body, backend.shopify_domain or "")
            return Notification(None, privacy=notice)
        found = webhook.read(topic, body)
        return Notification(*found) if found else Notification(None)

    # === MAPPING DEFAULTS === #

    def _default_mapping(self, backend, kind, values):
        """Recognise taxes: exactly one active sales tax with this percentage and position.

        Foreign taxes have the same percentages as domestic ones. So a key without a country only
        gets a tax of the company's own country, and one of a delivery abroad only a tax of that
        country (distance sales within the EU), never the domestic one. Taxes that a sales channel
        pays itself are left to a person: they belong to another account.
        """
        if kind == "payment_term":
            return self._default_terms(backend, values)
        if kind != "tax":
            return super()._default_mapping(backend, kind, values)
        home = backend.company_id.account_fiscal_country_id
        taxes = self.env["account.tax"].search(
            [
                *self.env["account.tax"]._check_company_domain(backend.company_id),
                ("type_tax_use", "=", "sale"),
                ("amount_type", "=", "percent"),
            ]
        ) - self._untaxed_tax(backend.company_id, create=False)
        found = {}
        for value in values:
            key = read_tax_key(value)
            if key.percent is None or key.channel:
                continue
            country = key.country or home.code
            matching = taxes.filtered(
                lambda tax, key=key, country=country: (
                    country in self._tax_countries(tax)
                    and Decimal(str(tax.amount)) == key.percent
                    and tax.price_include == key.included
                )
            )
            if len(matching) == 1:
                found[value] = matching
        return found

    @api.model
    def _tax_countries(self, tax):
        """Return the ISO codes of where a tax is charged.

        Taxes of distance sales (OSS) are declared at home, so their country is the company's; the
        fiscal positions they belong to say where the goods go.
        """
        abroad = tax.fiscal_position_ids.country_id
        return (abroad or tax.country_id).mapped("code")

    @api.model
    def _default_terms(self, backend, values):
        """Recognise payment terms: exactly one has the whole amount due after as many days."""
        Term = self.env["account.payment.term"]
        terms = Term.search(Term._check_company_domain(backend.company_id)).filtered(
            lambda term: (
                len(term.line_ids) == 1
                and not term.early_discount
                and term.line_ids.value == "percent"
                and term.line_ids.value_amount == 100
                and term.line_ids.delay_type == "days_after"
            )
        )
        found = {}
        for value in values:
            days = value.rpartition("|")[2]
            matching = terms.filtered(
                lambda term, days=days: days.isdecimal() and term.line_ids.nb_days == int(days)
            )
            if len(matching) == 1:
                found[value] = matching
        return found

    @api.model
    def _untaxed_tax(self, company, create=True):
        """Return the 0 % tax of lines without tax, made once per company.

        Odoo keeps exact amounts of a line per tax, so a line without any tax could not have them.
        An existing 0 % tax is not taken: it may mean an export or an exemption in tax reports.
        """
        Tax = self.env["account.tax"].with_company(company)
        xmlid = f"integration_shopify.tax_none_{company.id}"
        tax_id = self.env["ir.model.data"]._xmlid_to_res_id(xmlid)
        tax = Tax.browse(tax_id or ()).exists()
        if tax or not create:
            return tax
        Group = self.env["account.tax.group"].with_company(company)
        if not Group.search_count(Group._check_company_domain(company), limit=1):
            raise ConfigurationError(
                self.env._(
                    "%s has no taxes yet. Choose its fiscal localization in the accounting "
                    "settings, then press the same button again.",
                    company.name,
                )
            )
        # sudo: part of the set-up, which whoever imports orders need not be allowed to change
        group = Group.sudo().create({"name": self.env._("No Tax"), "company_id": company.id})
        # sudo: as above
        created = Tax.sudo().create(
            {
                "name": "0% (no tax in Shopify)",
                "amount": 0,
                "amount_type": "percent",
                "type_tax_use": "sale",
                "company_id": company.id,
                "price_include_override": "tax_excluded",
                # totals are shown by group, and the usual group is named after the usual rate
                "tax_group_id": group.id,
                "invoice_label": "",
            }
        )
        tax = Tax.browse(created.id)
        # by name it would be lost when somebody renames it
        self.env["ir.model.data"]._update_xmlids(
            [{"xml_id": xmlid, "record": tax, "noupdate": True}]
        )
        return tax

    # === TROUBLE === #

    def _classify_response(self, backend, response):
        """Read the statuses by which Shopify says that the shop itself is not available.

        :raises AuthError: 402 (not paid for) and 423 (locked): waiting work keeps waiting.
        :raises ConfigurationError: 404, no shop at this address.
        """
        if response.status in (402, 423):
            raise AuthError(
                self.env._(
                    "Shopify has closed the shop %(backend)s for now (unpaid or locked). Solve "
                    "that in the Shopify admin. %(button)s Nothing is lost meanwhile.",
                    backend=backend.display_name,
                    button=backend._connect_advice(),
                )
            )
        if response.status == 404:
            raise ConfigurationError(
                self.env._(
                    "There is no Shopify shop at %s, or it does not have this interface. Check "
                    "the address of the backend.",
                    backend.base_url,
                )
            )
        return super()._classify_response(backend, response)
