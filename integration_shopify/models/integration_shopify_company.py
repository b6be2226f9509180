from odoo import api, models

from odoo.addons.integration_base.lib.errors import (
    AmbiguousMatchError,
    ConfigurationError,
    MissingValue,
    NotReadyError,
    RateLimitedError,
    RetryableError,
)
from odoo.addons.integration_base.lib.records import Change, ChangePage

from ..lib import address as compare
from ..lib import contract, customers, pages
from ..lib.client import access_denied, denied_leaves
from ..lib.contract_customer import Company
from .integration_shopify_contact import COMPANY, CUSTOMER, Party

#: Resource code of the bindings of a company's locations.
COMPANY_LOCATION = "company_location"
COMPANIES_PER_CALL = 5
CHANGES_PER_PAGE = 250
#: Fields of a company that may be chosen in Odoo too, and where its profile remembers what Shopify
#: has set them to.
GIVEN = {
    "specific_property_product_pricelist": "given_pricelist_id",
    "property_payment_term_id": "given_payment_term_id",
}
FIRST = {"locations": 10, "contacts": 10, "catalogs": 5, "roles": 5}
PAGES = (
    pages.Connection(
        "locations",
        "company_locations",
        "company.locations",
        lambda place: {
            "id": place.root["id"],
            "first": place.first,
            "after": place.after,
            "catalogs": FIRST["catalogs"],
        },
        version="company.updatedAt",
        page=25,
    ),
    pages.Connection(
        "contacts",
        "company_contacts",
        "company.contacts",
        lambda place: {
            "id": place.root["id"],
            "first": place.first,
            "after": place.after,
            "roles": FIRST["roles"],
        },
        version="company.updatedAt",
        page=25,
    ),
    pages.Connection(
        "locations.catalogs",
        "company_location_catalogs",
        "companyLocation.catalogs",
        lambda place: {"id": place.parent["id"], "first": place.first, "after": place.after},
        version=None,
    ),
    pages.Connection(
        "contacts.roleAssignments",
        "company_contact_roles",
        "companyContact.roleAssignments",
        lambda place: {"id": place.parent["id"], "first": place.first, "after": place.after},
        version=None,
    ),
)


