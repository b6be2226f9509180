from dataclasses import dataclass

from odoo import api, models

from odoo.addons.integration_base.lib.errors import AmbiguousMatchError, NotReadyError

from ..lib import address as compare

#: Resource code of the bindings of customers, and the external id of the placeholder.
CUSTOMER = "customer"
#: Resource code of the bindings of companies (B2B).
COMPANY = "company"
NOBODY = "without-personal-data"
#: First number of the advisory locks under which the contact of an e-mail address is created.
LOCK_EMAIL = 0x53484F45


@dataclass
class Party:
    """Who an order belongs to.

    :param key: equal for all orders of one person in a batch.
    :param partner: ``res.partner``, empty until it is created.
    :param company: ``res.partner`` of the company the person orders for (B2B), else None; empty
        until it is created.
    :param why: how the person was recognised, for people.
    """

    key: str
    partner: models.BaseModel
    customer_id: str = ""
    email: str = ""
    company: models.BaseModel | None = None
    why: str = ""

    @property
    def owner(self):
        """Whose addresses the order's are."""
        return self.company or self.partner


class _People:
    """Which customer ids and e-mail addresses of a batch are one person."""

    def __init__(self):
        self._group = {}

    def join(self, *names):
        """Note that ``names`` (empty ones do not count) are the same person."""
        names = [name for name in names if name]
        groups = {self._group.get(name, name) for name in names}
        if groups:
            target = min(groups)
            for name, group in self._group.items():
                if group in groups:
                    self._group[name] = target
            self._group.update(dict.fromkeys(names, target))

    def key(self, *names):
        """Return what is equal for all names of a person; an empty text without a name."""
        return next((self._group[name] for name in names if name), "")


