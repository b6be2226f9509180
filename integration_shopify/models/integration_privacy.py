from odoo import api, models

from odoo.addons.integration_base.models.integration_privacy import Store

from ..lib.customers import WAYS

_OF_ORDER = (
    "r.order_id IN (SELECT d.id FROM unnest(%(models)s::text[], %(ids)s::int[]) d(model, id)"
    " WHERE d.model = 'sale.order')"
)
_OF_PARTNER = (
    "r.partner_id IN (SELECT d.id FROM unnest(%(models)s::text[], %(ids)s::int[]) d(model, id)"
    " WHERE d.model = 'res.partner')"
)
_OF_RECORD = (
    "(r.res_model, r.res_id) IN"
    " (SELECT model, id FROM unnest(%(models)s::text[], %(ids)s::int[]) d(model, id))"
)
#: What is kept of orders beside Odoo's own documents.
STORES = (
    Store(
        "integration.shopify.refund",
        texts=("note", "error"),
        documents=("request",),
        linked=_OF_ORDER,
    ),
    Store(
        "integration.shopify.fulfillment",
        texts=("problem",),
        # whoever knows these finds the address
        blanks=("tracking_numbers", "tracking_url"),
        linked=_OF_ORDER,
    ),
    Store("integration.shopify.transaction", blanks=("payment_ref",), linked=_OF_ORDER),
    # what a shop knows of a person; that somebody consented, and when, has to be provable
    Store(
        "integration.shopify.profile",
        blanks=("tags", "sent_tags"),
        kept=(
            "account_state",
            "roles",
            *(f"{way.code}_{name}" for way in WAYS for name in ("state", "level", "since")),
        ),
        linked=_OF_PARTNER,
    ),
    Store(
        "integration.shopify.consent",
        kept=("way", "origin", "state", "level", "since"),
        linked=_OF_PARTNER,
        # what was decided in Odoo is of no shop, and of no company where the contact has none
        scope="COALESCE(r.company_id, %(company)s) = %(company)s",
        whole="COALESCE(r.backend_id, %(backend)s) = %(backend)s",
    ),
    # what waits to be sent would send what was erased
    Store(
        "integration.shopify.bulk.item",
        blanks=("label", "variables", "result", "message"),
        linked=_OF_RECORD,
    ),
    Store(
        "integration.shopify.bulk.line",
        blanks=("text",),
        whole="r.bulk_id IN (SELECT id FROM integration_shopify_bulk"
        " WHERE backend_id = %(backend)s)",
    ),
)


class IntegrationPrivacy(models.AbstractModel):
    _inherit = "integration.privacy"

    @api.model
    def _stores(self):
        return (*super()._stores(), *STORES)
