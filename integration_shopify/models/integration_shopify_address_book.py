from odoo import api, models

from ..lib import address as compare
from ..lib import customers
from ..lib.contract_customer import Customer

#: Resource code of the bindings of a customer's addresses, by their id without a query.
CUSTOMER_ADDRESS = "customer_address"
#: Fields of a contact that its address in Shopify is made of.
PLACE = ("street", "street2", "zip", "city", "country_id", "state_id")
#: Where documents show an address.
SHOWN_ON = (
    ("sale.order", "partner_invoice_id"),
    ("sale.order", "partner_shipping_id"),
    ("account.move", "partner_id"),
    ("account.move", "partner_shipping_id"),
    ("stock.picking", "partner_id"),
)


class IntegrationShopifyAddressBook(models.AbstractModel):
    """The addresses of a customer and those of its contact.

    The usual address is the contact's own; the others are addresses below it. Two that say the
    same are one, whoever made it. What a document shows is never written over: the contact then
    gets the new address beside the old one, and an address that is gone is archived.
    """

    _name = "integration.shopify.address.book"
    _description = "Shopify Address Book"

    # === INTO ODOO === #

    @api.model
    def _apply(self, backend, items, created):
        """Bring the addresses of contacts in line with their customers.

        One search and one create for all of them; documents are asked for only where an address is
        to be changed.

        :param list[Item] items: with ``record``, ``data`` and ``values["places"]``.
        :param created: those of them whose contact is new, with its own address written.
        """
        if backend._shopify_customer_owner("addresses") != "shopify":
            items = created
        items = [item for item in items if "addressesV2" not in item.data.withheld]
        if not items:
            return
        links = self._links(backend, self.env["res.partner"].union(*(i.record for i in items)))
        used = self._used(self._changing(items, links))
        wanted = []
        for item in items:
            wanted += self._follow(item, links, used)
        made = self.env["res.partner"].create([values for values, _item, _keys in wanted])
        for partner, (_values, item, keys) in zip(made, wanted, strict=True):
            item.values["book"].update(dict.fromkeys(keys, partner))
        self._link(backend, items, links)

    @api.model
    def _links(self, backend, partners):
        """Return ``{address (res.partner): binding}`` below contacts, archived ones included."""
        Partner = self.env["res.partner"]
        children = Partner.with_context(active_test=False).search(
            [("parent_id", "in", partners.ids), ("type", "!=", "contact")]
        )
        children = Partner.browse(children.ids)
        found = self.env["integration.binding"]._search_records(backend, CUSTOMER_ADDRESS, children)
        return {children.browse(link.res_id): link for link in found}

    @api.model
    def _rows(self, item):
        """Return ``[(address of Shopify, values, key)]``, the usual one first, each once."""
        Contact = self.env["integration.shopify.contact"]
        default = self.env["integration.shopify.customer"]._default_address(item.data)
        rows = [row for row in item.data.addresses if not compare.is_empty(row)]
        rows.sort(key=lambda row: row is not default)
        found = []
        for row in rows:
            values = Contact._address_values(item.record, row, item.values["places"])
            found.append((row, values, Contact._values_key(values)))
        return found

    @api.model
    def _is_own(self, partner, values):
        """Whether an address is for the contact itself, not for somebody else at his place."""
        return compare.normal(values["name"]) in (
            compare.normal(partner.name),
            compare.normal(f"{partner.company_name}, {partner.name}"),
        )

    @api.model
    def _place(self, values):
        return {name: values[name] for name in PLACE}

    @api.model
    def _has_place(self, partner):
        return any(partner[name] for name in ("street", "zip", "city"))

    @api.model
    def _differs(self, partner, values):
        return any(
            (partner[name].id if name.endswith("_id") else partner[name] or False) != value
            for name, value in self._place(values).items()
        )

    @api.model
    def _changing(self, items, links):
        """Return the contacts and addresses that may be written over or archived."""
        found = self.env["res.partner"]
        Contact = self.env["integration.shopify.contact"]
        for item in items:
            rows = self._rows(item)
            partner, now = item.record, {row.key: key for row, _values, key in rows}
            if rows and not partner.parent_id and self._differs(partner, rows[0][1]):
                found |= partner
            for child in partner.child_ids:
                link = links.get(child)
                if link and now.get(link.external_id) != Contact._record_key(child):
                    found |= child
        return found

    @api.model
    def _used(self, partners):
        """Return the contacts that a document shows as an address."""
        used = set()
        if partners:
            # sudo: of whoever's documents, also those the technical user may not read
            own = self.sudo().with_context(active_test=False).env
            for model, name in SHOWN_ON:
                rows = own[model]._read_group([(name, "in", partners.ids)], [name])
                used |= {partner.id for (partner,) in rows}
        return partners.browse(used)

    @api.model
    def _follow(self, item, links, used):
        """Change what may be changed of one contact; returns what has to be created.

        Sets ``item.values["book"]``: ``{key of an address: its record}``.

        :returns: ``[(values, item, keys)]``.
        """
        Contact = self.env["integration.shopify.contact"]
        partner, rows = item.record, self._rows(item)
        book, missing = {}, {}
        item.values["book"] = book
        item.values["rows"] = {row.key: key for row, _values, key in rows}
        usual = "other"
        if rows and not partner.parent_id and self._is_own(partner, rows[0][1]):
            values = rows[0][1]
            if self._differs(partner, values) and (
                partner not in used or not self._has_place(partner)
            ):
                partner.write(self._place(values))
            elif self._differs(partner, values):
                usual = "delivery"
        own_key = Contact._record_key(partner)
        now = item.values["rows"]
        for child in partner.child_ids:
            link = links.get(child)
            if link and now.get(link.external_id) != Contact._record_key(child):
                self._change_or_archive(child, link, links, rows, used)
            if child.active:
                book.setdefault(Contact._record_key(child), child)
        # a contact of a company uses the addresses of the company as well
        for other in partner.parent_id.child_ids - partner:
            book.setdefault(Contact._record_key(other), other)
        if partner.parent_id:
            book.setdefault(Contact._record_key(partner.parent_id), partner.parent_id)
        for position, (_row, values, key) in enumerate(rows):
            same_place = not position and not partner.parent_id and usual == "other"
            if key == own_key or (
                same_place and self._is_own(partner, values) and not self._differs(partner, values)
            ):
                book[key] = partner
            elif key not in book and key not in missing:
                missing[key] = {**values, "type": usual if not position else "other"}
        if usual == "delivery" and missing:
            item.notes.append(
                self.env._(
                    "%s has a new address in Shopify. Documents show the old one, so it stays; the "
                    "new one was added as a delivery address.",
                    partner.display_name,
                )
            )
        return [(values, item, [key]) for key, values in missing.items()]

    @api.model
    def _change_or_archive(self, child, link, links, rows, used):
        """Follow an address that was changed or deleted in Shopify."""
        values = next((v for row, v, _key in rows if row.key == link.external_id), None)
        if values and child not in used:
            child.write({name: v for name, v in values.items() if name != "parent_id"})
            return
        child.active = False
        links.pop(child)
        link.unlink()

    @api.model
    def _link(self, backend, items, links):
        """Bind the addresses below contacts to those of Shopify, as far as both are free."""
        taken = {link.external_id for link in links.values()}
        wanted, records = {}, set(links)
        for item in items:
            for gid, key in item.values["rows"].items():
                record = item.values["book"].get(key)
                if (
                    record
                    and record.parent_id == item.record
                    and record.type != "contact"
                    and gid not in taken
                    and record not in records
                ):
                    wanted[gid] = record
                    taken.add(gid)
                    records.add(record)
        if wanted:
            Binding = self.env["integration.binding"]
            # of a customer that was merged, the address had another contact
            Binding._search_external(backend, CUSTOMER_ADDRESS, list(wanted)).unlink()
            Binding._bind(backend, CUSTOMER_ADDRESS, wanted)

    # === OUT OF ODOO === #

    @api.model
    def _export(self, partner):
        """Return the addresses of a contact as ``MailingAddressInput``, its own first."""
        own = [self._input(partner, partner)] if self._has_place(partner) else []
        others = partner.child_ids.filtered(
            lambda child: child.type in ("invoice", "delivery", "other") and self._has_place(child)
        )
        rows = {
            customers.address_key(row): row
            for row in (*own, *(self._input(child, partner) for child in others.sorted("id")))
        }
        return list(rows.values())

    @api.model
    def _input(self, record, partner):
        company, first, last = customers.recipient(record.name or partner.name or "")
        if record == partner:
            company, (first, last) = "", customers.split_name(partner.name or "")
        company = company or partner.commercial_company_name or ""
        if partner.is_company and not record.parent_id:
            first, last = "", ""
        return {
            "firstName": first,
            "lastName": last,
            "company": company,
            "address1": record.street or "",
            "address2": record.street2 or "",
            "zip": record.zip or "",
            "city": record.city or "",
            "countryCode": record.country_id.code or None,
            "provinceCode": record.state_id.code or None,
            "phone": record.phone or partner.phone or "",
        }

    @api.model
    def _linked(self, backend, partner):
        """Return the keys of the addresses in Shopify that belong to addresses of a contact."""
        return [link.external_id for link in self._links(backend, partner).values()]

    @api.model
    def _note_sent(self, backend, items):
        """Bind the addresses that were made, by what they say."""
        for item in items:
            links = self._links(backend, item.record)
            data = Customer.model_validate(item.payload)
            present = {row.key for row in data.addresses}
            for child, link in list(links.items()):
                if link.external_id not in present:
                    links.pop(child)
                    link.unlink()
            by_key = {}
            for child in item.record.child_ids:
                by_key.setdefault(customers.address_key(self._input(child, item.record)), child)
            item.values["rows"] = {
                row.key: customers.address_key(customers.as_input(row)) for row in data.addresses
            }
            item.values["book"] = by_key
            self._link(backend, [item], links)
