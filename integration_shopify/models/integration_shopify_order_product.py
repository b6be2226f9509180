from odoo import api, models

from odoo.addons.integration_base.lib.errors import DependencyError

#: Variants asked for per call.
VARIANTS_PER_CALL = 250


class IntegrationShopifyOrder(models.AbstractModel):
    """Where products come from Shopify, those of an order come before the order."""

    _inherit = "integration.shopify.order"

    def _fetch(self, backend, external_ids):
        payloads = super()._fetch(backend, external_ids)
        if backend._shopify_product_in_flow():
            self._fetch_parents(backend, payloads)
        return payloads

    @api.model
    def _fetch_parents(self, backend, payloads):
        """Add to each variant Odoo does not know which product it belongs to.

        The order says which variant was sold, and only variants that are new cost a call.
        """
        lines = [
            line
            for payload in payloads.values()
            if isinstance(payload, dict)
            for line in (payload.get("lineItems") or {}).get("nodes") or ()
            if (line.get("variant") or {}).get("id")
        ]
        wanted = {line["variant"]["id"] for line in lines}
        unknown = wanted - self._bound_variants(backend, set(wanted)).keys()
        lines = [line for line in lines if line["variant"]["id"] in unknown]
        skus = {line["sku"] for line in lines if line.get("sku")}
        codes = skus | {line["variant"].get("barcode") for line in lines} - {None, ""}
        by_sku, by_barcode = self._search_products(backend, skus, codes)
        lines = [
            line
            for line in lines
            if line.get("sku") not in by_sku
            and line.get("sku") not in by_barcode
            and line["variant"].get("barcode") not in by_barcode
        ]
        ids = sorted({line["variant"]["id"] for line in lines})
        client, parents = backend._shopify_client(), {}
        for start in range(0, len(ids), VARIANTS_PER_CALL):
            part = ids[start : start + VARIANTS_PER_CALL]
            rows = client.execute("variant_products", {"ids": part}).data.get("nodes") or ()
            # a variant that was deleted is null
            parents |= {row["id"]: row["product"] for row in rows if row and row.get("product")}
        for line in lines:
            line["variant"]["product"] = parents.get(line["variant"]["id"])

    @api.model
    def _product_error(self, backend, item, failures):
        """Let the order wait for its products, unless they were read since it came, in vain."""
        error = super()._product_error(backend, item, failures)
        flow = backend._shopify_product_in_flow()
        if not flow or any(candidates for _line, candidates in failures):
            return error
        parents = {
            line.variant.id: line.variant.product["id"]
            for line in item.data.lineItems
            if line.variant and line.variant.product
        }
        wanted = [parents.get(line.variant_id) for line, _candidates in failures]
        if None in wanted or self._read_in_vain(flow, item, wanted):
            return error
        return DependencyError(
            self.env._(
                '%(order)s, line "%(line)s": its product is imported from Shopify first. Should '
                "that fail, the operation of the product says why.",
                order=item.label,
                line=failures[0][0].name,
            ),
            resource="product",
            external_id=wanted[0],
        )

    @api.model
    def _read_in_vain(self, flow, item, product_ids):
        """Whether one of these products was read after the order came, and does not help it."""
        Operation = self.env["integration.sync.log"]
        came = Operation.browse(item.operation_id).create_date
        return bool(
            Operation.search_count(
                [
                    ("flow_id", "=", flow.id),
                    ("external_id", "in", product_ids),
                    ("state", "in", ("done", "skipped")),
                    ("finished_at", ">=", came),
                ],
                limit=1,
            )
        )
