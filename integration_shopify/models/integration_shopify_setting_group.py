from odoo import api, fields, models
from odoo.fields import Domain

from ..lib.settings import GROUPS


class IntegrationShopifySettingGroup(models.Model):
    """One kind of settings of a shop as it was last read: its locations, its currencies ..."""

    _name = "integration.shopify.setting.group"
    _inherit = ["integration.company.mixin"]
    _description = "Shopify Shop Settings of One Kind"
    _order = "backend_id, id"
    _rec_name = "code"

    backend_id = fields.Many2one(
        "integration.backend", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    code = fields.Selection(
        [
            ("location", "Locations"),
            ("currency", "Currencies"),
            ("market", "Markets and Price Lists"),
            ("publication", "Sales Channels"),
            ("collection", "Collections"),
            ("locale", "Languages"),
            ("product_type", "Product Types"),
        ],
        string="Settings",
        required=True,
        readonly=True,
    )
    count = fields.Integer(string="In the Shop", readonly=True)
    mapped_count = fields.Integer(
        string="Used",
        compute="_compute_mapped_count",
        help="Of which Odoo knows what they are; of sales channels: in which products are shown.",
    )
    gone_count = fields.Integer(
        string="Gone",
        compute="_compute_mapped_count",
        help="Used, but no longer in the shop.",
    )

    _code_unique = models.Constraint("UNIQUE(backend_id, code)", "A shop has each kind once.")

    def _compute_mapped_count(self):
        Mapping = self.env["integration.mapping"]
        for group in self:
            domain = Domain(group._mappings_domain()) & group._used_domain()
            group.gone_count = Mapping.search_count(domain & Domain("gone_at", "!=", False))
            group.mapped_count = Mapping.search_count(domain & Domain("gone_at", "=", False))

    def _used_domain(self):
        """Return the domain of what means something in Odoo."""
        if self.code == "publication":
            # a sales channel is nothing in Odoo: what counts is that products are shown in it
            return Domain("shopify_publish", "!=", False)
        used = Domain("resource_ref", "!=", False)
        if self.code == "collection":
            used |= Domain("shopify_category_ids", "!=", False)
        return used

    @api.depends("code")
    def _compute_display_name(self):
        names = dict(self._fields["code"]._description_selection(self.env))
        for group in self:
            group.display_name = names.get(group.code)

    def _mappings(self):
        """Return the value mappings of this kind."""
        self.ensure_one()
        return self.env["integration.mapping"].search(self._mappings_domain())

    def _mappings_domain(self):
        group = GROUPS[self.code]
        return [
            ("backend_id", "=", self.backend_id.id),
            ("kind", "=", group.kind),
            *group.domain,
        ]

    def action_open_mappings(self):
        """Open the value mappings of this kind."""
        self.ensure_one()
        self.check_access("read")
        return {
            "type": "ir.actions.act_window",
            "name": self.display_name,
            "res_model": "integration.mapping",
            "view_mode": "list,form",
            "domain": self._mappings_domain(),
            "context": {
                "default_backend_id": self.backend_id.id,
                "default_kind": GROUPS[self.code].kind,
            },
        }
