from odoo import api, fields, models


class IntegrationShopifyChannel(models.Model):
    """A sales channel of a shop (Shopify calls it a publication)."""

    _name = "integration.shopify.channel"
    _inherit = ["integration.company.mixin"]
    _description = "Shopify Sales Channel"
    _order = "name, id"

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    name = fields.Char(string="Channel", required=True, readonly=True)
    external_id = fields.Char(string="External ID", required=True, readonly=True)
    publish = fields.Boolean(
        string="Publish Products",
        help="Products of Odoo are shown in this channel. Switched off again: they are withdrawn "
        "from it when they are sent the next time.",
    )
    active = fields.Boolean(default=True, help="Off: Shopify no longer has it.")

    _external_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "This channel is already in the list."
    )

    @api.model
    def _learn(self, backend, names):
        """Bring the list of a shop's channels up to date.

        :param dict names: ``{id of the publication: its name}``, of all there are.
        """
        known = {
            row.external_id: row
            for row in self.with_context(active_test=False).search(
                [("backend_id", "=", backend.id)]
            )
        }
        for gid, row in known.items():
            values = {"active": gid in names, "name": names.get(gid, row.name)}
            if values["active"] != row.active or values["name"] != row.name:
                row.write(values)
        self.create(
            [
                {"backend_id": backend.id, "external_id": gid, "name": name}
                for gid, name in names.items()
                if gid not in known
            ]
        )
