from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError

from odoo.addons.integration_base.lib.records import Change

from ..lib.resources import VARIANT
from ..lib.settings import GROUPS

#: Settings that make other prices of the same products.
PRICE_SETTINGS = {"shopify_market_compare_at", "shopify_price_tax", "shopify_pricelist_id"}
#: Products whose prices are queued by one statement.
CHUNK = 1000


class IntegrationBackend(models.Model):
    # what concerns settings and markets stands in a file of its own
    # pylint: disable=consider-merging-classes-inherited
    _inherit = "integration.backend"

    shopify_setting_ids = fields.One2many(
        "integration.shopify.setting.group", "backend_id", string="Shop Settings", readonly=True
    )
    shopify_market_ids = fields.One2many(
        "integration.shopify.market", "backend_id", string="Markets", readonly=True
    )
    shopify_price_list_ids = fields.One2many(
        "integration.mapping",
        "backend_id",
        string="Price Lists of the Shop",
        domain=[("kind", "=", "price_list")],
    )
    shopify_market_compare_at = fields.Boolean(
        string="Show the Price before Discount",
        default=True,
        help="Discounts of an Odoo price list (rules of the type Discount) are sent with the price "
        "before them, which the shop shows crossed out. Off: only the price to pay is sent.",
    )
    shopify_prices_on = fields.Boolean(compute="_compute_shopify_prices_on")
    shopify_prices_checked_at = fields.Datetime(readonly=True, copy=False)

    @api.depends("flow_ids.enabled")
    def _compute_shopify_prices_on(self):
        for backend in self:
            backend.shopify_prices_on = bool(backend._shopify_price_flow().filtered("enabled"))

    def write(self, vals):
        result = super().write(vals)
        if PRICE_SETTINGS & vals.keys():
            self._shopify_send_prices()
        return result

    def _shopify_price_flow(self):
        return self.flow_ids.filtered(
            lambda flow: flow.resource == "price" and flow.direction == "out"
        )

    # === READING THE SETTINGS === #

    def action_shopify_read_settings(self):
        """Read everything the shop is set up with now, changed or not.

        :raises UserError: when the flow is off.
        """
        self.ensure_one()
        self.check_access("write")
        # sudo: the flow and its log are the engine's, whoever presses the button
        flow = self.sudo().flow_ids.filtered(lambda flow: flow.resource == "setting")
        if not flow.enabled:
            raise UserError(
                self.env._("The flow Shop Settings is off. Switch it on under Flows first.")
            )
        self._ensure_callable()
        resource = flow._resource()
        # sudo: as above
        self.env["integration.sync.log"].sudo()._append(
            flow,
            [Change(code, label=resource._group_name(code)) for code in resource._readable(self)],
            "manual",
            force=True,
        )
        flow._wake_after_commit()
        left_out = [code for code in GROUPS if code not in resource._readable(self)]
        message = self.env._("The settings of the shop are being read; this takes some seconds.")
        if left_out:
            message = self.env._(
                "%(message)s Left out, because the app may not read them: %(groups)s. The page "
                "Access says which access they need.",
                message=message,
                groups=", ".join(resource._group_name(code) for code in left_out),
            )
        return self._action_tell("success", self.env._("Shop Settings"), message)

    # === SENDING PRICES === #

    def _shopify_send_prices(self, products=None, drifting=False):
        """Have prices compared with what was last sent; equal ones cost no call.

        :param products: only these; default: all that the shop has.
        :param drifting: only where prices change without anybody changing them: by a date, a cost
            or a rate of exchange.
        """
        # sudo: whoever may change prices may also let them be sent
        for backend in self.sudo().filtered(lambda row: row.connector == "shopify"):
            flow = backend._shopify_price_flow()
            if not flow.enabled or backend.state == "draft":
                continue
            if drifting and not backend._shopify_drifting():
                continue
            domain = [
                ("backend_id", "=", backend.id),
                ("resource", "=", VARIANT),
                ("res_model", "=", "product.product"),
                ("deleted_at", "=", False),
            ]
            if products is not None:
                domain.append(("res_id", "in", products.ids))
            links = backend.env["integration.binding"].search_fetch(domain, ["res_id"])
            ids = links.mapped("res_id")
            for start in range(0, len(ids), CHUNK):
                # sudo: as above
                self.env["integration.sync.log"].sudo()._append_records(
                    flow, self.env["product.product"].browse(ids[start : start + CHUNK]), "change"
                )
            if ids:
                flow._wake_after_commit()

    def _shopify_pricelists(self):
        """Return the price lists of Odoo that decide prices of this shop."""
        self.ensure_one()
        rows = self.env["integration.shopify.price"]._price_lists(self)
        found = self.env["product.pricelist"].browse(row.resource_ref.id for row in rows)
        # what the shop itself asks decides which prices have to be fixed
        found |= self.shopify_pricelist_id if found else found
        return found._shopify_with_bases()

    def _shopify_drifting(self):
        pricelists = self._shopify_pricelists()
        main = self.env["res.company"]._get_main_company()
        own = self.company_id.currency_id | main.currency_id
        return any(
            pricelist.currency_id != own
            or any(
                rule.date_start or rule.date_end or rule.base == "standard_price"
                for rule in pricelist.item_ids
            )
            for pricelist in pricelists
        )

    @api.model
    def _cron_shopify_dated_prices(self):
        """Send the prices of rules that have begun or ended since the last time.

        Those of the shop itself, and those of its markets.
        """
        now = fields.Datetime.now()
        for backend in self.search([("connector", "=", "shopify"), ("state", "=", "active")]):
            backend._shopify_send_dated_offers(now)
            if not backend.shopify_prices_on:
                continue
            since = backend.shopify_prices_checked_at or now - timedelta(days=1)
            backend.with_context(tracking_disable=True).shopify_prices_checked_at = now
            rules = backend._shopify_pricelists()._shopify_dated(since, now)
            if not rules:
                continue
            if any(rule.applied_on in ("3_global", "2_product_category") for rule in rules):
                backend._shopify_send_prices()
                continue
            products = (
                rules.product_id
                | rules.filtered(
                    lambda rule: not rule.product_id
                ).product_tmpl_id.product_variant_ids
            )
            backend._shopify_send_prices(products)