class IntegrationShopifyContact(models.AbstractModel):
    """Finds or creates the contacts and addresses of a batch of orders.

    A person is known by the binding of the Shopify customer, else by e-mail; never by name, since
    two people may share one. Orders without any personal data (Shopify withholds it on some plans)
    go to one placeholder contact per backend.
    """

    _name = "integration.shopify.contact"
    _description = "Shopify Contact Matching"

    # === MATCHING === #

    @api.model
    def _match(self, backend, items):
        """Set ``item.values["party"]`` (:class:`Party`); reads only.

        Items whose e-mail belongs to several contacts fail.
        """
        known = [item for item in items if not item.record]
        for item in items:
            if item.record:
                item.values["party"] = Party(item.external_id, item.record.partner_id)
        people = _People()
        ids = []
        for item in known:
            data = item.data
            customer_id = data.customer.id if data.customer else ""
            email = compare.email(data.customer.email if data.customer else "")
            email = email or compare.email(data.email)
            people.join(customer_id, email)
            ids.append((item, customer_id, email))
        bound = self._bound(backend, {customer_id for _i, customer_id, _e in ids if customer_id})
        by_email = self._by_email(backend, {email for _i, _c, email in ids if email})
        found = {}
        for item, customer_id, email in ids:
            key, partner = people.key(customer_id, email), bound.get(customer_id)
            if partner:
                # whoever else writes this e-mail address: the link says who the customer is
                found.setdefault(key, partner)
                why = self.env._("linked to the customer in Shopify")
                item.values["party"] = Party(key, partner, customer_id, email, why=why)
                continue
            if email:
                partner = by_email.get(email)
                if partner and len(partner) > 1:
                    item.fail(self._ambiguous(item, email, partner))
                    continue
            why = self.env._("has the e-mail address of the order")
            if not key and self._company_of(item.data):
                # an order of a company that names no person belongs to the company
                key = self._company_of(item.data).id
            elif not key and self._is_nobody(item.data):
                key, partner = NOBODY, bound.get(NOBODY)
                why = self.env._("Shopify shows no personal data of the order")
            # a buyer with a name or an address only cannot be recognised the next time
            key = key or item.external_id
            partner = found.setdefault(key, partner) if partner else found.get(key)
            if not partner and key != NOBODY:
                why = self.env._("nobody was linked or had the e-mail address, so it is new")
            item.values["party"] = Party(
                key, partner or self.env["res.partner"], customer_id, email, why=why
            )
        for item in known:
            party = item.values.get("party")
            if party and not party.partner and party.key in found:
                party.partner = found[party.key]
        self._match_companies(backend, items)

    @api.model
    def _company_of(self, data):
        """Return the company that ordered through Shopify's B2B, else None."""
        return data.purchasingEntity.company if data.purchasingEntity else None

    @api.model
    def _match_companies(self, backend, items):
        """Set the company of each order of one, as far as it is known.

        By its link; else the company the contact belongs to, when it has the same name. A name
        alone says too little.
        """
        wanted = {
            company.id for item in items if (company := self._company_of(item.data)) is not None
        }
        if not wanted:
            return
        found = self.env["integration.binding"]._find(backend, COMPANY, list(wanted))
        for item in items:
            company, party = self._company_of(item.data), item.values.get("party")
            if company is None or not party:
                continue
            known = found.get(company.id)
            if item.record:
                party.company = known or party.partner.commercial_partner_id
                continue
            if not known or not known.active:
                above = party.partner.commercial_partner_id
                same = compare.normal(above.name) == compare.normal(company.name)
                known = above if above.is_company and same else above.browse()
            party.company = known
            if party.key == company.id:
                party.partner = known

    @api.model
    def _bound(self, backend, customer_ids):
        """Return ``{customer id: contact}`` of linked customers, archived contacts left out."""
        found = self.env["integration.binding"]._find(backend, CUSTOMER, [*customer_ids, NOBODY])
        return {customer: partner for customer, partner in found.items() if partner.active}

    @api.model
    def _by_email(self, backend, emails):
        """Return ``{e-mail: contacts}`` of the backend's company, addresses left out."""
        if not emails:
            return {}
        Partner = self.env["res.partner"]
        partners = Partner.search_fetch(
            [
                *Partner._check_company_domain(backend.company_id),
                ("email_normalized", "in", list(emails)),
                ("type", "=", "contact"),
            ],
            ["email_normalized"],
            order="id",
        )
        return partners.grouped("email_normalized")

    @api.model
    def _is_nobody(self, data):
        addresses = filter(None, (data.billingAddress, data.shippingAddress))
        return not data.phone and all(compare.is_empty(address) for address in addresses)

    @api.model
    def _ambiguous(self, item, email, partners):
        candidates = ", ".join(f"{partner.display_name} (ID {partner.id})" for partner in partners)
        return AmbiguousMatchError(
            self.env._(
                "%(order)s: several contacts have the e-mail address %(email)s: %(candidates)s. "
                "Merge them, or archive those that are not the customer, then press Retry.",
                order=item.label,
                email=email,
                candidates=candidates,
            ),
            candidates=partners.mapped("display_name"),
        )

    # === WRITING === #

    @api.model
    def _ensure(self, backend, items):
        """Create what is missing and set partner, invoice and delivery address of each order.

        One create for all contacts of the batch, one for all addresses.

        :param items: matched; ``item.values["order"]`` gets ``partner_id``,
            ``partner_invoice_id`` and ``partner_shipping_id``.
        """
        places = self._places(items)
        self._create_companies(backend, items, places)
        self._create_partners(backend, items, places)
        self._create_addresses(items, places)

    @api.model
    def _create_companies(self, backend, items, places):
        """Create the companies of B2B orders that Odoo does not know, and link all of them."""
        sold_to = {}
        for item in items:
            company = self._company_of(item.data)
            if company is not None:
                sold_to.setdefault(company.id, []).append(item)
        if not sold_to:
            return
        missing = {
            external_id: rows[0]
            for external_id, rows in sold_to.items()
            if not any(row.values["party"].company for row in rows)
        }
        created = self.env["res.partner"].create(
            [self._company_values(backend, item, places) for item in missing.values()]
        )
        new = dict(zip(missing, created, strict=True))
        links, labels = {}, {}
        for external_id, rows in sold_to.items():
            known = [row.values["party"].company for row in rows if row.values["party"].company]
            company = known[0] if known else new[external_id]
            links[external_id], labels[external_id] = company, company.name
            for row in rows:
                party = row.values["party"]
                party.company = company
                if party.key == external_id:
                    party.partner = company
        self._bind(backend, links, labels, COMPANY)

    @api.model
    def _company_values(self, backend, item, places):
        address = next(
            (
                row
                for row in (item.data.billingAddress, item.data.shippingAddress)
                if row and not compare.is_empty(row)
            ),
            None,
        )
        return {
            "name": self._company_of(item.data).name or self.env._("Shopify company"),
            "is_company": True,
            "company_id": backend.company_id.id,
            **(self._place_values(address, places) if address else {}),
        }

    @api.model
    def _join_company(self, party):
        """Put the contact below the company, unless it has a place in Odoo already.

        Nor below one that fewer people may read: Odoo looks for the invoice address of a contact
        in what is above it.
        """
        partner, company = party.partner, party.company
        if (
            company
            and company.company_id
            and company.company_id not in partner.company_id.parent_ids
        ):
            return
        if company and partner != company and not partner.parent_id and not partner.is_company:
            above = company
            while above and above != partner:
                above = above.parent_id
            # one that stands above the company cannot stand below it
            if not above:
                partner.parent_id = company

    @api.model
    def _places(self, items):
        """Return :meth:`_places_of` the addresses of orders."""
        return self._places_of(
            [
                address
                for item in items
                for address in (item.data.billingAddress, item.data.shippingAddress)
                if address
            ]
        )

    @api.model
    def _places_of(self, addresses):
        """Return ``(countries by code, states by (country code, code))`` of addresses.

        :param addresses: of :class:`~..lib.contract.Address`.
        """
        codes = {address.countryCodeV2 for address in addresses if address.countryCodeV2}
        countries = self.env["res.country"].search([("code", "in", list(codes))])
        state_codes = {address.provinceCode for address in addresses if address.provinceCode}
        states = self.env["res.country.state"]
        if state_codes:
            states = states.search(
                [("country_id", "in", countries.ids), ("code", "in", list(state_codes))]
            )
        return (
            {country.code: country for country in countries},
            {(state.country_id.code, state.code): state for state in states},
        )

    @api.model
    def _create_partners(self, backend, items, places):
        wanted = {}
        for item in items:
            party = item.values["party"]
            if not party.partner:
                wanted.setdefault(party.key, item)
        emails = {item.values["party"].email for item in wanted.values()} - {""}
        if emails:
            self._reserve(backend, sorted(emails))
        partners = self.env["res.partner"].create(
            [self._partner_values(backend, item, places) for item in wanted.values()]
        )
        created = dict(zip(wanted, partners, strict=True))
        links, labels = {}, {}
        for item in items:
            party = item.values["party"]
            party.partner = party.partner or created[party.key]
            self._join_company(party)
            external_id = party.customer_id or (NOBODY if party.key == NOBODY else "")
            if external_id:
                links.setdefault(external_id, party.partner)
                labels[external_id] = party.partner.name
        self._bind(backend, links, labels)

    @api.model
    def _reserve(self, backend, emails):
        """Let only one transaction at a time create the contact of an e-mail address.

        Nothing in the database keeps two drains from creating the same guest.

        :raises NotReadyError: when another one creates a contact, or did so since our snapshot.
        """
        self.env.cr.execute(
            "SELECT bool_and(pg_try_advisory_xact_lock(%s, hashtext(email)))"
            " FROM unnest(%s) AS email",
            [LOCK_EMAIL, emails],
        )
        if self.env.cr.fetchone()[0]:
            with self.env.registry.cursor() as cr:
                env = self.env(cr=cr)
                if not self.with_env(env)._by_email(backend.with_env(env), emails):
                    return
        raise NotReadyError(
            self.env._(
                "Another import creates the same customer just now; this one goes on by itself."
            ),
            retry_after=2,
        )

    @api.model
    def _bind(self, backend, links, labels, resource=CUSTOMER):
        """Link customers (or companies) to contacts, as far as neither is linked already."""
        Binding = self.env["integration.binding"]
        known = Binding.search(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", resource),
                "|",
                ("external_id", "in", list(links)),
                "&",
                ("res_model", "=", "res.partner"),
                ("res_id", "in", [partner.id for partner in links.values()]),
            ]
        )
        by_customer = {binding.external_id: binding for binding in known}
        taken = {binding.res_id for binding in known}
        new = {}
        for customer_id, partner in links.items():
            if partner.id in taken:
                continue
            taken.add(partner.id)
            if customer_id in by_customer:
                # the contact it was linked to was archived or deleted
                by_customer[customer_id].write({"res_id": partner.id})
            else:
                new[customer_id] = partner
        if new:
            Binding._bind(backend, resource, new, labels)

    @api.model
    def _partner_values(self, backend, item, places):
        data, party = item.data, item.values["party"]
        if party.key == NOBODY:
            return {
                "name": self.env._("%s: customer without personal data", backend.name),
                "company_id": backend.company_id.id,
            }
        address = next(
            (
                address
                for address in (data.billingAddress, data.shippingAddress)
                if address and not compare.is_empty(address)
            ),
            None,
        )
        name = (
            (data.customer and compare.person(data.customer))
            or (address and (compare.person(address) or address.company.strip()))
            or party.email
            or data.phone
            or self.env._("Shopify customer")
        )
        values = {
            "name": name,
            "email": (data.customer and data.customer.email) or data.email or False,
            "phone": data.phone or (address.phone if address else False),
            # a shop's customers are its company's business, and another shop may not rename them
            "company_id": backend.company_id.id,
        }
        if party.company:
            # a person of a company has the company's address
            values["parent_id"] = party.company.id
        elif address:
            values |= self._place_values(address, places)
            values["company_name"] = address.company.strip() or False
        return values

    @api.model
    def _place_values(self, address, places):
        countries, states = places
        country = countries.get(address.countryCodeV2)
        state = states.get((address.countryCodeV2, address.provinceCode))
        return {
            "street": address.address1.strip() or False,
            "street2": address.address2.strip() or False,
            "zip": address.zip.strip() or False,
            "city": address.city.strip() or False,
            "country_id": country.id if country else False,
            "state_id": state.id if state else False,
        }

    # === ADDRESSES === #

    @api.model
    def _create_addresses(self, items, places):
        """Set the addresses of the orders; the same one is never stored twice for a contact."""
        partners = self.env["res.partner"].union(*(i.values["party"].owner for i in items))
        known = {}
        for partner in partners:
            for record in (*partner.child_ids, partner):
                known[partner.id, self._record_key(record)] = record
        wanted = {}
        for item in items:
            partner = item.values["party"].owner
            for field, address, kind in (
                ("partner_invoice_id", item.data.billingAddress, "invoice"),
                ("partner_shipping_id", item.data.shippingAddress, "delivery"),
            ):
                if not address or compare.is_empty(address):
                    continue
                values = self._address_values(partner, address, places)
                key = (partner.id, self._values_key(values))
                item.values["order"][field] = key
                if key not in known:
                    both = key in wanted and wanted[key]["type"] != kind
                    wanted[key] = {**values, "type": "other" if both else kind}
        created = self.env["res.partner"].create(list(wanted.values()))
        known |= dict(zip(wanted, created, strict=True))
        for item in items:
            order, party = item.values["order"], item.values["party"]
            partner = party.partner
            if party.company and partner.commercial_partner_id != party.company:
                # the contact has another place in Odoo; the company is who pays
                partner = party.company
            order["partner_id"] = partner.id
            invoice = known.get(order.get("partner_invoice_id"), partner)
            order["partner_invoice_id"] = invoice.id
            # without a delivery address (services, pick-up) the goods go to the invoice's
            order["partner_shipping_id"] = known.get(order.get("partner_shipping_id"), invoice).id

    @api.model
    def _address_values(self, partner, address, places):
        person = compare.person(address) or partner.name
        company = address.company.strip()
        own_company = partner.commercial_company_name or ""
        if company and compare.normal(company) not in (
            compare.normal(own_company),
            compare.normal(person),
        ):
            person = f"{company}, {person}"
        return {
            "parent_id": partner.id,
            "name": person,
            "phone": address.phone or False,
            "company_id": partner.company_id.id,
            **self._place_values(address, places),
        }

    @api.model
    def _record_key(self, partner):
        return (
            compare.normal(partner.name or partner.parent_id.name),
            *(compare.normal(partner[name]) for name in ("street", "street2", "zip", "city")),
            partner.country_id.id,
            partner.state_id.id,
        )

    @api.model
    def _values_key(self, values):
        return (
            compare.normal(values["name"]),
            *(compare.normal(values[name]) for name in ("street", "street2", "zip", "city")),
            values["country_id"],
            values["state_id"],
        )
