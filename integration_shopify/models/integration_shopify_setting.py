from odoo import api, models

from odoo.addons.integration_base.lib import contract
from odoo.addons.integration_base.lib.errors import MissingScopeError, SkipRecord
from odoo.addons.integration_base.lib.records import Change, ChangePage

from ..lib import scopes, settings
from ..lib.client import access_denied, denied_leaves
from ..lib.settings import GROUPS


class IntegrationShopifySetting(models.AbstractModel):
    """What the shop is set up with, read into the value mappings.

    A record is a whole group (all locations, all price lists): what is missing in it is gone.
    Groups that the app may not read are left out; they are needed by flows that ask for the access
    scope themselves.
    """

    _name = "integration.shopify.setting"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Shop Settings"

    _resource_name = "Shop Settings"
    _resource_model = "integration.shopify.setting.group"
    _resource_direction = "in"
    _resource_groups = (
        "integration_shopify.group_shopify_work",
        "sales_team.group_sale_salesman_all_leads",
        "stock.group_stock_user",
    )
    # a day; most of it is notified of
    _resource_interval_minutes = 1440

    _shopify_documents = tuple(name for group in GROUPS.values() for name in group.documents)

    @property
    def _shopify_optional_scopes(self):
        return frozenset(scopes.of_documents(self._shopify_documents))

    def _shopify_scope_reasons(self, backend):
        reason = self.env._("offer them in the value mappings")
        return dict.fromkeys(self._shopify_optional_scopes, reason)

    # === HOOKS - READING === #

    def _fetch_changes(self, backend, since, page):
        return ChangePage(
            [Change(code, label=self._group_name(code)) for code in self._readable(backend)],
            ordered=False,
        )

    @api.model
    def _readable(self, backend):
        """Return the codes of the groups that the app may read, as far as is known."""
        return [
            code
            for code, group in GROUPS.items()
            if not backend._scopes_lacking(
                scopes.of_documents(group.documents, backend._granted_scopes() or ())
            )
        ]

    def _fetch(self, backend, external_ids):
        client = backend._shopify_client()

        def execute(name, variables):
            answer = client.execute(name, variables)
            # whatever is missing in a part of a group would be taken for gone
            if denied_leaves(answer):
                raise access_denied(answer.errors)
            return answer.data

        def read(code):
            if code not in GROUPS:
                return None
            try:
                return {"group": code, **GROUPS[code].read(execute)}
            except MissingScopeError as error:
                # only this group is left out, not the others
                return SkipRecord(error.message)

        return self._fetch_each(external_ids, read)

    def _validate(self, backend, payload, label):
        return contract.validate(GROUPS[payload["group"]].contract, payload, label)

    def _label(self, data):
        return self._group_name(data.group)

    @api.model
    def _group_name(self, code):
        Group = self.env["integration.shopify.setting.group"]
        return dict(Group._fields["code"]._description_selection(self.env)).get(code, code)

    # === HOOKS - WRITING === #

    def _map(self, backend, items):
        words = self._words()
        for item in items:
            item.values = {
                row.value: (
                    row.label,
                    ", ".join(filter(None, (row.note, *(words[mark] for mark in row.marks)))),
                    row.details,
                )
                for row in settings.values(item.data)
            }

    @api.model
    def _words(self):
        """Return what the marks of ``lib/settings.py`` say to people."""
        return {
            "inactive": self.env._("not active"),
            "service": self.env._("fulfillment service"),
            "own": self.env._("of the shop"),
            "unpublished": self.env._("not published"),
            "auto": self.env._("new products are published to it by Shopify"),
        }

    def _find_existing(self, backend, items):
        Group = self.env["integration.shopify.setting.group"]
        known = Group.search([("backend_id", "=", backend.id)]).grouped("code")
        for item in items:
            item.record = known.get(item.external_id)

    def _apply(self, backend, items):
        Mapping = self.env["integration.mapping"]
        for item in items:
            if not item.record:
                item.record = self.env["integration.shopify.setting.group"].create(
                    {"backend_id": backend.id, "code": item.external_id}
                )
            before = item.record._mappings()
            present = before.filtered(lambda row: not row.gone_at)
            group = GROUPS[item.external_id]
            rows = Mapping._take_over(backend, group.kind, item.values, group.domain)
            item.record.count = len(item.values)
            for row in present.filtered(lambda row: row.gone_at and row.resource_ref):
                item.notes.append(
                    self.env._(
                        "%(value)s no longer exists in the shop. It was %(record)s in Odoo.",
                        value=row.display_name,
                        record=row.resource_ref.display_name,
                    )
                )
            if item.external_id == "market":
                self.env["integration.shopify.market"]._take_over(backend, item.data.markets, rows)
            elif item.external_id == "location":
                self._decide_owners(rows - before, rows)
            elif item.external_id == "currency":
                self._take_over_shop(backend, item.data.shop)

    @api.model
    def _decide_owners(self, fresh, rows):
        """Say who counts the goods of new locations, and of those that an order has named.

        What a fulfillment service has is not ours to send, unless a person maps it.
        """
        unowned = rows.filtered(lambda row: not row.shopify_stock_owner)
        services = (fresh | unowned).filtered(
            lambda row: (row.external_details or {}).get("service") and not row.resource_ref
        )
        services.shopify_stock_owner = "shopify"
        (unowned - services).shopify_stock_owner = "odoo"

    @api.model
    def _take_over_shop(self, backend, shop):
        """Note the shop's name, currency and time zone where they have changed."""
        told = {
            "shopify_shop_name": shop.name,
            "shopify_currency": shop.currencyCode,
            "shopify_timezone": shop.ianaTimezone,
        }
        changed = {name: value for name, value in told.items() if backend[name] != value}
        if changed:
            # sudo: a fact about the service, noted whoever works
            backend.sudo().with_context(tracking_disable=True).write(changed)
