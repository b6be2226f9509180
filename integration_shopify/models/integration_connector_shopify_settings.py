from odoo import api, models


class IntegrationConnectorShopify(models.AbstractModel):
    # what concerns settings and markets stands in a file of its own
    # pylint: disable=consider-merging-classes-inherited
    _inherit = "integration.connector.shopify"

    def _check_daily(self, backend):
        backend._shopify_send_prices(drifting=True)
        backend._shopify_send_foreign_prices()
        return super()._check_daily(backend)

    # === MAPPING DEFAULTS === #

    def _default_mapping(self, backend, kind, values):
        """Recognise what the shop is set up with, where exactly one record of Odoo fits.

        A location is the stock of the warehouse of its name, or at its address; a price list is
        the one of its name in its currency, a language that of its code, a collection the tag of
        its name. Who counts the goods of a fulfillment service is for a person to say.
        """
        recognise = {
            "location": self._default_locations,
            "price_list": self._default_price_lists,
            "collection": self._default_collections,
            "locale": self._default_locales,
        }.get(kind)
        if recognise:
            return recognise(backend, values)
        return super()._default_mapping(backend, kind, values)

    @api.model
    def _details(self, backend, kind, values):
        """Return ``{external value: what was read of it}`` of the value mappings."""
        rows = self.env["integration.mapping"].search(
            [
                ("backend_id", "=", backend.id),
                ("kind", "=", kind),
                ("external_value", "in", list(values)),
            ]
        )
        return {row.external_value: row.external_details or {} for row in rows}

    @api.model
    def _default_locations(self, backend, values):
        details = self._details(backend, "location", values)
        warehouses = self.env["stock.warehouse"].search(
            [("company_id", "=", backend.company_id.id)]
        )
        taken = warehouses.lot_stock_id.browse(
            row.resource_ref.id
            for row in self.env["integration.mapping"].search(
                [
                    ("backend_id", "=", backend.id),
                    ("kind", "=", "location"),
                    ("resource_ref", "!=", False),
                ]
            )
        )
        found = {}
        for value, label in values.items():
            told = details.get(value, {})
            if told.get("service") or not told.get("active", True):
                continue
            fitting = warehouses.filtered(
                lambda warehouse, label=label: (
                    _plain(label) in (_plain(warehouse.name), _plain(warehouse.code))
                )
            ) or warehouses.filtered(
                lambda warehouse, told=told: self._is_at(warehouse.partner_id, told)
            )
            place = fitting.lot_stock_id
            # one of Odoo's places has the stock of one of Shopify's, or it would be sold twice
            if len(fitting) == 1 and not self._overlaps(place, taken):
                found[value] = place
                taken |= place
        return found

    @api.model
    def _overlaps(self, place, others):
        """Whether a place is one of the others, or lies below or above one."""
        return any(
            place.parent_path.startswith(other.parent_path)
            or other.parent_path.startswith(place.parent_path)
            for other in others
        )

    @api.model
    def _is_at(self, partner, told):
        """Whether a warehouse's address is that of a location."""
        if not (told.get("street") and told.get("zip") and partner.street and partner.zip):
            return False
        return (_plain(partner.street), _plain(partner.zip), partner.country_id.code) == (
            _plain(told["street"]),
            _plain(told["zip"]),
            told.get("country"),
        )

    @api.model
    def _default_price_lists(self, backend, values):
        details = self._details(backend, "price_list", values)
        Pricelist = self.env["product.pricelist"]
        pricelists = Pricelist.search(Pricelist._check_company_domain(backend.company_id))
        found = {}
        for value, label in values.items():
            fitting = pricelists.filtered(
                lambda row, value=value, label=label: (
                    row.currency_id.name == details.get(value, {}).get("currency")
                    and _plain(row.name) == _plain(label)
                )
            )
            if len(fitting) == 1:
                found[value] = fitting
        return found

    @api.model
    def _default_collections(self, backend, values):
        tags = self.env["product.tag"].search([("name", "in", list(values.values()))])
        by_name = tags.grouped("name")
        found = {value: by_name.get(label) for value, label in values.items()}
        return {value: tag for value, tag in found.items() if tag and len(tag) == 1}

    @api.model
    def _default_locales(self, backend, values):
        languages = self.env["res.lang"].search([("active", "=", True)])
        found = {}
        for value in values:
            code = value.replace("-", "_")
            fitting = languages.filtered(lambda lang, code=code: lang.code == code)
            # the shop's languages are without a country unless it has several of one
            if not fitting and "_" not in code:
                fitting = languages.filtered(
                    lambda lang, code=code: lang.code.partition("_")[0] == code
                )
            if len(fitting) == 1:
                found[value] = fitting
        return found


def _plain(text):
    """Return a name or a line of an address as it is compared: by its letters and digits."""
    return "".join(char for char in (text or "").casefold() if char.isalnum())