class IntegrationShopifyCompany(models.AbstractModel):
    """Companies that buy through Shopify's B2B, with their locations and contacts.

    A location becomes an address of the company; its catalog is a price list by mapping. Where all
    locations agree on price list, payment term, exemption and tax number, the company has them.
    """

    _name = "integration.shopify.company"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Companies"

    _resource_name = "Companies"
    _resource_model = "res.partner"
    _resource_starts_off = frozenset({"in"})
    _resource_contract = Company
    _resource_digest_exclude = frozenset({"updatedAt"})
    _resource_groups = (
        "integration_shopify.group_shopify_work",
        "base.group_partner_manager",
        "sales_team.group_sale_salesman_all_leads",
        "account.group_account_invoice",
    )
    _resource_batch_size = 20
    _resource_interval_minutes = 15

    _shopify_documents = (
        "companies",
        "company_locations",
        "company_contacts",
        "company_contact_roles",
        "company_location_catalogs",
        "company_changes",
        "company_location_changes",
    )

    # === HOOKS - ACCESS === #

    def _shopify_scope_reasons(self, backend):
        return {
            "read_companies": self.env._("read companies, their locations and contacts"),
            "read_customers": self.env._("read companies, their locations and contacts"),
            "read_products": self.env._("read which catalog a location buys from"),
        }

    # === HOOKS - READING === #

    def _fetch(self, backend, external_ids):
        client = backend._shopify_client()
        return pages.read_in_parts(
            external_ids,
            COMPANIES_PER_CALL,
            lambda ids, found: self._fetch_some(client, ids, found),
        )

    @api.model
    def _fetch_some(self, client, ids, payloads):
        answer = client.execute("companies", {"ids": ids, **FIRST})
        hidden = {path[1] for path in denied_leaves(answer) if len(path) > 1}
        for position, node in enumerate(answer.data["nodes"]):
            if not node and position in hidden:
                # not gone: this app, or the plan of the shop, may not read companies
                raise access_denied(answer.errors)
            if not node or not node.get("id"):
                continue
            try:
                payloads[node["id"]] = pages.read_on(
                    lambda name, variables: client.execute(name, variables).data, node, PAGES
                )
            except (NotReadyError, RateLimitedError, RetryableError) as error:
                payloads[node["id"]] = error

    def _fetch_changes(self, backend, since, page):
        """List changed companies, then the companies of changed locations."""
        state = page or {"of": "companies", "after": None}
        of = state["of"]
        query = pages.changed_since(since)
        name, field = {
            "companies": ("company_changes", "companies"),
            "locations": ("company_location_changes", "companyLocations"),
        }[of]
        found = (
            backend._shopify_client()
            .execute(name, {"first": CHANGES_PER_PAGE, "after": state["after"], "query": query})
            .data[field]
        )
        if of == "companies":
            changes = [
                Change(row["id"], contract.read_utc(row["updatedAt"]), row["name"])
                for row in found["nodes"]
            ]
        else:
            # the company's own time stamp may be older than what was changed
            companies = {row["company"]["id"]: row["company"]["name"] for row in found["nodes"]}
            changes = [Change(gid, None, name) for gid, name in companies.items()]
        more, following = found["pageInfo"], None
        if more["hasNextPage"]:
            following = {"of": of, "after": more["endCursor"]}
        elif of == "companies" and since:
            # without a time, all companies were listed
            following = {"of": "locations", "after": None}
        return ChangePage(changes, following, ordered=False)

    def _resolve_reference(self, backend, reference):
        if reference.startswith("gid://"):
            return reference
        if reference.isdecimal():
            return f"gid://shopify/Company/{reference}"
        raise ConfigurationError(
            self.env._(
                "Type the number at the end of the address of the company's page in the Shopify "
                "admin, not %s.",
                reference,
            )
        )

    def _updated_at(self, data):
        return data.updatedAt

    def _label(self, data):
        return data.name

    # === HOOKS - WRITING === #

    def _map(self, backend, items):
        Contact = self.env["integration.shopify.contact"]
        rows = [
            address.as_address()
            for item in items
            for location in item.data.locations
            for address in (location.shippingAddress, location.billingAddress)
            if address
        ]
        places = Contact._places_of(rows)
        lists = self._mapped(backend, items, "catalog", self._catalogs)
        positions = self._mapped(backend, items, "tax_exemption", self._exemptions)
        terms = self._mapped(backend, items, "payment_term", self._terms)
        for item in items:
            if item.record and not item.record.active:
                item.skip(
                    self.env._(
                        "%s is archived in Odoo, so nothing was written. Unarchive the company and "
                        "press Retry.",
                        item.record.display_name,
                    )
                )
                continue
            item.values = {
                "places": places,
                "lists": lists,
                "positions": positions,
                "terms": terms,
            }
        mapped = self.env["integration.field.mapping"]._values_in(
            backend, COMPANY, [(item.data, bool(item.record)) for item in items]
        )
        for item, values in zip(items, mapped, strict=True):
            item.values["mapped"] = values

    @api.model
    def _mapped(self, backend, items, kind, read):
        """Return ``{value: record}`` of what locations name; what is not mapped is only noted.

        :param read: called with a location, returns ``{value: label}``.
        """
        wanted = {}
        for item in items:
            for location in item.data.locations:
                wanted |= read(location)
        if not wanted:
            return {}
        known = self.env["integration.mapping"]._values(backend, kind, wanted)
        for item in items:
            named = {}
            for location in item.data.locations:
                named |= read(location)
            item.seen += [
                MissingValue(kind, value, label)
                for value, label in named.items()
                if value not in known
            ]
        return known

    @api.model
    def _catalogs(self, location):
        return {row.id: row.title or row.id for row in location.catalogs if row.status == "ACTIVE"}

    @api.model
    def _exemptions(self, location):
        label = self.env["integration.shopify.customer"]._exemption_label
        return {code: label(code) for code in customers.exemptions(location.taxSettings)}

    @api.model
    def _terms(self, location):
        """Return the payment terms in the form the orders use."""
        experience = location.buyerExperienceConfiguration
        template = experience and experience.paymentTermsTemplate
        if not template:
            return {}
        terms = contract.PaymentTerms(
            paymentTermsName=template.name,
            paymentTermsType=template.paymentTermsType,
            dueInDays=template.dueInDays,
        )
        return {terms.key: template.name}

    def _find_existing(self, backend, items):
        """Recognise companies by our reference: an ``externalId`` that is one of ours.

        By name alone nobody is recognised; a company that exists is linked by hand, or by the
        first order of one of its contacts.
        """
        Partner = self.env["res.partner"]
        wanted = {item.data.externalId.strip() for item in items} - {""}
        if not wanted:
            return
        found = Partner.search(
            [
                *Partner._check_company_domain(backend.company_id),
                ("ref", "in", list(wanted)),
                ("is_company", "=", True),
            ]
        ).grouped("ref")
        every = Partner.union(*found.values())
        bound = {
            link.res_id
            for link in self.env["integration.binding"]._search_records(backend, COMPANY, every)
        }
        for item in items:
            candidates = found.get(item.data.externalId.strip(), Partner)
            candidates = candidates.filtered(lambda row: row.id not in bound)
            if len(candidates) > 1:
                item.fail(
                    AmbiguousMatchError(
                        self.env._(
                            "%(company)s: several companies in Odoo have the reference "
                            "%(reference)s: %(candidates)s. Correct it, then press Retry.",
                            company=item.label,
                            reference=item.data.externalId,
                            candidates=", ".join(
                                f"{row.display_name} (ID {row.id})" for row in candidates
                            ),
                        ),
                        candidates=candidates.mapped("display_name"),
                    )
                )
            elif candidates:
                item.record = candidates

    def _apply(self, backend, items):
        new = [item for item in items if not item.record]
        created = self.env["res.partner"].create([self._new_values(backend, item) for item in new])
        for item, partner in zip(new, created, strict=True):
            item.record = partner
        made = {item.operation_id for item in new}
        Profile = self.env["integration.shopify.profile"]
        companies = self.env["res.partner"].union(*(item.record for item in items))
        profiles = Profile._of(backend, companies).grouped("partner_id")
        given = {}
        for item in items:
            profile = profiles.get(item.record, Profile)
            given[item.record] = self._update(backend, item, item.operation_id in made, profile)
        Profile._note_given(backend, given, profiles)
        self._follow_locations(backend, items)
        self._follow_contacts(backend, items)

    @api.model
    def _new_values(self, backend, item):
        values = {
            "name": item.data.name or self.env._("Shopify company"),
            "is_company": True,
            "company_id": backend.company_id.id,
        }
        if item.data.externalId:
            values["ref"] = item.data.externalId
        location = next((row for row in item.data.locations if self._address(row)), None)
        if location:
            values |= self.env["integration.shopify.contact"]._place_values(
                self._address(location), item.values["places"]
            )
            values["phone"] = location.phone or False
        return values

    @api.model
    def _address(self, location):
        """Return where goods of a location go, else where its invoices go, or None."""
        address = location.shippingAddress or location.billingAddress
        return address.as_address() if address else None

    @api.model
    def _update(self, backend, item, is_new, profile):
        """Write what Shopify says of the company as a whole, as far as its locations agree.

        What belongs to Odoo is written for a new company only: fiscal position and tax number
        with the tax exemption, price list and payment term, which have no owner of their own,
        where all of a customer belongs to Odoo.

        :param profile: of the company in this shop, maybe empty.
        :returns: what the profile has to remember from now on, by :data:`GIVEN`; False: nothing.
        """
        data, values, given = item.data, dict(item.values["mapped"]), {}
        partner = item.record.with_company(backend.company_id)
        if backend._shopify_customer_owner("identity") == "shopify" and data.name:
            values["name"] = data.name
        with_terms = is_new or backend.shopify_customer_master != "odoo"
        with_taxes = is_new or backend._shopify_customer_owner("tax") == "shopify"
        for field, wanted, mapped, read, ended in (
            (
                "specific_property_product_pricelist",
                with_terms,
                item.values["lists"],
                self._catalogs,
                data.locations and not any(map(self._catalogs, data.locations)),
            ),
            (
                "property_account_position_id",
                with_taxes,
                item.values["positions"],
                self._exemptions,
                # a company that pays taxes somewhere is not, or no longer, exempt as a whole
                not all(map(self._exemptions, data.locations)),
            ),
            (
                "property_payment_term_id",
                with_terms,
                item.values["terms"],
                self._terms,
                data.locations and not any(map(self._terms, data.locations)),
            ),
        ):
            if not wanted:
                continue
            found = {
                tuple(sorted({mapped[value].id for value in read(row) if value in mapped}))
                for row in data.locations
            }
            if len(found) == 1 and len(ids := found.pop()) == 1:
                values[field] = ids[0]
                # what is there already was chosen in Odoo, or is remembered
                if field in GIVEN and partner[field].id != ids[0]:
                    given[GIVEN[field]] = ids[0]
            elif len(found) > 1:
                item.notes.append(
                    self.env._(
                        "The locations of %(company)s differ in: %(field)s. It was not set for the "
                        "company.",
                        company=item.label,
                        field=partner._fields[field]._description_string(self.env),
                    )
                )
            if not ended:
                continue
            if partner[field]:
                ours = profile[GIVEN[field]] if field in GIVEN else self._meant(backend)
                if partner[field] in ours:
                    values[field] = False
            if field in GIVEN:
                given[GIVEN[field]] = False
        places = data.locations if with_taxes else ()
        numbers = {row.taxSettings.taxRegistrationId.strip() for row in places} - {""}
        if len(numbers) == 1:
            values["vat"] = numbers.pop()
        elif numbers:
            item.notes.append(
                self.env._(
                    "The locations of %(company)s have several tax numbers: %(numbers)s. In Odoo "
                    "a company has one; it was left as it is.",
                    company=item.label,
                    numbers=", ".join(sorted(numbers)),
                )
            )
        changed = {
            name: value
            for name, value in values.items()
            if not self._same_value(
                partner,
                partner._fields[name],
                partner[name],
                partner._fields[name].convert_to_record(
                    partner._fields[name].convert_to_cache(value, partner), partner
                ),
            )
        }
        if changed:
            partner.write(changed)
        return given

    @api.model
    def _meant(self, backend):
        """Return the fiscal positions that mean an exemption; others were chosen in Odoo."""
        return self.env["integration.shopify.customer"]._exempt_positions(backend)

    # === LOCATIONS === #

    @api.model
    def _follow_locations(self, backend, items):
        """Make, change and archive the addresses that stand for locations.

        Where addresses belong to Odoo only new ones are made.
        """
        follows = backend._shopify_customer_owner("addresses") == "shopify"
        Binding = self.env["integration.binding"]
        Book = self.env["integration.shopify.address.book"]
        children = self.env["res.partner"].union(*(item.record.child_ids for item in items))
        links = Binding._search_records(backend, COMPANY_LOCATION, children)
        ids = [row.id for item in items for row in item.data.locations]
        links |= Binding._search_external(backend, COMPANY_LOCATION, ids)
        records = links._existing_records()
        used = Book._used(self.env["res.partner"].union(*records.values()))
        wanted, gone = [], dict(records) if follows else {}
        for item in items:
            for location in item.data.locations:
                if not follows and location.id in records:
                    continue
                address = self._address(location)
                values = self._location_values(item, location, address)
                known = records.get(location.id)
                # what was delivered to the old address was delivered there
                moved = known and known in used and address and Book._differs(known, values)
                if known and known.parent_id == item.record and known.active and not moved:
                    gone.pop(location.id)
                    self._change_location(known, values)
                elif address and not compare.is_empty(address):
                    wanted.append((location, values, item))
        for record in gone.values():
            record.active = False
        links.filtered(lambda link: link.external_id not in records.keys() - gone.keys()).unlink()
        made = self.env["res.partner"].create([values for _row, values, _item in wanted])
        labels = {row.id: row.name for row, _values, _item in wanted}
        Binding._bind(
            backend,
            COMPANY_LOCATION,
            {row.id: record for (row, _v, _i), record in zip(wanted, made, strict=True)},
            labels,
        )

    @api.model
    def _location_values(self, item, location, address):
        values = {
            "parent_id": item.record.id,
            "type": "delivery",
            "name": location.name,
            "ref": location.externalId or False,
            "phone": location.phone or (address.phone if address else False) or False,
            "company_id": item.record.company_id.id,
        }
        if address:
            Contact = self.env["integration.shopify.contact"]
            values |= Contact._place_values(address, item.values["places"])
        return values

    @api.model
    def _change_location(self, record, values):
        changed = {
            name: value
            for name, value in values.items()
            if name not in ("parent_id", "type", "company_id")
            and (record[name].id if name.endswith("_id") else record[name] or False) != value
        }
        if changed:
            record.write(changed)

    # === CONTACTS === #

    @api.model
    def _follow_contacts(self, backend, items):
        """Put the contacts that are in Odoo below their companies, with title and roles."""
        ids = [row.customer.id for item in items for row in item.data.contacts]
        found = self.env["integration.binding"]._find(backend, CUSTOMER, ids)
        partners = self.env["res.partner"].union(*found.values())
        profiles = self.env["integration.shopify.profile"]._ensure(backend, partners)
        for item in items:
            for row in item.data.contacts:
                partner = found.get(row.customer.id)
                if not partner:
                    continue
                self.env["integration.shopify.contact"]._join_company(
                    Party(row.customer.id, partner, company=item.record)
                )
                if row.title and not partner.function:
                    partner.function = row.title
                roles = ", ".join(
                    f"{role.name} ({role.companyLocation.name})" for role in row.roleAssignments
                )
                if (profiles[partner].roles or "") != roles:
                    profiles[partner].roles = roles or False

    def _apply_deletion(self, backend, items):
        """Leave companies alone: their documents and contacts stay, whatever the shop does."""
        for item in items:
            item.notes.append(
                self.env._(
                    "%(company)s no longer exists in %(backend)s. It was left as it is in Odoo.",
                    company=item.record.display_name,
                    backend=backend.display_name,
                )
            )

    def _undo_deletion(self, backend, items):
        """Nothing was done about the deletion."""

    def _compare(self, backend, items):
        """Leave it to the digests: values are made of more than one field."""
