from odoo import api, fields, models
from odoo.tools import format_datetime

from ..lib import automation
from ..lib.decision import Decision

#: Outcomes taken from the moment the order is confirmed, with the field of the decision.
RECORDS = {
    "team_id": "team",
    "user_id": "user",
    "warehouse_id": "warehouse",
    "payment_term_id": "payment_term",
}


class IntegrationShopifyRule(models.Model):
    """What shall become of an order in Odoo: a row of conditions and a row of outcomes.

    Rules are read from top to bottom. Each outcome is decided by the first rule that fits and has
    something in its column; an empty column leaves it to the rules below. Tags of all rules that
    fit are added up.
    """

    _name = "integration.shopify.rule"
    _inherit = ["integration.company.mixin"]
    _description = "Shopify Automation Rule"
    _order = "sequence, id"
    _check_company_auto = True

    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    backend_id = fields.Many2one(
        "integration.backend",
        required=True,
        ondelete="cascade",
        index=True,
        domain=[("connector", "=", "shopify")],
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)

    # === CONDITIONS === #

    milestone = fields.Selection(
        [
            ("pending", "Pending"),
            ("authorized", "Authorized"),
            ("partly_paid", "Partly paid"),
            ("paid", "Paid"),
        ],
        string="Payment",
        help="How far the money has come; empty: any. Paid holds for ever, also after a refund.",
    )
    gateway = fields.Char(
        string="Paid With",
        help="Payment methods as Shopify names them, separated by commas: e.g. paypal, "
        "bank deposit. Empty: any.",
    )
    channel = fields.Char(
        help="Where it was ordered, separated by commas: web, pos, the name of an app or of a "
        "point of sale. Empty: anywhere.",
    )
    country_ids = fields.Many2many(
        "res.country",
        "integration_shopify_rule_country_rel",
        string="Delivered To",
        help="Countries of delivery, else of the invoice. Empty: any.",
    )
    risk = fields.Selection(
        [
            ("accept", "Accept"),
            ("investigate", "Investigate"),
            ("cancel", "Cancel"),
            ("risky", "Investigate or cancel"),
        ],
        help="What Shopify recommends after looking for fraud; empty: whatever it is.",
    )
    buyer = fields.Selection(
        [("company", "Company (B2B)"), ("person", "Person")],
        help="Whether a company ordered through Shopify's B2B; empty: either.",
    )
    tag = fields.Char(
        string="Tagged",
        help="Tags of the order in Shopify, separated by commas; one of them is enough.",
    )

    # === OUTCOMES === #

    confirm = fields.Selection(
        [("quotation", "Quotation"), ("confirm", "Confirm")],
        string="Order",
        help="An order that was confirmed is never made a quotation again.",
    )
    invoice = fields.Selection(
        [
            ("no", "None"),
            ("at_once", "At once"),
            ("paid", "When paid"),
            ("delivered", "When delivered"),
        ],
        help="When invoices and credit notes are made.",
    )
    post_invoice = fields.Selection(
        [("post", "Post"), ("draft", "Leave as draft")],
        string="Documents",
        help="Whether invoices and credit notes are posted.",
    )
    register_payment = fields.Selection(
        [("register", "Register"), ("no", "Leave out")],
        string="Payments in Odoo",
        help="Whether money received and given back becomes payments in Odoo.",
    )
    journal_id = fields.Many2one(
        "account.journal",
        check_company=True,
        domain=[("type", "in", ("bank", "cash"))],
        help="Of payments whose method is not mapped to a journal.",
    )
    team_id = fields.Many2one("crm.team", string="Sales Team", check_company=True)
    user_id = fields.Many2one(
        "res.users",
        string="Salesperson",
        domain="[('share', '=', False), ('company_ids', 'in', company_id)]",
    )
    warehouse_id = fields.Many2one("stock.warehouse", check_company=True)
    payment_term_id = fields.Many2one(
        "account.payment.term", string="Payment Terms", check_company=True
    )
    tag_ids = fields.Many2many("crm.tag", "integration_shopify_rule_tag_rel", string="Add Tags")
    hold = fields.Selection(
        [("hold", "Hold"), ("no", "Do not hold")],
        string="Delivery",
        help="Whether the delivery waits until somebody releases it.",
    )

    if_text = fields.Char(string="If", compute="_compute_texts", compute_sudo=True)
    then_text = fields.Char(string="Then", compute="_compute_texts", compute_sudo=True)

    # === COMPUTE METHODS === #

    @api.depends(
        "milestone",
        "gateway",
        "channel",
        "country_ids",
        "risk",
        "buyer",
        "tag",
        "confirm",
        "invoice",
        "post_invoice",
        "register_payment",
        "journal_id",
        "hold",
        "team_id",
        "user_id",
        "warehouse_id",
        "payment_term_id",
        "tag_ids",
    )
    def _compute_texts(self):
        for rule in self:
            rule.if_text = ", ".join(rule._conditions()) or self.env._("Every order")
            rule.then_text = "; ".join(rule._outcome_texts()) or self.env._("nothing yet")

    def _outcome_texts(self):
        """Return what the rule decides, each as a short text."""
        self.ensure_one()
        found = [self._label("confirm")] if self.confirm else []
        for name in ("invoice", "post_invoice", "register_payment", "hold"):
            if self[name]:
                found.append(f"{self._title(name)}: {self._label(name).lower()}")
        for name in ("journal_id", *RECORDS):
            if self[name]:
                found.append(f"{self._title(name)}: {self[name].display_name}")
        if self.tag_ids:
            found.append(self.env._("Tags: %s", ", ".join(self.tag_ids.mapped("name"))))
        return found

    @api.depends(
        "milestone", "gateway", "channel", "country_ids", "risk", "buyer", "tag", "sequence"
    )
    def _compute_display_name(self):
        for rule in self:
            rule.display_name = ", ".join(rule._conditions()) or self.env._("Every order")

    def _conditions(self):
        """Return what the rule asks for, each as a short text."""
        self.ensure_one()
        found = [self._label(name) for name in ("milestone", "risk", "buyer") if self[name]]
        if self.risk:
            found[found.index(self._label("risk"))] = self.env._(
                "risk: %s", self._label("risk").lower()
            )
        found += filter(None, (self.gateway, self.channel))
        if self.country_ids:
            found.append(self.env._("to %s", ", ".join(self.country_ids.mapped("code"))))
        if self.tag:
            found.append(self.env._("tag %s", self.tag))
        return found

    def _title(self, name):
        """Return the title of a field for the user."""
        return self._fields[name]._description_string(self.env)

    def _label(self, name):
        """Return the text of a selection of this rule."""
        return dict(self._fields[name]._description_selection(self.env)).get(self[name], "")

    # === BUSINESS METHODS === #

    @api.model
    def _decide(self, backend, items):
        """Set ``item.values["decision"]`` (:class:`~..lib.decision.Decision`) of each item.

        :param list[Item] items: with ``data`` and ``values["amounts"]``; one query for all.
        """
        rules = self.search([("backend_id", "=", backend.id)]) if items else self
        for item in items:
            item.values["decision"] = rules._decision(item.data, item.values["amounts"].paid_at)

    def _decision(self, order, paid_at):
        """Return what these rules decide about an order.

        Decided step by step through the history of its money, and added up so that nothing is
        undone: whoever sees only the last step decides the same.

        * confirmed as soon as one step says so, or goods were shipped; what it is confirmed with
          (warehouse, team, terms, salesperson) is what that step, else the last one before, says;
        * invoiced by the earliest moment any step promised;
        * payments from the moment one step registers them, in the first journal named;
        * held by what the order is now.

        :param order: ``contract.Order``.
        :param paid_at: when the order was first fully paid (naive UTC); None: never.
        :returns: :class:`~..lib.decision.Decision`.
        """
        facts = automation.facts_of(order)
        steps = automation.steps_of(order, paid_at)
        outcomes = [self._outcomes(facts, step) for step in steps]
        decision = Decision()
        settled = self._decide_state(decision, order, outcomes)
        self._decide_books(decision, outcomes)
        for name, attribute in RECORDS.items():
            # what a step before said holds where the later ones say nothing
            found = next((row for row in outcomes[settled::-1] if name in row), None)
            if found:
                record, rule, why = found[name]
                decision.choose(
                    attribute,
                    record,
                    f"{self._title(name)}: {record.display_name}",
                    why,
                    rule.id,
                )
        self._decide_tags(decision, facts, steps)
        if "hold" in outcomes[-1]:
            value, rule, why = outcomes[-1]["hold"]
            if value == "hold":
                decision.hold = why
                decision.hold_key = f"rule:{rule.id}:{facts.risk}"
                decision.hold_rule_id = rule.id
        return decision

    def _outcomes(self, facts, step):
        """Return ``{field: (value, rule, why)}`` of what the rules say at one step."""
        found = {}
        names = (
            "confirm",
            "invoice",
            "post_invoice",
            "register_payment",
            "journal_id",
            *RECORDS,
            "hold",
        )
        for rule in self:
            if not rule._fits(facts, step):
                continue
            why = None
            for name in names:
                if name not in found and rule[name]:
                    why = why or rule._why(facts, step)
                    found[name] = (rule[name], rule, why)
        return found

    def _fits(self, facts, step):
        """Whether all conditions of the rule hold."""
        self.ensure_one()
        if self.milestone and self.milestone != step.milestone:
            return False
        if self.gateway and not automation.names(self.gateway) & facts.gateways:
            return False
        if self.channel and not automation.names(self.channel) & facts.channels:
            return False
        if self.country_ids and facts.country not in self.country_ids.mapped("code"):
            return False
        risks = ("investigate", "cancel") if self.risk == "risky" else (self.risk,)
        if self.risk and facts.risk not in risks:
            return False
        if self.buyer and (self.buyer == "company") != facts.is_company:
            return False
        return not self.tag or bool(automation.names(self.tag) & facts.tags)

    def _why(self, facts, step):
        """Return the rule and the facts that made it fit, for people."""
        self.ensure_one()
        matched = []
        if self.milestone:
            label = self._label("milestone").lower()
            matched.append(
                self.env._(
                    "%(state)s since %(date)s",
                    state=label,
                    date=format_datetime(self.env, step.at, tz="UTC", dt_format="short") + " UTC",
                )
                if step.at
                else label
            )
        if self.gateway:
            matched += sorted(automation.names(self.gateway) & facts.gateways)
        if self.channel:
            matched += sorted(automation.names(self.channel) & facts.channels)
        if self.country_ids:
            matched.append(self.env._("delivery to %s", facts.country))
        if self.risk:
            matched.append(self.env._("Shopify's risk recommendation: %s", facts.risk))
        if self.buyer:
            matched.append(
                self.env._("ordered by a company")
                if facts.is_company
                else self.env._("ordered by a person")
            )
        if self.tag:
            matched.append(
                self.env._("tag %s", ", ".join(sorted(automation.names(self.tag) & facts.tags)))
            )
        return ", ".join(matched) or self.env._("holds for every order")

    @api.model
    def _decide_state(self, decision, order, outcomes):
        """Decide whether the order is confirmed; returns the step that decides on its values."""
        confirmed = self.env._("Confirmed")
        for number, found in enumerate(outcomes):
            if "confirm" not in found:
                why = self.env._("no rule says that it should wait")
                decision.choose("confirm", True, confirmed, why)
                return number
            value, rule, why = found["confirm"]
            if value == "confirm":
                decision.choose("confirm", True, confirmed, why, rule.id)
                return number
        if order.fulfillments:
            decision.choose("confirm", True, confirmed, self.env._("goods were shipped"))
        else:
            decision.choose("confirm", False, self.env._("Stays a quotation"), why, rule.id)
        return len(outcomes) - 1

    @api.model
    def _decide_books(self, decision, outcomes):
        """Decide on documents and payments."""
        strongest = None
        for found in outcomes:
            if "invoice" in found and (
                strongest is None
                or automation.INVOICE_RULES.index(found["invoice"][0])
                > automation.INVOICE_RULES.index(strongest["invoice"][0])
            ):
                strongest = found
        if strongest:
            decision.invoice, rule, why = strongest["invoice"]
            decision.note(self.env._("Invoice: %s", rule._label("invoice").lower()), why, rule.id)
        booked = next(
            (row for row in outcomes if row.get("invoice", ("no",))[0] != "no"), outcomes[-1]
        )
        if "post_invoice" in booked:
            value, rule, why = booked["post_invoice"]
            decision.post_invoice = value == "post"
            if decision.invoice != "no":
                decision.note(
                    self.env._("Documents: %s", rule._label("post_invoice").lower()), why, rule.id
                )
        for found in outcomes:
            if found.get("register_payment", ("no",))[0] == "register":
                _value, rule, why = found["register_payment"]
                decision.register_payment = True
                decision.note(self.env._("Payments are registered"), why, rule.id)
                break
        for found in outcomes:
            if "journal_id" in found:
                decision.journal, rule, why = found["journal_id"]
                if decision.register_payment:
                    decision.note(
                        self.env._("Journal: %s", decision.journal.display_name), why, rule.id
                    )
                break

    def _decide_tags(self, decision, facts, steps):
        for step in steps:
            for rule in self.filtered("tag_ids"):
                new = rule.tag_ids - (decision.tags or rule.tag_ids.browse())
                if new and rule._fits(facts, step):
                    decision.tags = (decision.tags or new.browse()) | new
                    decision.note(
                        self.env._("Tags: %s", ", ".join(new.mapped("name"))),
                        rule._why(facts, step),
                        rule.id,
                    )

    # === PROPOSALS === #

    @api.model
    def _usual(self):
        """Return the values of the rules most shops begin with, in their order."""
        return [
            {"risk": "risky", "hold": "hold"},
            {"milestone": "pending", "confirm": "quotation"},
            {"milestone": "partly_paid", "confirm": "quotation"},
            {"milestone": "authorized", "confirm": "confirm"},
            {"milestone": "paid", "confirm": "confirm"},
            {"invoice": "paid", "post_invoice": "post", "register_payment": "register"},
        ]
