from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date, sql

from odoo.addons.integration_base.lib.errors import IntegrationError

from ..lib import oauth, versions
from ..lib.client import GraphqlClient
from ..lib.versions import API_VERSION


def _parts(text):
    """Return the parts Shopify names in one line, as a set."""
    return {part.strip() for part in (text or "").split(",") if part.strip()}


class IntegrationBackend(models.Model):
    _inherit = "integration.backend"

    shopify_currency_policy = fields.Selection(
        [
            ("presentment", "Currency of the buyer"),
            ("shop", "Currency of the shop"),
        ],
        string="Orders in",
        default="presentment",
        help="Only for shops that sell in several currencies. Set it before the first import.",
    )
    shopify_orders_since = fields.Datetime(
        string="Orders Placed Since",
        help="Older orders are not imported, whether a reading or a notification tells of them. "
        "Set it to the change-over before you connect; empty: every order Shopify shows.",
    )
    shopify_import_test_orders = fields.Boolean(
        string="Import Test Orders",
        help="Test orders of a production backend are skipped unless this is on. A sandbox "
        "imports them always.",
    )
    shopify_team_id = fields.Many2one(
        "crm.team",
        string="Sales Team",
        check_company=True,
        help="Of the imported orders; empty: Odoo's usual choice.",
    )
    shopify_warehouse_id = fields.Many2one(
        "stock.warehouse",
        string="Warehouse",
        check_company=True,
        help="That delivers the imported orders; empty: the company's first one.",
    )
    shopify_pos_policy = fields.Selection(
        [
            ("import", "Import all"),
            ("delivered", "Import once handed over"),
            ("skip", "Leave out"),
        ],
        string="Point of Sale Orders",
        default="import",
        help="Orders taken at a Shopify till. Leave them out where another system books them.",
    )
    shopify_user_id = fields.Many2one(
        "res.users",
        string="Salesperson",
        domain="[('share', '=', False), ('company_ids', 'in', company_id)]",
        help="Of imported orders whose customer has none; empty: nobody.",
    )
    shopify_rule_ids = fields.One2many(
        "integration.shopify.rule", "backend_id", string="Automation Rules", copy=True
    )
    shopify_carrier_id = fields.Many2one(
        "delivery.carrier",
        string="Delivery Method",
        check_company=True,
        help="For shipping methods of the shop that are not mapped; empty: only a shipping line.",
    )
    shopify_receive_returns = fields.Boolean(
        string="Receive Returned Goods at Once",
        default=True,
        help="Goods that a refund in Shopify takes back are received in Odoo at once. Off: the "
        "stock return waits for the warehouse. Goods of which only a person can tell the lot or "
        "serial number always wait.",
    )
    shopify_return_todo = fields.Boolean(
        string="To-Do for Expected Returns",
        help="When a return is opened in Shopify, the order's salesperson gets a to-do until it "
        "is processed or closed there.",
    )
    shopify_shipping_product_id = fields.Many2one(
        "product.product",
        string="Shipping Product",
        check_company=True,
        help='For shipping charges without a delivery method; empty: "Shopify Shipping".',
    )
    shopify_custom_product_id = fields.Many2one(
        "product.product",
        string="Custom Item Product",
        check_company=True,
        help='For lines without a product in Shopify; empty: "Shopify Custom Item".',
    )
    shopify_gift_card_product_id = fields.Many2one(
        "product.product",
        string="Gift Card Product",
        check_company=True,
        help='For gift cards sold; empty: "Shopify Gift Card".',
    )
    shopify_tip_product_id = fields.Many2one(
        "product.product",
        string="Tip Product",
        check_company=True,
        help='For tips; empty: "Shopify Tip".',
    )
    shopify_fee_product_id = fields.Many2one(
        "product.product",
        string="Duties and Fees Product",
        check_company=True,
        help='For import duties and additional fees; empty: "Shopify Duties and Fees".',
    )
    shopify_adjustment_product_id = fields.Many2one(
        "product.product",
        string="Refund Difference Product",
        check_company=True,
        help="For what a refund kept back (a restocking fee) or gave beyond the goods (goodwill); "
        'empty: "Shopify Refund Difference".',
    )
    shopify_rounding_product_id = fields.Many2one(
        "product.product",
        string="Cash Rounding Product",
        check_company=True,
        help='For what cash payments were rounded by; empty: "Shopify Cash Rounding".',
    )
    shopify_notify_shipments = fields.Selection(
        [
            ("never", "Never"),
            ("first", "With the first shipment"),
            ("always", "With every shipment"),
        ],
        string="Shopify Tells the Buyer",
        default="always",
        required=True,
        help="Whether the shop sends its shipping e-mail for what is shipped in Odoo: with the "
        "first shipment of an order, or with every one and when its tracking is corrected.",
    )
    shopify_follow_shipments = fields.Boolean(
        string="Follow Shipments of Others",
        default=True,
        help="What a fulfillment service, a till or somebody in the Shopify admin ships is "
        "delivered in Odoo, in stock or not. Else it is only listed on the order.",
    )
    shopify_move_shipments = fields.Boolean(
        string="Correct the Location",
        default=True,
        help="Units that leave another location than Shopify planned are assigned to it before "
        "they are shipped there (Value Mappings: Location). Else the shop counts them where it "
        "planned them.",
    )
    shopify_domain = fields.Char(string="Shop Domain", readonly=True, copy=False)
    shopify_shop_name = fields.Char(string="Shop", readonly=True, copy=False)
    shopify_currency = fields.Char(string="Shop Currency", readonly=True, copy=False)
    shopify_timezone = fields.Char(string="Shop Time Zone", readonly=True, copy=False)
    shopify_api_version = fields.Char(string="API Version Answering", readonly=True, copy=False)
    shopify_api_deprecated = fields.Char(
        string="Deprecated Parts Used",
        readonly=True,
        copy=False,
        help="Parts of Shopify's interface that we use and Shopify is going to remove.",
    )
    shopify_api_asked = fields.Char(
        string="API Version Asked For",
        readonly=True,
        copy=False,
        help="When the deprecated parts were noted.",
    )
    shopify_api_until = fields.Datetime(
        string="API Version Ends",
        compute="_compute_shopify_api",
        help="When Shopify ends the version of its interface that this module asks for.",
    )
    shopify_number_ids = fields.One2many(
        "integration.shopify.number", "backend_id", string="Missing Order Numbers", readonly=True
    )
    shopify_numbers_checked_at = fields.Datetime(
        string="Order Numbers Checked", readonly=True, copy=False
    )
    shopify_api_outdated = fields.Boolean(compute="_compute_shopify_api")
    shopify_api_writes_refused = fields.Boolean(compute="_compute_shopify_api")

    @api.depends("shopify_api_version")
    def _compute_shopify_api(self):
        for backend in self:
            answering = backend.shopify_api_version
            backend.shopify_api_until = versions.ends_at(API_VERSION)
            backend.shopify_api_outdated = bool(answering) and answering != API_VERSION
            backend.shopify_api_writes_refused = not versions.may_write(answering)

    def init(self):
        super().init()
        # as they were called before other connectors had them too
        if not sql.column_exists(self.env.cr, "integration_backend", "shopify_auth"):
            return
        self.env.cr.execute(
            "UPDATE integration_backend SET auth_kind = 'shopify.' || shopify_auth"
            " WHERE connector = 'shopify' AND shopify_auth IS NOT NULL"
        )
        self.env.cr.execute(
            "UPDATE integration_credential SET code = 'oauth_' || substring(code FROM 9)"
            " WHERE code IN ('shopify_access', 'shopify_refresh')"
        )
        self.env.cr.execute("ALTER TABLE integration_backend DROP COLUMN shopify_auth")

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        return super().create([self._shopify_clean_address(vals) for vals in vals_list])

    def write(self, vals):
        if vals.get("base_url") and any(b.connector == "shopify" for b in self):
            vals = self._shopify_clean_address({**vals, "connector": "shopify"})
            del vals["connector"]
        return super().write(vals)

    @api.onchange("base_url", "connector")
    def _onchange_shopify_base_url(self):
        if self.connector == "shopify" and self.base_url:
            self.base_url = oauth.shop_address(self.base_url)

    @api.model
    def _shopify_clean_address(self, vals):
        """Return ``vals`` with what people type as the shop made an address."""
        if vals.get("connector") != "shopify" or not vals.get("base_url"):
            return vals
        return {**vals, "base_url": oauth.shop_address(vals["base_url"])}

    # === BUSINESS METHODS === #

    def action_shopify_usual_rules(self):
        """Add the rules most shops begin with to a backend that has none."""
        self.ensure_one()
        self.check_access("write")
        Rule = self.env["integration.shopify.rule"].with_context(active_test=False)
        if Rule.search_count([("backend_id", "=", self.id)], limit=1):
            raise UserError(
                self.env._(
                    "%s has automation rules already. Change those in the table, or delete them "
                    "all (archived ones too) to start again with the usual ones.",
                    self.display_name,
                )
            )
        Rule.create(
            [
                {**vals, "backend_id": self.id, "sequence": 10 * number}
                for number, vals in enumerate(Rule._usual(), start=1)
            ]
        )

    def _shopify_order_flow(self):
        """Return the flow that brings orders into Odoo, switched on or not."""
        return self.flow_ids.filtered(
            lambda flow: flow.resource == "order" and flow.direction == "in"
        )

    def _shopify_client(self, note=True):
        """Return a :class:`~..lib.client.GraphqlClient` of this shop.

        :param note: whether to remember which API version answers; not for callers that write the
            backend themselves.
        """
        return GraphqlClient(
            self._client(),
            on_answer=self._shopify_note_answer if note else None,
            answering=self.shopify_api_version,
        )

    def _shopify_note_answer(self, answer):
        """Remember the version that answered and what it calls deprecated; writes changes only.

        In a transaction of its own: the one of the caller may be rolled back, and what Shopify
        told us stays true.
        """
        if not self._shopify_news(answer):
            return
        with self.env.registry.cursor() as cr:
            # sudo: a fact about the service, noted whoever works
            backend = self.with_env(self.env(cr=cr)).sudo()
            # asked again: the snapshot of the caller may be older than what is stored
            vals = backend._shopify_news(answer)
            if vals:
                backend.with_context(tracking_disable=True).write(vals)
                backend._shopify_report_api()
        self.invalidate_recordset(
            ["shopify_api_version", "shopify_api_deprecated", "shopify_api_asked"]
        )

    def _shopify_news(self, answer):
        """Return the values to write for what an answer says about the API, if that is new."""
        told = _parts(answer.deprecated)
        # what another version called deprecated says nothing about the present one
        known = _parts(self.shopify_api_deprecated) if self._shopify_same_api() else set()
        vals = {}
        if answer.api_version and answer.api_version != self.shopify_api_version:
            vals["shopify_api_version"] = answer.api_version
        if told - known or not self._shopify_same_api():
            vals["shopify_api_asked"] = API_VERSION
            vals["shopify_api_deprecated"] = ", ".join(sorted(told | known))
        return vals

    def _shopify_same_api(self):
        return self.shopify_api_asked == API_VERSION

    def _shopify_report_api(self):
        """Tell people of a version that ends or has ended, and of each deprecated part, once.

        What is over is closed. Repeatable; also called once a day, because days pass.
        """
        now = fields.Datetime.now()
        Incident = self.env["integration.incident"]
        for backend in self:
            problems = backend._shopify_api_problems(now)
            # sudo: a fact about the service, told whoever works
            for incident in Incident.sudo().search(
                [
                    ("backend_id", "=", backend.id),
                    ("kind", "=", "interface"),
                    ("state", "=", "open"),
                    ("key", "not in", list(problems)),
                ]
            ):
                Incident._resolve("interface", backend, incident.key)
            for key, message in problems.items():
                Incident._raise("interface", backend, key, message, count=1)

    def _shopify_api_problems(self, now):
        """Return ``{key of the incident: what is wrong with the API in use}``.

        :param now: naive UTC.
        """
        answering, problems = self.shopify_api_version, {}
        values = {
            "asked": API_VERSION,
            "answering": answering,
            "date": format_date(self.env, versions.ends_at(API_VERSION)),
            "days": versions.days_left(API_VERSION, now),
        }
        stage = versions.stage(now)
        if self.shopify_api_writes_refused:
            problems[f"writes:{answering}"] = self.env._(
                "Shopify answers with version %(answering)s of its interface, which this module "
                "does not know, instead of %(asked)s. Reading goes on. Nothing is written to "
                "Shopify, because it might do something else than meant. Update the module.",
                **values,
            )
        elif self.shopify_api_outdated:
            problems[f"version:{answering}"] = self.env._(
                "Shopify answers with version %(answering)s of its interface instead of "
                "%(asked)s. This module knows both, so everything goes on; %(asked)s ends on "
                "%(date)s (%(days)s days left). Update the module.",
                **values,
            )
        elif stage:
            problems[f"ends:{stage}"] = self.env._(
                "Shopify ends version %(asked)s of its interface, which this module uses, on "
                "%(date)s (%(days)s days left). After that Shopify answers by other rules, and "
                "nothing is written to it any more. Update the module before.",
                **values,
            )
        for part in sorted(_parts(self.shopify_api_deprecated) - versions.ACCEPTED):
            problems[f"deprecated:{part}"] = self.env._(
                "Shopify is going to remove %(part)s from its interface, which this module uses. "
                "It works until version %(asked)s ends on %(date)s (%(days)s days left). Update "
                "the module before.",
                part=part,
                **values,
            )
        return problems

    def action_shopify_find_missing_orders(self):
        """Look for orders whose numbers are missing in Odoo, and import what Shopify has.

        :raises UserError: when Shopify cannot be asked.
        """
        self.ensure_one()
        self.check_access("write")
        if not self._shopify_order_flow().enabled:
            raise UserError(self.env._("The flow Orders is off. Switch it on first."))
        try:
            self._ensure_callable()
            rows = self._with_renewed_auth(
                lambda: self.env["integration.shopify.number"]._check(self)
            )
        except IntegrationError as error:
            raise UserError(error.message) from error
        found = rows.filtered(lambda row: row.state == "found")
        if rows:
            message = self.env._(
                "%(missing)s numbers were missing. Shopify has %(found)s of these orders; they are "
                "being imported.",
                missing=len(rows),
                found=len(found),
            )
        else:
            message = self.env._("No number is missing among the orders imported last.")
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "title": self.env._("Order Numbers"),
                "message": message,
                "type": "success",
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def _shopify_product(self, kind):
        """Return the product for lines without one of their own.

        :param kind: ``custom``, ``gift_card``, ``tip``, ``fee``, ``shipping``, ``adjustment`` or
            ``rounding``.
        """
        product = self[f"shopify_{kind}_product_id"]
        if product:
            return product
        # unlike env.ref this asks the database once, not once per line
        xmlid = f"integration_shopify.product_{kind}"
        product_id = self.env["ir.model.data"]._xmlid_to_res_id(xmlid, raise_if_not_found=True)
        return product.browse(product_id)
