from odoo import api, models

from odoo.addons.integration_base.lib import contract as payloads
from odoo.addons.integration_base.lib.errors import (
    AmbiguousMatchError,
    AuthError,
    ConfigurationError,
    ConflictError,
    IntegrationError,
    MissingScopeError,
    MissingValue,
    NotReadyError,
    RateLimitedError,
    RetryableError,
    SkipRecord,
)
from odoo.addons.integration_base.lib.intents import intent_of
from odoo.addons.integration_base.lib.records import Change, ChangePage, Watch

from ..lib import address as compare
from ..lib import contract, customers, pages, webhook
from ..lib.client import UserErrors, access_denied, denied_leaves
from ..lib.contract_customer import Customer
from .integration_shopify_address_book import PLACE, SHOWN_ON
from .integration_shopify_contact import CUSTOMER, Party

#: Customers per call, where that is not too expensive.
CUSTOMERS_PER_CALL = 25
CHANGES_PER_PAGE = 250
ADDRESSES_FIRST = 10
PAGES = (
    pages.Connection(
        "addressesV2",
        "customer_addresses",
        "customer.addressesV2",
        pages.by_root,
        version="customer.updatedAt",
    ),
)
#: What is done without where access to it is not given: B2B needs a plan of its own.
OPTIONAL_FIELDS = frozenset({"companyContactProfiles", "lastOrder"})
#: What changes a customer, beside the fields that are mapped to metafields.
WATCHES = (
    Watch(
        "res.partner",
        (
            "name",
            "email",
            "phone",
            "company_name",
            *PLACE,
            "lang",
            "category_id",
            "property_account_position_id",
            "shopify_email_consent",
            "shopify_sms_consent",
        ),
    ),
    Watch("res.partner", ("name", "phone", *PLACE, "type", "active"), "parent_id"),
)
#: Seconds after which a merge that is not over yet is worth another look.
MERGING_SECONDS = 30


