from datetime import datetime

from odoo import api, fields, models

from ..lib import customers
from ..lib.contract_customer import Customer


class IntegrationShopifyProfile(models.Model):
    """What a shop says of a contact, and what we have told it."""

    _name = "integration.shopify.profile"
    _description = "Shopify Customer Profile"
    _inherit = ["integration.company.mixin"]
    _order = "backend_id, id"

    partner_id = fields.Many2one("res.partner", required=True, ondelete="cascade", index=True)
    backend_id = fields.Many2one(
        "integration.backend", string="Shop", required=True, ondelete="cascade"
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    tags = fields.Text(help="Of the customer in Shopify, one per line.")
    sent_tags = fields.Text(help="Those that Odoo has added there, one per line.")
    account_state = fields.Char(string="Account", help="Of the customer's login in the shop.")
    email_state = fields.Selection(
        [
            ("SUBSCRIBED", "Subscribed"),
            ("UNSUBSCRIBED", "Unsubscribed"),
            ("PENDING", "Waits for confirmation"),
            ("NOT_SUBSCRIBED", "Never asked"),
            ("INVALID", "Invalid address"),
            ("REDACTED", "Redacted"),
        ],
        string="E-mail Marketing",
    )
    email_level = fields.Char(string="E-mail Opt-in", help="How the consent was given.")
    email_since = fields.Datetime(string="E-mail Since", help="When the customer decided so.")
    sms_state = fields.Selection(
        [
            ("SUBSCRIBED", "Subscribed"),
            ("UNSUBSCRIBED", "Unsubscribed"),
            ("PENDING", "Waits for confirmation"),
            ("NOT_SUBSCRIBED", "Never asked"),
            ("REDACTED", "Redacted"),
        ],
        string="SMS Marketing",
    )
    sms_level = fields.Char(string="SMS Opt-in", help="How the consent was given.")
    sms_since = fields.Datetime(string="SMS Since", help="When the customer decided so.")
    roles = fields.Char(help="Of a company's contact: what he may do in the shop, and where.")
    given_pricelist_id = fields.Many2one(
        "product.pricelist",
        string="Price List Given",
        readonly=True,
        help="Of a company: what the catalog of its locations has set in Odoo. It is taken back "
        "when no location has a catalog any more; a price list chosen in Odoo stays.",
    )
    given_payment_term_id = fields.Many2one(
        "account.payment.term",
        string="Payment Term Given",
        readonly=True,
        help="Of a company: what the terms of its locations have set in Odoo. It is taken back "
        "when no location has terms any more; a payment term chosen in Odoo stays.",
    )

    _partner_unique = models.Constraint(
        "UNIQUE(backend_id, partner_id)", "This contact has a profile of the shop already."
    )

    @api.model
    def _of(self, backend, partners):
        """Return the profiles of contacts in one shop."""
        return self.search([("backend_id", "=", backend.id), ("partner_id", "in", partners.ids)])

    @api.model
    def _ensure(self, backend, partners):
        """Return ``{contact: profile}``; those missing are made, at once."""
        known = {row.partner_id: row for row in self._of(backend, partners)}
        missing = [partner for partner in partners if partner not in known]
        made = self.create(
            [{"backend_id": backend.id, "partner_id": partner.id} for partner in missing]
        )
        return {**known, **dict(zip(missing, made, strict=True))}

    def _sent_tags(self):
        """Return the tags that Odoo has given the customer."""
        return [tag for row in self for tag in (row.sent_tags or "").splitlines() if tag]

    # === INTO ODOO === #

    @api.model
    def _note(self, backend, items):
        """Remember what Shopify says of customers, and hand on what Shopify owns.

        :param list[Item] items: with ``record`` and ``data``.
        """
        partners = self.env["res.partner"].union(*(item.record for item in items))
        profiles = self._ensure(backend, partners)
        if backend.shopify_customer_tags and backend._shopify_customer_owner("tags") == "shopify":
            self._hand_on_tags(items, profiles)
        for item in items:
            profile, data = profiles[item.record], item.data
            values = {"tags": "\n".join(data.tags) or False, "account_state": data.state or False}
            for way in customers.WAYS:
                told = getattr(data, way.code)
                if told and way.source not in data.withheld and told.marketingState:
                    known = dict(profile._fields[f"{way.code}_state"].selection)
                    values |= {
                        f"{way.code}_state": told.marketingState in known and told.marketingState,
                        f"{way.code}_level": told.marketingOptInLevel or False,
                        f"{way.code}_since": told.marketingUpdatedAt,
                    }
            changed = {
                name: value
                for name, value in values.items()
                if (profile[name] or False) != (value or False)
            }
            before = {way.code: profile._said(way.code) for way in customers.WAYS}
            if changed:
                profile.write(changed)
            for way in customers.WAYS:
                if {f"{way.code}_state", f"{way.code}_since"} & changed.keys():
                    profile._hand_on_consent(way.code, before[way.code])

    def _said(self, way):
        """Return what the shop says the customer has decided, and since when."""
        return customers.DECISIONS.get(self[f"{way}_state"], False), self[f"{way}_since"]

    def _hand_on_consent(self, way, before):
        """Add to the history of consent, and set the contact's where Shopify owns it.

        An objection counts whoever owns it, unless what Odoo has is newer.

        :param str way: ``email`` or ``sms``.
        :param before: what the shop has :meth:`_said` until now.
        """
        name = f"shopify_{way}_consent"
        self.env["integration.shopify.consent"]._add(
            self.partner_id,
            way,
            self[f"{way}_state"],
            "shopify",
            level=self[f"{way}_level"],
            since=self[f"{way}_since"],
            backend=self.backend_id,
        )
        partner, (decision, since) = self.partner_id, self._said(way)
        known = partner[f"{name}_at"]
        if self.backend_id._shopify_customer_owner("consent") != "shopify" and (
            decision != "unsubscribed" or (known and (not since or since <= known))
        ):
            return
        # of several shops the newest decision counts
        if known and since and since < known:
            return
        if partner[name] and (partner[name], known) != before:
            # another shop, or somebody in Odoo, has noted it: only a decision replaces it, and one
            # without a date only if it is not to advertise
            if not decision or (not since and decision != "unsubscribed"):
                return
        elif not decision:
            decision, since = self._said_elsewhere(way)
        if partner[name] != decision:
            partner.with_context(shopify_consent_noted=True).write(
                {name: decision, f"{name}_at": since}
            )

    def _said_elsewhere(self, way):
        """Return the newest decision that other shops know of, and its date; False without one."""
        # sudo: the contact is one, also where shops of other companies know it
        others = self.partner_id.sudo().shopify_profile_ids - self.sudo()
        found = [
            row._said(way)
            for row in others
            if row.backend_id._shopify_customer_owner("consent") == "shopify"
        ]
        found = [(since or datetime.min, decision, since) for decision, since in found if decision]
        return max(found)[1:] if found else (False, False)

    @api.model
    def _hand_on_tags(self, items, profiles):
        """Give contacts the tags of their customers; those given in Odoo stay.

        Tags are told apart as Shopify does: small and capital letters are the same.
        """
        names = {tag.casefold(): tag for item in items for tag in item.data.tags}
        gone = {
            item.operation_id: {
                tag.casefold() for tag in (profiles[item.record].tags or "").splitlines()
            }
            - {tag.casefold() for tag in item.data.tags}
            for item in items
        }
        wanted = {*names, *(name for rows in gone.values() for name in rows)}
        if not wanted:
            return
        Category = self.env["res.partner.category"]
        by_name = {}
        for row in Category.search([]):  # pylint: disable=no-search-all
            by_name.setdefault(row.name.casefold(), row)
        new = [key for key in names if key not in by_name]
        made = Category.create([{"name": names[key]} for key in new])
        by_name |= dict(zip(new, made, strict=True))
        for item in items:
            known = item.record.category_id
            tags = Category.union(*(by_name[tag.casefold()] for tag in item.data.tags))
            lost = Category.union(
                *(by_name[key] for key in gone[item.operation_id] if key in by_name)
            )
            if (known - lost) | tags != known:
                item.record.category_id = (known - lost) | tags

    @api.model
    def _note_given(self, backend, given, known):
        """Remember what a shop has set on companies, so that no other choice is taken back.

        :param dict given: ``{company: values}``; a value that is False is forgotten.
        :param dict known: ``{company: profile}``, those there are.
        """
        new = self.env["res.partner"].union(
            *(row for row, values in given.items() if row not in known and any(values.values()))
        )
        profiles = {**known, **self._ensure(backend, new)} if new else known
        for partner, values in given.items():
            profile = profiles.get(partner, self)
            changed = {name: value for name, value in values.items() if profile[name].id != value}
            if changed:
                profile.write(changed)

    # === OUT OF ODOO === #

    @api.model
    def _note_sent(self, backend, items):
        """Remember which tags Odoo has given to customers."""
        items = [item for item in items if "tags" in item.values]
        partners = self.env["res.partner"].union(*(item.record for item in items))
        profiles = self._ensure(backend, partners)
        for item in items:
            present = {tag.casefold() for tag in Customer.model_validate(item.payload).tags}
            sent = [tag for tag in item.values["tags"] if tag.casefold() in present]
            text = "\n".join(sent) or False
            if profiles[item.record].sent_tags != text:
                profiles[item.record].sent_tags = text
