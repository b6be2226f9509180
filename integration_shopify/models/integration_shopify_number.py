from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from odoo.addons.integration_base.lib.records import Change

from ..lib.numbers import gaps, series_of

#: Numbers that are looked at, counted back from the highest one imported.
WINDOW = 2000
#: Numbers Shopify is asked for by one call.
NUMBERS_PER_CALL = 50
#: Shopify's search finds a new order late: so long a number is asked for again.
SEARCH_LAG = timedelta(days=2)
#: Names of this many orders tell how the shop names them.
SAMPLE = 200


class IntegrationShopifyNumber(models.Model):
    """An order number that was missing in Odoo, and what Shopify said when it was asked.

    Shopify counts its orders on by one. A number between those imported that Odoo has never heard
    of is an order whose notification was lost and that no reading has found either.
    """

    _name = "integration.shopify.number"
    _description = "Missing Shopify Order Number"
    _order = "number desc"

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    name = fields.Char(string="Order", required=True, readonly=True)
    number = fields.Integer(required=True, readonly=True, aggregator=None)
    state = fields.Selection(
        [
            ("found", "Found and Imported"),
            ("known", "Known to Odoo"),
            ("absent", "Not in Shopify"),
        ],
        string="Result",
        required=True,
        readonly=True,
        help="Known to Odoo: it waits, has failed or was skipped; the sync log says why. Not in "
        "Shopify: deleted there, or older than what Shopify shows this app.",
    )
    external_id = fields.Char(string="External ID", readonly=True)
    first_at = fields.Datetime(
        string="Missed Since", required=True, readonly=True, default=fields.Datetime.now
    )
    checked_at = fields.Datetime(
        string="Last Asked", required=True, readonly=True, default=fields.Datetime.now
    )

    _number_unique = models.Constraint(
        "UNIQUE(backend_id, name)", "This order number is known to be missing already."
    )

    @api.depends("name")
    def _compute_display_name(self):
        for row in self:
            row.display_name = row.name

    # === BUSINESS METHODS === #

    @api.model
    def _check(self, backend):
        """Ask Shopify for the order numbers that are missing, and import what it has.

        :returns: the rows of the numbers asked for.
        :raises IntegrationError: when Shopify does not answer as it should.
        """
        # sudo: what Shopify says is written by nobody but this check
        self = self.sudo()
        flow = backend._shopify_order_flow().filtered("enabled")
        # sudo: as above, also on the backend
        backend = backend.sudo()
        backend.shopify_numbers_checked_at = fields.Datetime.now()
        if not flow:
            return self.browse()
        missing = self._missing(backend)
        found = {}
        names = list(missing)
        for start in range(0, len(names), NUMBERS_PER_CALL):
            found |= self._ask(backend, names[start : start + NUMBERS_PER_CALL])
        gids = list(found.values())
        known = self._in_log(backend, gids) | self._linked(backend, "external_id", gids)
        new = {name: gid for name, gid in found.items() if gid not in known}
        self.env["integration.sync.log"]._append(
            flow, [Change(gid, label=name) for name, gid in new.items()], "schedule"
        )
        flow._wake_after_commit()
        if new:
            backend.message_post(
                body=self.env._(
                    "Shopify has %(count)s orders that Odoo had never heard of. They are imported "
                    "now: %(names)s",
                    count=len(new),
                    names=", ".join(sorted(new)),
                )
            )
        return self._remember(backend, missing, found, new)

    def _missing(self, backend):
        """Return ``{name: number}`` of what is missing and not explained yet."""
        names = self._names(backend)
        series = series_of(names[:SAMPLE])
        if not series:
            return {}
        present = {series.number(name) for name in names} - {None}
        missing = {series.name(number): number for number in gaps(present, WINDOW)}
        for name in self._heard_of(backend, list(missing)):
            del missing[name]
        return missing

    def _names(self, backend):
        """Return the names of the orders imported last, newest first."""
        rows = self.env["integration.binding"].search_fetch(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", "order"),
                ("external_label", "!=", False),
            ],
            ["external_label"],
            order="id desc",
            limit=WINDOW,
        )
        return rows.mapped("external_label")

    def _heard_of(self, backend, names):
        """Return those of ``names`` of which it is known what became of them.

        They are linked to orders older than the sample, wait, have failed or were skipped for a
        reason (the sync log says so), or Shopify was asked for them.
        """
        self.env.cr.execute(
            SQL(
                "SELECT DISTINCT label FROM integration_sync_log WHERE backend_id = %s"
                " AND resource = 'order' AND kind = 'record' AND label = ANY(%s)",
                backend.id,
                names,
            )
        )
        logged = {row[0] for row in self.env.cr.fetchall()}
        explained = self.search(
            [
                ("backend_id", "=", backend.id),
                ("name", "in", names),
                "|",
                ("state", "!=", "absent"),
                ("first_at", "<", fields.Datetime.now() - SEARCH_LAG),
            ]
        )
        return (
            logged | set(explained.mapped("name")) | self._linked(backend, "external_label", names)
        )

    def _linked(self, backend, name, values):
        """Return those of ``values`` that links of orders have in the field ``name``."""
        links = self.env["integration.binding"].search_fetch(
            [("backend_id", "=", backend.id), ("resource", "=", "order"), (name, "in", values)],
            [name],
        )
        return set(links.mapped(name))

    def _in_log(self, backend, gids):
        """Return those of ``gids`` that have operations; they need not carry a name yet."""
        self.env.cr.execute(
            SQL(
                "SELECT DISTINCT external_id FROM integration_sync_log WHERE backend_id = %s"
                " AND resource = 'order' AND external_id = ANY(%s)",
                backend.id,
                gids,
            )
        )
        return {row[0] for row in self.env.cr.fetchall()}

    def _ask(self, backend, names):
        """Return ``{name: id}`` of the orders Shopify has under these names."""
        client, found, after = backend._shopify_client(), {}, None
        query = " OR ".join(f'name:"{self._quotable(name)}"' for name in names)
        while True:
            orders = client.execute(
                "order_changes", {"first": 250, "after": after, "query": query}
            ).data["orders"]
            # words are searched by their beginnings
            found |= {row["name"]: row["id"] for row in orders["nodes"] if row["name"] in names}
            if not orders["pageInfo"]["hasNextPage"]:
                return found
            after = orders["pageInfo"]["endCursor"]

    @api.model
    def _quotable(self, name):
        return name.replace("\\", "").replace('"', "")

    def _remember(self, backend, missing, found, new):
        """Write down what became of the numbers asked for; returns the rows."""
        now = fields.Datetime.now()
        known = {
            row.name: row
            for row in self.search([("backend_id", "=", backend.id), ("name", "in", list(missing))])
        }
        rows = self.browse()
        for name, number in missing.items():
            values = {
                "state": "found" if name in new else "known" if name in found else "absent",
                "external_id": found.get(name),
                "checked_at": now,
            }
            row = known.get(name)
            if row:
                row.write(values)
            else:
                values |= {"backend_id": backend.id, "name": name, "number": number}
                row = self.create({**values, "first_at": now})
            rows |= row
        return rows

    def action_open_operations(self):
        """Open the operations of the order."""
        self.ensure_one()
        return self.env["integration.sync.log"]._action_show(
            [("backend_id", "=", self.backend_id.id), ("external_id", "=", self.external_id)]
        )
