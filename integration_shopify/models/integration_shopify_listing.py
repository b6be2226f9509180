from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError


class IntegrationShopifyListing(models.Model):
    """A product in a shop: that it shall be there, and what we wrote of it there.

    Nothing gets into a shop without such a row. ``memory`` is what tells our tags, collections,
    channels, metafields, variants and the values we gave these from what somebody added in Shopify.
    """

    _name = "integration.shopify.listing"
    _inherit = ["integration.company.mixin"]
    _description = "Product in a Shopify Shop"
    _order = "product_tmpl_id, backend_id"
    _rec_name = "backend_id"

    product_tmpl_id = fields.Many2one(
        "product.template", string="Product", required=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend",
        string="Shop",
        required=True,
        ondelete="cascade",
        index=True,
        domain="[('connector', '=', 'shopify')]",
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    publish = fields.Boolean(
        default=True,
        help="Off: the product becomes a draft in the shop, so nobody can buy it, and is kept up "
        "to date there.",
    )
    status = fields.Selection(
        [("ACTIVE", "Active"), ("UNLISTED", "Unlisted"), ("DRAFT", "Draft")],
        string="Status in Shop",
        help="Unlisted: bought by its link only. Empty: as the settings of the shop say when Odoo "
        "makes the product there, then as somebody sets it in Shopify.",
    )
    external_id = fields.Char(string="External ID", readonly=True, copy=False)
    # sudo: the shop's address, for whoever may see that a product is in a shop
    url = fields.Char(string="Open in Shopify", compute="_compute_url", compute_sudo=True)
    memory = fields.Json(readonly=True, copy=False)
    note = fields.Text(string="Left in the Shop", readonly=True, copy=False)
    sent_at = fields.Datetime(string="Last Sent", readonly=True, copy=False)
    state = fields.Selection(
        [
            ("new", "Not Sent Yet"),
            ("waiting", "Waiting"),
            ("done", "Up to Date"),
            ("failed", "Failed"),
        ],
        string="Sync",
        compute="_compute_state",
        help="Whether the last change in Odoo got there.",
    )
    message = fields.Text(string="Problem", compute="_compute_state")

    _product_unique = models.Constraint(
        "UNIQUE(backend_id, product_tmpl_id)", "This product is already in the list of this shop."
    )

    # === COMPUTE METHODS === #

    @api.depends("external_id", "backend_id")
    def _compute_url(self):
        for listing in self:
            shop = (listing.backend_id.shopify_domain or "").removesuffix(".myshopify.com")
            number = (listing.external_id or "").rpartition("/")[2]
            listing.url = (
                f"https://admin.shopify.com/store/{shop}/products/{number}"
                if shop and number
                else False
            )

    @api.depends_context("uid")
    def _compute_state(self):
        # sudo: whoever may see that a product is in a shop may see whether it got there
        Log = self.env["integration.sync.log"].sudo()
        rows = Log._read_group(
            [
                ("backend_id", "in", self.backend_id.ids),
                ("resource", "=", "product"),
                ("res_model", "=", "product.template"),
                ("res_id", "in", self.product_tmpl_id.ids),
                ("state", "not in", ("merged", "ignored")),
            ],
            ["backend_id", "res_id"],
            ["id:max"],
        )
        last = {(backend.id, res_id): Log.browse(log_id) for backend, res_id, log_id in rows}
        for listing in self:
            log = last.get((listing.backend_id.id, listing.product_tmpl_id.id), Log)
            listing.message = log.message if log.state in ("dead", "pending") else False
            if log.state == "dead":
                listing.state = "failed"
            elif log.state in ("pending", "running"):
                listing.state = "waiting"
            else:
                listing.state = "done" if listing.external_id else "new"

    # === CRUD METHODS === #

    @api.constrains("product_tmpl_id", "backend_id")
    def _check_company(self):
        for listing in self:
            company = listing.product_tmpl_id.company_id
            if company and company not in listing.company_id.parent_ids:
                raise ValidationError(
                    self.env._(
                        "%(product)s belongs to %(other)s, but %(shop)s to %(company)s.",
                        product=listing.product_tmpl_id.display_name,
                        other=company.display_name,
                        # sudo: its name only
                        shop=listing.backend_id.sudo().display_name,
                        company=listing.company_id.display_name,
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        listings = super().create(vals_list)
        if not self.env.context.get("shopify_listing_learnt"):
            listings._export()
        return listings

    def write(self, vals):
        result = super().write(vals)
        if {"publish", "status"} & vals.keys():
            self._export()
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_in_shop(self):
        """Refuse to forget what is in a shop: it would stay on sale, and what is linked is sent."""
        for backend, listings in self.grouped("backend_id").items():
            templates = listings.product_tmpl_id
            # sudo: links are for users of the integration
            links = self.env["integration.binding"].sudo()
            links = links._search_records(backend, "product", templates)
            present = templates.browse(
                links.filtered(lambda link: not link.deleted_at).mapped("res_id")
            )
            if present:
                raise UserError(
                    self.env._(
                        "%(products)s: still in %(shop)s. To take it off sale there, switch "
                        "Publish off: it becomes a draft. To leave it there as it is and send "
                        "nothing more, delete its link (Integration > Links), then this line.",
                        products=", ".join(present.mapped("display_name")),
                        # sudo: its name only
                        shop=backend.sudo().display_name,
                    )
                )

    # === BUSINESS METHODS === #

    def _export(self):
        """Have the products sent to their shops, where the flow is on."""
        for backend, listings in self.grouped("backend_id").items():
            backend._shopify_send_products(listings.product_tmpl_id)

    # === ACTIONS === #

    def action_send(self):
        """Send the product now, changed or not; an error is shown at once."""
        self.ensure_one()
        self.check_access("write")
        # sudo: the one operation is what the button is for
        own = self.sudo()
        flow = own.backend_id._shopify_product_out_flow()
        if not flow:
            raise UserError(
                self.env._(
                    "Products are not sent to %s so far: switch the flow Products on, out of Odoo, "
                    "on its page Flows.",
                    self.backend_id.display_name,
                )
            )
        return own.env["integration.sync.log"]._append_and_run(flow, record=own.product_tmpl_id)
