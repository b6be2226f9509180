import hashlib
from datetime import timedelta

from odoo import api, fields, models

#: Seconds to connect, between two pieces of the answer, and for a whole upload.
UPLOAD_TIMEOUT = (5.0, 30.0, 120.0)
#: Products that are queued by one statement.
CHUNK = 1000
#: Where a transaction notes the shops whose products are all to be sent.
CATALOGUES = "shopify_catalogues"
#: What every product in the shop depends on.
CATALOGUE_SETTINGS = (
    "shopify_pricelist_id",
    "shopify_price_tax",
    "shopify_compare_at",
    "shopify_vendor",
    "shopify_lang",
    "shopify_translate",
    "shopify_send_images",
    "shopify_send_cost",
    "shopify_send_type",
    "shopify_send_tags",
)


class IntegrationBackend(models.Model):
    # what concerns products stands in files of its own
    _inherit = "integration.backend"

    shopify_pricelist_id = fields.Many2one(
        "product.pricelist",
        string="Price List of the Shop",
        check_company=True,
        help="What products cost in the shop, in the shop's currency. Needed when variants have "
        "prices of their own, when the shop sells in another currency than the company's, or for "
        "offers (the sales price is then the price before). Empty: the sales price.",
    )
    shopify_price_tax = fields.Selection(
        [
            ("as_is", "As in Odoo"),
            ("included", "Tax included"),
            ("excluded", "Tax excluded"),
        ],
        string="Prices in the Shop",
        required=True,
        default="as_is",
        help="Shopify has one setting for all its prices (Settings > Taxes). Where yours in Odoo "
        "are the other way round, they are converted by the sales taxes of each product, when they "
        "are sent and when products are imported.",
    )
    shopify_compare_at = fields.Boolean(
        string="Show the Sales Price as Compare-At",
        default=True,
        help="Where the price list is lower than the sales price, the shop shows that crossed out.",
    )
    shopify_product_status = fields.Selection(
        [("ACTIVE", "Active"), ("DRAFT", "Draft")],
        string="New Products Become",
        required=True,
        default="ACTIVE",
        help="Draft: somebody looks at a product in Shopify first, and sets its status there, or "
        "on the product in Odoo. Products that the shop has already keep their status.",
    )
    shopify_vendor = fields.Char(
        string="Vendor",
        help="Of products that have none of their own (page Shopify of the product). Empty: "
        "whatever the shop says.",
    )
    shopify_lang = fields.Selection(
        selection=lambda self: self.env["res.lang"].get_installed(),
        string="Language of the Shop",
        help="In which names and descriptions are sent; empty: that of the company.",
    )
    shopify_translate = fields.Boolean(
        string="Send Translations",
        help="Names and descriptions in the other languages of Odoo that the shop has as well. It "
        "needs two more calls for a product.",
    )
    shopify_send_images = fields.Boolean(
        string="Send Pictures",
        default=True,
        help="The pictures of products and variants. Those added in Shopify stay. Off: pictures "
        "belong to the shop.",
    )
    shopify_send_cost = fields.Boolean(
        string="Send Costs",
        default=True,
        help="What products cost you, for the profit reports of Shopify; only where the company "
        "has the shop's currency.",
    )
    shopify_send_type = fields.Boolean(
        string="Category as Product Type",
        default=True,
        help="Off: the product type belongs to the shop.",
    )
    shopify_send_tags = fields.Boolean(
        string="Send Tags",
        default=True,
        help="Tags of products. Those added in Shopify stay. Off: tags belong to the shop.",
    )
    shopify_archived_policy = fields.Selection(
        [("archive", "Archive"), ("keep", "Leave as they are")],
        string="Archived Products",
        required=True,
        default="archive",
        help="What becomes in the shop of products that are archived in Odoo.",
    )
    shopify_deleted_policy = fields.Selection(
        [("archive", "Archive"), ("delete", "Delete"), ("keep", "Leave as they are")],
        string="Deleted Products",
        required=True,
        default="archive",
        help="What becomes in the shop of products that are deleted in Odoo. What Shopify deletes "
        "is gone for good, with its reviews and its place in collections.",
    )
    shopify_removed_variants = fields.Selection(
        [("delete", "Delete"), ("keep", "Leave and report")],
        string="Removed Variants",
        required=True,
        default="delete",
        help="What becomes in the shop of variants that Odoo no longer has. Variants that somebody "
        "added in Shopify are never touched.",
    )
    shopify_offers_checked_at = fields.Datetime(readonly=True, copy=False)
    shopify_product_key = fields.Char(
        readonly=True, copy=False, help="Key of the metafield that holds our ids in this shop."
    )
    shopify_channel_ids = fields.One2many(
        "integration.mapping",
        "backend_id",
        string="Sales Channels",
        domain=[("kind", "=", "publication"), ("gone_at", "=", False)],
    )
    shopify_listing_count = fields.Integer(
        string="Products", compute="_compute_shopify_listing_count"
    )
    shopify_sales_currency = fields.Char(
        compute="_compute_shopify_sales_currency",
        help="That of the prices that are sent, where it is not the shop's.",
    )
    shopify_shown_nowhere = fields.Boolean(compute="_compute_shopify_shown_nowhere")
    shopify_products_in = fields.Boolean(compute="_compute_shopify_products_flows")
    shopify_products_out = fields.Boolean(compute="_compute_shopify_products_flows")

    @api.depends_context("uid")
    def _compute_shopify_listing_count(self):
        rows = self.env["integration.shopify.listing"]._read_group(
            [("backend_id", "in", self.ids)], ["backend_id"], ["__count"]
        )
        counts = {backend.id: count for backend, count in rows}
        for backend in self:
            backend.shopify_listing_count = counts.get(backend.id, 0)

    @api.depends("flow_ids.enabled")
    def _compute_shopify_products_flows(self):
        for backend in self:
            backend.shopify_products_in = bool(backend._shopify_product_in_flow())
            backend.shopify_products_out = bool(backend._shopify_product_out_flow())

    @api.depends("shopify_currency", "shopify_pricelist_id", "company_id")
    def _compute_shopify_sales_currency(self):
        for backend in self:
            ours = backend.shopify_pricelist_id.currency_id or backend.company_id.currency_id
            other = backend.shopify_currency and ours.name != backend.shopify_currency
            backend.shopify_sales_currency = ours.name if other else False

    @api.depends("shopify_channel_ids.shopify_publish")
    def _compute_shopify_shown_nowhere(self):
        for backend in self:
            channels = backend.shopify_channel_ids
            backend.shopify_shown_nowhere = bool(channels) and not any(
                channels.mapped("shopify_publish")
            )

    def write(self, vals):
        names = [name for name in CATALOGUE_SETTINGS if name in vals]
        before = {backend: [backend[name] for name in names] for backend in self if names}
        result = super().write(vals)
        for backend, values in before.items():
            if values != [backend[name] for name in names]:
                backend._shopify_send_catalogue()
        return result

    # === BUSINESS METHODS === #

    def _shopify_product_out_flow(self):
        """Return the flow that sends products to the shop, empty while it is off."""
        return self.flow_ids.filtered(
            lambda flow: flow.resource == "product" and flow.direction == "out" and flow.enabled
        )

    def _shopify_send_products(self, templates):
        """Have products sent to this shop soon, as far as it is to have them."""
        # sudo: whoever may change a product may have it sent
        own = self.sudo()
        flow = own._shopify_product_out_flow()
        if flow and templates:
            own.env["integration.sync.log"]._append_records(
                flow, templates.with_env(own.env), "change"
            )
            flow._wake_after_commit()

    def _shopify_send_catalogue(self):
        """Have all products compared with what was last sent; equal ones cost no call.

        Once at the end of the transaction, however many settings are changed in it, and after what
        is changed on products meanwhile.
        """
        data = self.env.cr.precommit.data
        if CATALOGUES not in data:
            data[CATALOGUES] = set()
            self.env.cr.precommit.add(self._shopify_append_catalogues)
        data[CATALOGUES].update(self.filtered(lambda row: row.connector == "shopify").ids)

    def _shopify_append_catalogues(self):
        # sudo: whoever may change such settings may have products sent
        own = self.sudo()
        for backend in own.browse(own.env.cr.precommit.data.pop(CATALOGUES, ())).exists():
            flow = backend._shopify_product_out_flow()
            if not flow:
                continue
            Log = own.env["integration.sync.log"]
            waiting = Log.search_fetch(
                [("flow_id", "=", flow.id), ("kind", "=", "record"), ("state", "=", "pending")],
                ["res_id"],
            )
            products = backend._shopify_products([])
            products -= products.browse(waiting.mapped("res_id"))
            for start in range(0, len(products), CHUNK):
                # as an initial load: people's own changes come first
                Log._append_records(flow, products[start : start + CHUNK], "backfill")
            if products:
                flow._wake_after_commit()

    def _shopify_send_foreign_prices(self):
        """Send prices that follow a rate of exchange, which nobody changes on a product."""
        main = self.env["res.company"]._get_main_company().currency_id
        for backend in self:
            lists = backend.shopify_pricelist_id._shopify_with_bases()
            # sales prices of shared products are in the currency of the main company
            if len(lists.currency_id | backend.company_id.currency_id | main) > 1:
                backend._shopify_send_catalogue()

    def _shopify_own_key(self):
        """Return the key by which products of Odoo are known in the shop, empty if none are sent.

        The products of the very first batch are told of before their key is noted.
        """
        if self.shopify_product_key:
            return self.shopify_product_key
        return self._shopify_metafield_key() if self._shopify_product_out_flow() else ""

    def _forget_records(self):
        """Forget what was sent to the other account as well: the next products are new there."""
        count = super()._forget_records()
        self.shopify_product_key = False
        mine = [("backend_id", "=", self.id)]
        # sudo: whoever may switch the backend may forget what the other account has
        own = self.sudo().env
        own["integration.shopify.listing"].search(mine).write(
            {"external_id": False, "memory": False, "note": False, "sent_at": False}
        )
        own["integration.shopify.image"].search(mine).unlink()
        return count

    def _shopify_products(self, domain):
        """Return the products of a domain that this shop has or shall have."""
        resource = self._resource("product")
        return (
            self.env["product.template"]
            .with_context(active_test=False)
            .search([*domain, *resource._export_domain(self)])
        )

    def _shopify_send_dated_offers(self, now):
        """Send the products whose price in the shop has changed because a rule began or ended.

        While the flow is off nothing is noted as sent, so what was missed is made good.
        """
        self.ensure_one()
        if not self._shopify_product_out_flow():
            return
        since = self.shopify_offers_checked_at or now - timedelta(days=1)
        self.with_context(tracking_disable=True).shopify_offers_checked_at = now
        rules = self.shopify_pricelist_id._shopify_with_bases()._shopify_dated(since, now)
        if rules:
            templates = self._shopify_products(rules._shopify_product_domain())
            self._shopify_send_products(templates)

    def _shopify_metafield_key(self):
        """Return the key of the metafield (namespace ``odoo``) that holds ids of this database.

        Several databases may send products to one shop, each with ids of its own.
        """
        # sudo: system parameters are for administrators
        database = self.env["ir.config_parameter"].sudo().get_param("database.uuid") or ""
        return f"db_{hashlib.sha256(database.encode()).hexdigest()[:12]}"

    def _shopify_upload(self, target, body, mime):
        """Send a file to where Shopify has made room for it.

        :param dict target: of ``stagedUploadsCreate``.
        :param bytes body: the file.
        :param str mime: its type.
        :raises IntegrationError: it did not arrive.
        """
        with self._file_client(target["url"], timeout=UPLOAD_TIMEOUT) as client:
            client.request(
                "PUT",
                target["url"],
                data=body,
                headers={"Content-Type": mime},
                label="upload a picture",
                keep_bodies=False,
            )

    # === ACTIONS === #

    def action_shopify_open_products(self):
        """Open the list of products this shop has or shall have."""
        self.ensure_one()
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_shopify.integration_shopify_listing_action"
        )
        action["domain"] = [("backend_id", "=", self.id)]
        action["context"] = {"default_backend_id": self.id}
        return action