class IntegrationShopifyCustomer(models.AbstractModel):
    """Customers of a Shopify shop and contacts in Odoo, both ways.

    Which side writes what is set on the backend (:meth:`_shopify_customer_owner`). A customer is
    recognised as the import of orders does it (``integration.shopify.contact``): by its link, by
    our own reference, else by e-mail; never by name.

    Addresses that a document shows are never written over: the new one is added beside it.
    """

    _name = "integration.shopify.customer"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Customers"

    _resource_name = "Customers"
    _resource_model = "res.partner"
    _resource_direction = "both"
    _resource_imports_exported = False
    _resource_starts_off = frozenset({"in", "out"})
    _resource_contract = Customer
    _resource_digest_exclude = frozenset({"updatedAt"})
    # an e-mail address or phone number belongs to one customer: what comes twice is refused
    _resource_honours_keys = True
    _resource_groups = (
        "integration_shopify.group_shopify_work",
        "base.group_partner_manager",
        "sales_team.group_sale_salesman_all_leads",
        "account.group_account_invoice",
    )
    _resource_batch_size = 50
    _resource_interval_minutes = 15
    _shopify_documents = (
        "customers",
        "customer_addresses",
        "customer_changes",
        "customer_count",
    )
    _shopify_out_documents = (
        "customer_find",
        "customer_create",
        "customer_update",
        "customer_consent",
        "customer_sms_consent",
        "customer_tags_add",
        "customer_tags_remove",
        "customer_address_create",
        "customer_address_update",
        "customer_address_delete",
    )
    _shopify_optional_scopes = frozenset({"read_orders"})

    @property
    def _resource_watches(self):
        return (*WATCHES, *self.env["integration.field.mapping"]._shopify_watches(CUSTOMER))

    # === HOOKS - ACCESS === #

    def _resource_scopes(self, backend, direction):
        out = self._shopify_out_documents if direction == "out" else ()
        return self._shopify_scopes(backend, (*self._shopify_documents, *out))

    def _shopify_scope_reasons(self, backend):
        return {
            "read_customers": self.env._("read the customers and their addresses"),
            "read_orders": self.env._("read the tax numbers buyers typed in with their orders"),
            "write_customers": self.env._("make and change customers"),
        }

    # === HOOKS - READING === #

    def _fetch(self, backend, external_ids):
        client = backend._shopify_client()
        wanted = {gid: webhook.merged_ids(gid) for gid in external_ids}
        ids = list(dict.fromkeys(part for parts in wanted.values() for part in parts if part))
        payloads_by_id = pages.read_in_parts(
            ids,
            CUSTOMERS_PER_CALL,
            lambda part, found: self._fetch_some(backend, client, part, found),
        )
        found = {}
        for gid, (kept, gone) in wanted.items():
            payload = payloads_by_id.get(kept)
            if payload is None:
                continue
            if gone and isinstance(payload, dict):
                payload = self._merged(payload, gone, payloads_by_id.get(gone))
            found[gid] = payload
        return found

    @api.model
    def _merged(self, payload, gone, other):
        """Return a customer into whom another one was merged; an error while that is going on."""
        if other is None:
            return {**payload, "merged": gone}
        if isinstance(other, IntegrationError):
            return other
        return NotReadyError(
            self.env._("Shopify is still merging the two customers."), retry_after=MERGING_SECONDS
        )

    def _fetch_some(self, backend, client, ids, payloads_by_id):
        keys = self.env["integration.field.mapping"]._shopify_metafield_keys(backend, CUSTOMER)
        answer = client.execute(
            "customers",
            {
                "ids": ids,
                "addresses": ADDRESSES_FIRST,
                "withMetafields": bool(keys),
                "metafields": keys,
                "metafieldCount": max(len(keys), 1),
            },
        )
        withheld = self._withheld(answer)
        for position, node in enumerate(answer.data.get("nodes") or []):
            if not node and position in withheld:
                # what may not be empty and is hidden takes the customer with it: nobody is gone
                payloads_by_id[ids[position]] = SkipRecord(self._hidden())
            if not node or not node.get("id"):
                continue
            node["withheld"] = sorted(withheld.get(position, ()))
            try:
                payloads_by_id[node["id"]] = pages.read_on(
                    lambda name, variables: client.execute(name, variables).data, node, PAGES
                )
            except (NotReadyError, RateLimitedError, RetryableError) as error:
                payloads_by_id[node["id"]] = error

    @api.model
    def _withheld(self, answer):
        """Return ``{position: names of fields}`` that Shopify hides from us.

        :raises IntegrationError: when anything else is missing.
        """
        needed = [
            error
            for error in answer.errors
            if not OPTIONAL_FIELDS.intersection(error.get("path") or ())
        ]
        found = {}
        for path in denied_leaves(type(answer)(data=answer.data, errors=needed)):
            name = next((step for step in path if step in customers.PROTECTED), None)
            if len(path) < 3 or name is None:
                raise access_denied(needed)
            found.setdefault(path[1], set()).add(name)
        return found

    def _fetch_changes(self, backend, since, page):
        query = pages.changed_since(since)
        found = (
            backend._shopify_client()
            .execute("customer_changes", {"first": CHANGES_PER_PAGE, "after": page, "query": query})
            .data["customers"]
        )
        changes = [Change(row["id"], contract.read_utc(row["updatedAt"])) for row in found["nodes"]]
        more = found["pageInfo"]
        return ChangePage(changes, more["endCursor"] if more["hasNextPage"] else None)

    def _resolve_reference(self, backend, reference):
        """Return the id of the customer with an e-mail address; ids are taken as they are."""
        if reference.startswith("gid://"):
            return reference
        if reference.isdecimal():
            return f"gid://shopify/Customer/{reference}"
        email = compare.email(reference)
        found = email and self._look_up(backend._shopify_client(), {"emailAddress": email})
        if not found:
            raise ConfigurationError(
                self.env._(
                    "%(backend)s has no customer %(reference)s. Type the e-mail address, or the "
                    "number at the end of the address of the customer's page in the Shopify admin.",
                    backend=backend.display_name,
                    reference=reference,
                )
            )
        return found["id"]

    def _count(self, backend):
        found = backend._shopify_client().execute("customer_count").data["customersCount"]
        return found["count"] if found and found["precision"] == "EXACT" else None

    def _updated_at(self, data):
        return data.updatedAt

    def _label(self, data):
        return compare.person(data) or data.email_address or data.phone

    # === HOOKS - INTO ODOO === #

    def _map(self, backend, items):
        Contact = self.env["integration.shopify.contact"]
        for item in items:
            if item.data.merged:
                continue
            if item.record and not item.record.active:
                item.skip(
                    self.env._(
                        "%(contact)s is archived in Odoo, so nothing was written. Unarchive the "
                        "contact and press Retry; the next order of the customer makes a new "
                        "contact otherwise.",
                        contact=item.record.display_name,
                    )
                )
            elif not {"firstName", "lastName", "defaultEmailAddress"} - set(item.data.withheld):
                item.skip(self._hidden())
        alive = [item for item in items if item.alive and not item.data.merged]
        if not alive:
            return
        places = Contact._places_of([row for item in alive for row in item.data.addresses])
        positions = self._positions(backend, alive)
        mapped = self.env["integration.field.mapping"]._values_in(
            backend, CUSTOMER, [(item.data, bool(item.record)) for item in alive]
        )
        languages = self._languages()
        for item, more in zip(alive, mapped, strict=True):
            data = item.data
            identity = {
                "name": compare.person(data),
                "email": data.email_address,
                "phone": data.phone,
                "lang": self._language(data, languages),
            }
            item.values = {
                "identity": {name: value for name, value in identity.items() if value},
                "mapped": {name: value for name, value in more.items() if value is not None},
                "position": positions.get(item.operation_id),
                "places": places,
            }

    @api.model
    def _hidden(self):
        return self.env._(
            "Shopify does not show personal data of customers to this app, so nothing was written. "
            "Ask for access to protected customer data in the Shopify Dev Dashboard; shops on a "
            "small plan cannot give it."
        )

    @api.model
    def _languages(self):
        """Return ``{locale of Shopify, in small letters: code}`` of the languages in use."""
        found = {}
        for code, _name in self.env["res.lang"].get_installed():
            found.setdefault(code[:2].lower(), code)
            found[code.lower()] = code
        return found

    @api.model
    def _language(self, data, languages):
        """Return the code of a customer's language, None when it is not in use in Odoo.

        :param languages: see :meth:`_languages`.
        """
        return languages.get(data.locale.replace("-", "_").lower()) or languages.get(
            data.locale[:2].lower()
        )

    @api.model
    def _positions(self, backend, items):
        """Return ``{operation id: fiscal position}`` of exempt customers, from the mapping.

        Empty where a customer pays taxes; no key where it cannot be told. What is not mapped is
        offered on the mapping page: orders are exact without it.
        """
        wanted = {code: code for item in items for code in customers.exemptions(item.data)}
        Mapping = self.env["integration.mapping"]
        known = Mapping._values(backend, "tax_exemption", wanted) if wanted else {}
        found = {}
        for item in items:
            codes = customers.exemptions(item.data)
            positions = self.env["account.fiscal.position"].union(
                *(known[code] for code in codes if code in known)
            )
            item.seen += [
                MissingValue("tax_exemption", code, self._exemption_label(code))
                for code in codes
                if code not in known
            ]
            if not codes or len(positions) == 1:
                found[item.operation_id] = positions
            elif positions:
                item.notes.append(
                    self.env._(
                        "The tax exemptions of %(customer)s are mapped to different fiscal "
                        "positions, so none was set: %(positions)s.",
                        customer=item.label,
                        positions=", ".join(positions.mapped("name")),
                    )
                )
        return found

    @api.model
    def _exemption_label(self, code):
        if code == customers.EXEMPT:
            return self.env._("Exempt from taxes, without a reason")
        return code.replace("_", " ").capitalize()

    def _find_existing(self, backend, items):
        items = [item for item in items if not item.data.merged]
        self._find_by_reference(backend, items)
        Contact = self.env["integration.shopify.contact"]
        emails = {
            item.operation_id: compare.email(item.data.email_address)
            for item in items
            if not item.record
        }
        by_email = Contact._by_email(backend, set(emails.values()) - {""})
        partners = self.env["res.partner"].union(*by_email.values())
        bound = {
            link.res_id: link
            for link in self.env["integration.binding"]._search_records(backend, CUSTOMER, partners)
        }
        taken = {}
        for item in items:
            found = by_email.get(emails.get(item.operation_id) or "")
            if item.record or not found:
                continue
            email = emails[item.operation_id]
            if len(found) > 1:
                item.fail(Contact._ambiguous(item, email, found))
            elif found.id in bound or found in taken:
                item.fail(self._other_customer(item, email, found, bound.get(found.id)))
            else:
                taken[found] = item
                item.record = found

    @api.model
    def _find_by_reference(self, backend, items):
        """Recognise customers that Odoo has made, whose link was lost."""
        keys = {intent_of(i.data.reference): i for i in items if i.data.reference}
        if not keys:
            return
        # sudo: what was sent for a contact, whoever may read that
        intents = (
            self.env["integration.intent"]
            .sudo()
            .search(
                [
                    ("backend_id", "=", backend.id),
                    ("idempotency_key", "in", list(keys)),
                    ("res_model", "=", "res.partner"),
                ]
            )
        )
        partners = self.env["res.partner"].browse(intents.mapped("res_id")).exists()
        bound = self.env["integration.binding"]._search_records(backend, CUSTOMER, partners)
        free = partners.filtered("active") - partners.browse(bound.mapped("res_id"))
        for intent in intents:
            if intent.res_id in free.ids:
                keys[intent.idempotency_key].record = free.browse(intent.res_id)

    @api.model
    def _other_customer(self, item, email, partner, link):
        return AmbiguousMatchError(
            self.env._(
                "%(customer)s: the contact %(contact)s (ID %(id)s) has the e-mail address "
                "%(email)s, but is linked to another customer of this shop (%(other)s). Correct "
                "the e-mail address of the contact, or the link under Links, then press Retry.",
                customer=item.label,
                contact=partner.display_name,
                id=partner.id,
                email=email,
                other=link.external_label if link else "",
            ),
            candidates=(partner.display_name, link.external_label if link else ""),
        )

    def _apply(self, backend, items):
        for item in items:
            if item.data.merged:
                self._follow_merge(backend, item)
        items = [item for item in items if not item.data.merged]
        if not items:
            return
        created = self._create_partners(backend, items)
        new = {item.operation_id for item in created}
        for item in items:
            if item.operation_id not in new:
                self._update_partner(backend, item)
        self._join_companies(backend, items)
        self.env["integration.shopify.address.book"]._apply(backend, items, created)
        self.env["integration.shopify.profile"]._note(backend, items)

    @api.model
    def _create_partners(self, backend, items):
        """Create the contacts of customers nobody knows; returns their items."""
        new = [item for item in items if not item.record]
        emails = {compare.email(item.data.email_address) for item in new} - {""}
        if emails:
            self.env["integration.shopify.contact"]._reserve(backend, sorted(emails))
        partners = self.env["res.partner"].create([self._new_values(backend, i) for i in new])
        for item, partner in zip(new, partners, strict=True):
            item.record = partner
            if item.values["position"]:
                self._set_position(backend, item)
        return new

    @api.model
    def _new_values(self, backend, item):
        data = item.data
        default = self._default_address(data)
        values = {**item.values["identity"], "company_id": backend.company_id.id}
        company = default.company.strip() if default else ""
        if not values.get("name"):
            values["name"] = (
                (default and (compare.person(default) or company))
                or data.email_address
                or data.phone
                or self.env._("Shopify customer")
            )
            # a company that names no person
            values["is_company"] = bool(company) and values["name"] == company
        if company and not values.get("is_company"):
            values["company_name"] = company
        if not values.get("phone") and default and default.phone:
            values["phone"] = default.phone
        if default:
            Contact = self.env["integration.shopify.contact"]
            values |= Contact._place_values(default, item.values["places"])
        return {**values, **item.values["mapped"]}

    @api.model
    def _default_address(self, data):
        """Return the address a customer has chosen as the usual one, else the first, or None."""
        rows = [row for row in data.addresses if not compare.is_empty(row)]
        usual = next((row for row in rows if row.key == data.default_key), None)
        return usual or (rows[0] if rows else None)

    @api.model
    def _update_partner(self, backend, item):
        """Write what Shopify owns and has changed. Nothing is emptied: a shop asks for less."""
        partner, values = item.record, {}
        if backend._shopify_customer_owner("identity") == "shopify":
            values |= item.values["identity"]
            if partner.is_company:
                # an order of a company that names no person; the person has no contact of its own
                values.pop("name", None)
            if customers.digits(values.get("phone", "")) == customers.digits(partner.phone):
                values.pop("phone", None)
        values |= item.values["mapped"]
        changed = {
            name: value
            for name, value in values.items()
            if not self._same_value(partner, partner._fields[name], partner[name], value)
        }
        if changed:
            partner.write(changed)
        if backend._shopify_customer_owner("tax") == "shopify":
            self._set_position(backend, item)

    @api.model
    def _set_position(self, backend, item):
        """Set the fiscal position of an exempt customer; take one of ours away from any other."""
        position = item.values["position"]
        partner = item.record.with_company(backend.company_id)
        # a contact of a company has the position of the company
        if position is None or partner.commercial_partner_id != partner:
            return
        known = partner.property_account_position_id
        if position:
            if position != known:
                partner.property_account_position_id = position
        elif known and known in self._exempt_positions(backend):
            partner.property_account_position_id = False

    @api.model
    def _exempt_positions(self, backend):
        """Return the fiscal positions that mean an exemption in this shop."""
        found = self.env["integration.mapping"]._values(backend, "tax_exemption")
        return self.env["account.fiscal.position"].union(*found.values())

    @api.model
    def _join_companies(self, backend, items):
        """Put contacts of companies (B2B) below them, as far as both are in Odoo."""
        ids = {row.company.id for item in items for row in item.data.companyContactProfiles}
        if not ids:
            return
        companies = self.env["integration.binding"]._find(backend, "company", list(ids))
        for item in items:
            rows = item.data.companyContactProfiles
            # of several companies no one is the contact's own
            if len(rows) != 1 or rows[0].company.id not in companies:
                continue
            company = companies[rows[0].company.id]
            self.env["integration.shopify.contact"]._join_company(
                Party(item.external_id, item.record, company=company)
            )
            if rows[0].title and not item.record.function:
                item.record.function = rows[0].title

    # === MERGES AND DELETIONS === #

    @api.model
    def _follow_merge(self, backend, item):
        """Let the link follow the customer that is left; contacts are merged by people only."""
        kept, gone = item.data.id, item.data.merged
        self.env["integration.engine"]._lock_records(
            self.env.cr, backend, CUSTOMER, sorted((kept, gone))
        )
        Binding = self.env["integration.binding"]
        links = {
            link.external_id: link
            for link in Binding._search_external(backend, CUSTOMER, [kept, gone])
        }
        records = Binding.union(*links.values())._existing_records()
        old, new = links.get(gone), links.get(kept)
        if not old or gone not in records:
            item.notes.append(
                self.env._("The customer that was merged into %s was not in Odoo.", item.label)
            )
        elif not new or kept not in records:
            (new or Binding).unlink()
            if old.deleted_at and not records[gone].active:
                records[gone].active = True
            old.write(
                {
                    "external_id": kept,
                    "external_label": item.label,
                    "deleted_at": False,
                    "import_digest": False,
                    "export_digest": False,
                    "external_updated_at": False,
                    "fetched_at": False,
                }
            )
            item.notes.append(
                self.env._(
                    "%s is now linked to the customer that is left.", records[gone].display_name
                )
            )
        else:
            old._entomb()
            self._ask_to_merge(backend, records[kept], records[gone])
            item.notes.append(
                self.env._(
                    "Both were contacts in Odoo: %(kept)s and %(gone)s. A to-do on the first asks "
                    "whether they are one person.",
                    kept=records[kept].display_name,
                    gone=records[gone].display_name,
                )
            )
        flow = backend._shopify_customer_flow("in")
        self.env["integration.sync.log"]._append(flow, [Change(kept)], "webhook", force=True)
        flow._wake_after_commit()

    @api.model
    def _ask_to_merge(self, backend, kept, gone):
        summary = self.env._("Merged in Shopify")
        todo = "mail.mail_activity_data_todo"
        note = self.env._(
            "%(shop)s has merged two customers into one. In Odoo they are two contacts: "
            "%(kept)s (ID %(kept_id)s), linked from now on, and %(gone)s (ID %(gone_id)s). If they "
            "are one person, merge them in Odoo too (list of contacts, Actions, Merge).",
            shop=backend.display_name,
            kept=kept.display_name,
            kept_id=kept.id,
            gone=gone.display_name,
            gone_id=gone.id,
        )
        if not kept.activity_search([todo], additional_domain=[("summary", "=", summary)]):
            user = kept.user_id or backend._owner()
            kept.activity_schedule(todo, summary=summary, note=note, user_id=user.id)

    def _apply_deletion(self, backend, items):
        """Archive contacts that nothing but the deleted customer stands for; leave others."""
        partners = self.env["res.partner"].union(*(item.record for item in items))
        busy = self._busy(backend, partners)
        for item in items:
            if item.record.id in busy:
                item.notes.append(
                    self.env._(
                        "%(contact)s is no longer a customer in %(backend)s. The contact was left "
                        "as it is: it has documents, people or other connections.",
                        contact=item.record.display_name,
                        backend=backend.display_name,
                    )
                )
        idle = [item for item in items if item.record.id not in busy]
        return super()._apply_deletion(backend, idle)

    @api.model
    def _busy(self, backend, partners):
        """Return the ids of contacts that stand for more than a customer of this shop."""
        busy = set()
        # sudo: of whoever's documents, also those the technical user may not read
        own = self.sudo().env
        for model, name in (("sale.order", "partner_id"), *SHOWN_ON):
            rows = own[model]._read_group([(name, "in", partners.ids)], [name])
            busy |= {partner.id for (partner,) in rows}
        everyone = own["res.partner"].with_context(active_test=False).browse(partners.ids)
        busy |= {row.id for row in everyone if row.user_ids or row.is_company}
        busy |= {child.parent_id.id for child in everyone.child_ids if child.type == "contact"}
        links = own["integration.binding"].search(
            [
                ("res_model", "=", "res.partner"),
                ("res_id", "in", partners.ids),
                "|",
                ("backend_id", "!=", backend.id),
                ("resource", "!=", CUSTOMER),
            ]
        )
        return busy | set(links.mapped("res_id"))

    # === HOOKS - OUT OF ODOO === #

    def _export(self, backend, items):
        sends_changes = self._sends_changes(backend)
        for item in items:
            reason = self._not_for_shopify(backend, item, sends_changes)
            if reason:
                item.skip(reason)
        alive = [item for item in items if item.alive]
        owned = self._owned(backend)
        codes = self._exemption_codes(backend)
        partners = [item.record for item in alive]
        fields_of = self.env["integration.field.mapping"]._shopify_metafields(
            backend, CUSTOMER, partners
        )
        for item, metafields in zip(alive, fields_of, strict=True):
            # a new customer gets all we know
            parts = owned if item.external_id else set(customers.PARTS)
            item.values = self._export_values(backend, item.record, parts, codes)
            if metafields:
                item.values["metafields"] = metafields

    @api.model
    def _owned(self, backend):
        """Return the parts of the customers a shop has that belong to Odoo."""
        return {part for part in customers.PARTS if backend._shopify_customer_owner(part) == "odoo"}

    @api.model
    def _sends_changes(self, backend):
        """Return whether anything of the customers a shop has belongs to Odoo."""
        sent_rows = self.env["integration.field.mapping"]._shopify_sent_rows(backend, CUSTOMER)
        return bool(self._owned(backend) or sent_rows)

    @api.model
    def _not_for_shopify(self, backend, item, sends_changes):
        """Return why a contact does not become or change a customer, empty when it does.

        :param bool sends_changes: see :meth:`_sends_changes`.
        """
        partner = item.record
        if item.external_id:
            if sends_changes:
                return ""
            return self.env._("Shopify owns its customers, see the page Customers of the backend.")
        if backend not in partner.shopify_backend_ids:
            return self.env._(
                "%(contact)s is not meant for %(backend)s: the shop is not chosen on the contact.",
                contact=item.label,
                backend=backend.display_name,
            )
        if partner.company_id and partner.company_id not in backend.company_id.parent_ids:
            return self.env._("%s belongs to another company.", item.label)
        if partner.type != "contact":
            return self.env._(
                "%s is an address. Choose the shop on the contact it belongs to.", item.label
            )
        if not partner.active:
            return self.env._("%s is archived.", item.label)
        if not self._email(partner) and not partner.phone:
            return self.env._(
                "%s has neither an e-mail address nor a phone number, so Shopify could not tell "
                "the customer from others. Add one of them.",
                item.label,
            )
        return ""

    @api.model
    def _email(self, partner):
        """Return the e-mail address of a contact, the first of several; empty without one."""
        return compare.email(partner.email_normalized)

    @api.model
    def _exemption_codes(self, backend):
        """Return ``{fiscal position: exemption}``; of several the first in order."""
        found = self.env["integration.mapping"]._values(backend, "tax_exemption")
        return {position: code for code, position in sorted(found.items(), reverse=True)}

    @api.model
    def _export_values(self, backend, partner, parts, codes):
        """Return what Shopify shall have of a contact.

        :param parts: of :data:`~..lib.customers.PARTS`.
        """
        values, fields_in = {}, {}
        if "identity" in parts:
            name, email = partner.name or "", self._email(partner)
            # a customer without a name has one of these as the name in Odoo
            if compare.normal(name) not in (compare.normal(email), compare.normal(partner.phone)):
                first, last = customers.split_name(name)
                fields_in |= {"firstName": first, "lastName": last}
            if email:
                fields_in["email"] = email
            if partner.phone:
                fields_in["phone"] = partner.phone
            if partner.lang:
                fields_in["locale"] = partner.lang.replace("_", "-")
        if "tax" in parts and codes:
            code = codes.get(partner.with_company(backend.company_id).property_account_position_id)
            fields_in["taxExempt"] = bool(code)
            fields_in["taxExemptions"] = [code] if code and code != customers.EXEMPT else []
        if fields_in:
            values["customer"] = fields_in
        if "tags" in parts and backend.shopify_customer_tags:
            values["tags"] = sorted(partner.category_id.mapped("name"))
        if "addresses" in parts:
            values["addresses"] = self.env["integration.shopify.address.book"]._export(partner)
        if "consent" in parts:
            values["consent"] = self._export_consent(partner)
        return values

    @api.model
    def _export_consent(self, partner):
        """Return ``{code of the way: what its owner decided}``; nobody asked is no decision."""
        found = {}
        for way in customers.WAYS:
            name = f"shopify_{way.code}_consent"
            if partner[name] in customers.STATES:
                since = partner[f"{name}_at"]
                found[way.code] = {
                    "marketingState": customers.STATES[partner[name]],
                    "consentUpdatedAt": f"{since:%Y-%m-%dT%H:%M:%SZ}" if since else None,
                }
        return found

    def _push(self, backend, items):
        client = backend._shopify_client()
        for item in items:
            try:
                self._send(backend, client, item)
            except (AuthError, MissingScopeError, RateLimitedError):
                raise
            except IntegrationError as error:
                item.fail(error)

    @api.model
    def _send(self, backend, client, item):
        """Make or change one customer; what is right already is left alone."""
        made = False
        gid = item.external_id
        if not gid:
            gid, made = self._create(backend, client, item)
        if not gid:
            return
        item.external_id = gid
        data = self._read_customer(backend, item, gid)
        if not made:
            item.before = item.payload
        profile = self.env["integration.shopify.profile"]._of(backend, item.record)
        book = self.env["integration.shopify.address.book"]
        values = dict(item.values)
        if "customer" in values and self._language(data, self._languages()) == item.record.lang:
            # the shop's own form of it, en for en-US, stays
            values["customer"] = {**values["customer"]}
            values["customer"].pop("locale", None)
        todo = customers.plan(
            values, data, profile._sent_tags(), book._linked(backend, item.record)
        )
        if todo:
            self._carry_out(client, item, gid, todo)
            self._read_customer(backend, item, gid)
        item.mark_sent(gid)

    @api.model
    def _read_customer(self, backend, item, gid):
        """Return the :class:`~..lib.contract_customer.Customer` as it is now, in the item too.

        :raises ConflictError: when it is gone.
        """
        payload = self._fetch(backend, [gid]).get(gid)
        if isinstance(payload, IntegrationError):
            raise payload
        if payload is None:
            raise ConflictError(
                self.env._(
                    "The customer of %s no longer exists in Shopify. To make it again, delete the "
                    "link under Links and press Retry; else set this operation aside.",
                    item.label,
                )
            )
        item.payload = payload
        return payloads.validate(Customer, payload, item.label)

    @api.model
    def _create(self, backend, client, item):
        """Make a customer, or take the one with the same e-mail address.

        :returns: the id, empty where it failed, and whether it was made.
        """
        values = dict(item.values.get("customer") or {})
        values = {name: value for name, value in values.items() if value not in ("", [], False)}
        values["metafields"] = [
            {**customers.REFERENCE, "value": item.idempotency_key},
            *item.values.get("metafields", ()),
        ]
        if item.values.get("tags"):
            values["tags"] = item.values["tags"]
        places = {"email": values.get("email"), "sms": values.get("phone")}
        consent = item.values.get("consent") or {}
        for way in customers.WAYS:
            if way.code in consent and places[way.code]:
                values[way.entry] = self._consent_input(consent[way.code])
        try:
            made = client.mutate(
                "customer_create",
                {"input": values},
                action=self.env._("make the customer %s", item.label),
            )
        except UserErrors as error:
            return self._take_over(backend, client, item, error), False
        return made["customer"]["id"], True

    @api.model
    def _take_over(self, backend, client, item, error):
        """Return the customer that stands in the way of a new one, if it is the same person.

        What Shopify owns of such a customer leaves the item's values.
        """
        values = item.values.get("customer") or {}
        found = None
        for name, key in (("email", "emailAddress"), ("phone", "phoneNumber")):
            named = any(problem.path.split(".")[-1] == name for problem in error.problems)
            if named and values.get(name):
                found = self._look_up(client, {key: values[name]})
                break
        if not found:
            item.fail(error)
            return ""
        if self._is_ours(item, found):
            return found["id"]
        candidate = found["displayName"] or found["id"]
        links = self.env["integration.binding"]._search_external(backend, CUSTOMER, [found["id"]])
        email = compare.email((found.get("defaultEmailAddress") or {}).get("emailAddress"))
        same = email and email == compare.email(values.get("email"))
        contacts = self.env["integration.shopify.contact"]._by_email(backend, {email} - {""})
        # the rule by which orders recognise people: one e-mail address, one contact
        if same and not links and len(contacts.get(email, ())) == 1:
            item.notes.append(
                self.env._("Linked to the customer %s with the same e-mail address.", candidate)
            )
            # all of them were gathered for a new customer, which this one is not
            metafields = item.values.get("metafields")
            item.values = self._export_values(
                backend, item.record, self._owned(backend), self._exemption_codes(backend)
            )
            if metafields:
                item.values["metafields"] = metafields
            return found["id"]
        item.fail(
            AmbiguousMatchError(
                self.env._(
                    "%(contact)s: %(shop)s has a customer with this e-mail address or phone "
                    "number: %(candidate)s (%(id)s)%(linked)s. Link the contact to it under Links, "
                    "or correct the contact, then press Retry.",
                    contact=item.label,
                    shop=backend.display_name,
                    candidate=candidate,
                    id=found["id"],
                    linked=(
                        self.env._(", linked to %s", links.external_label or links.res_id)
                        if links
                        else ""
                    ),
                ),
                candidates=(candidate, links.external_label or ""),
                detail=error.message,
            )
        )
        return ""

    @api.model
    def _look_up(self, client, identifier):
        """Return what ``customer_find`` says of a customer, None when there is none."""
        answer = client.execute("customer_find", {"identifier": identifier})
        denied_leaves(answer)
        return answer.data.get("customerByIdentifier")

    @api.model
    def _is_ours(self, item, found):
        """Whether an earlier try has made this customer for the record."""
        known = (found.get("reference") or {}).get("value")
        return bool(known) and intent_of(known) == intent_of(item.idempotency_key)

    @api.model
    def _consent_input(self, consent):
        values = {name: value for name, value in consent.items() if value}
        if consent["marketingState"] == "SUBSCRIBED":
            values["marketingOptInLevel"] = "SINGLE_OPT_IN"
        return values

    @api.model
    def _carry_out(self, client, item, gid, todo):
        """Do what a :class:`~..lib.customers.Plan` says; each step may come twice."""
        action = self.env._("change the customer %s", item.label)
        if todo.update:
            client.mutate("customer_update", {"input": {"id": gid, **todo.update}}, action=action)
        for way in customers.WAYS:
            if way.code in todo.consent:
                consent = self._consent_input(todo.consent[way.code])
                client.mutate(
                    way.document, {"input": {"customerId": gid, way.entry: consent}}, action=action
                )
        for document, tags in (
            ("customer_tags_add", todo.add_tags),
            ("customer_tags_remove", todo.remove_tags),
        ):
            if tags:
                client.mutate(document, {"id": gid, "tags": tags}, action=action)
        for address_id, row, usual in todo.change:
            client.mutate(
                "customer_address_update",
                {
                    "customerId": gid,
                    "addressId": address_id,
                    "address": row,
                    "setAsDefault": usual,
                },
                action=action,
            )
        for row, usual in todo.create:
            client.mutate(
                "customer_address_create",
                {"customerId": gid, "address": row, "setAsDefault": usual},
                action=action,
            )
        for address_id in todo.delete:
            client.mutate(
                "customer_address_delete",
                {"customerId": gid, "addressId": address_id},
                action=action,
            )

    def _recover(self, backend, items):
        client = backend._shopify_client()
        for item in items:
            for key, value in (
                ("emailAddress", self._email(item.record)),
                ("phoneNumber", item.record.phone),
            ):
                found = value and self._look_up(client, {key: value})
                if found and self._is_ours(item, found):
                    item.external_id = found["id"]
                    break

    def _note_sent(self, backend, items):
        made = [item for item in items if not item.bound]
        sent = [item for item in items if item.payload]
        self.env["integration.shopify.profile"]._note_sent(backend, sent)
        self.env["integration.shopify.address.book"]._note_sent(backend, sent)
        if made and self._sends_changes(backend):
            # what was changed after it was read and before there was a link was not noted
            flow = backend._shopify_customer_flow("out")
            records = self.env["res.partner"].union(*(item.record for item in made))
            self.env["integration.sync.log"]._append_records(flow, records, "change")
            flow._wake_after_commit()

    def _compare(self, backend, items):
        """Leave it to the digests: values are made of more than one field."""
