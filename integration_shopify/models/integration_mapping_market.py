from odoo import api, fields, models
from odoo.exceptions import ValidationError


class IntegrationMapping(models.Model):
    # what concerns settings and markets stands in a file of its own
    # pylint: disable=consider-merging-classes-inherited
    _inherit = "integration.mapping"

    kind = fields.Selection(
        selection_add=[
            ("price_list", "Price List"),
            ("publication", "Sales Channel"),
            ("collection", "Collection"),
            ("locale", "Language"),
        ],
        ondelete={
            "price_list": "cascade",
            "publication": "cascade",
            "collection": "cascade",
            "locale": "cascade",
        },
    )

    @api.model
    def _kind_models(self):
        return {
            **super()._kind_models(),
            "price_list": "product.pricelist",
            # a product is in any number of collections, and has any number of tags
            "collection": "product.tag",
            "locale": "res.lang",
        }

    @api.constrains("resource_ref", "kind", "external_details")
    def _check_price_list_currency(self):
        for row in self:
            if row.kind != "price_list" or not row.resource_ref:
                continue
            currency = (row.external_details or {}).get("currency")
            if currency and row.resource_ref.currency_id.name != currency:
                raise ValidationError(
                    self.env._(
                        "The price list %(external)s of the shop is in %(currency)s, but "
                        "%(pricelist)s is in %(other)s. Choose a price list in %(currency)s.",
                        external=row.display_name,
                        currency=currency,
                        pricelist=row.resource_ref.display_name,
                        other=row.resource_ref.currency_id.name,
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        rows = super().create(vals_list)
        rows.filtered("resource_ref")._shopify_send_prices()
        return rows

    def write(self, vals):
        result = super().write(vals)
        if {"resource_ref", "gone_at", "external_details"} & vals.keys():
            self._shopify_send_prices()
        return result

    def unlink(self):
        lists = self.filtered(lambda row: row.kind == "price_list")
        backends = lists.filtered("resource_ref").backend_id
        # known no more, and to be sent again even if the list is mapped anew before that is noticed
        self.env["integration.shopify.fixed.price"]._forget(lists)
        result = super().unlink()
        backends._shopify_send_prices()
        return result

    def _shopify_send_prices(self):
        """Have the prices of all products compared with what the shop has; equal ones cost no
        call."""
        self.filtered(lambda row: row.kind == "price_list").backend_id._shopify_send_prices()
