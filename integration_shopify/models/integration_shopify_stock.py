from collections import defaultdict
from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from odoo.addons.integration_base.lib.digest import digest
from odoo.addons.integration_base.lib.errors import (
    ConflictError,
    RequestRefused,
    RetryableError,
)
from odoo.addons.integration_base.lib.records import Difference, ListPage, Snapshot, Watch

from ..lib import shipping, stock
from ..lib.client import QueryTooExpensive, UserErrors

#: Odoo's quantity by the setting of the backend.
SOURCES = {"free": "free_qty", "forecast": "virtual_available", "on_hand": "qty_available"}
#: How often rows are sent again with a number that was just read.
ROUNDS = 3
#: How long units that vanished in Shopify are held back, unless they are an order before.
LOOK_AGAIN = timedelta(minutes=10)
#: Deliveries done longer ago are known to Shopify, or a person works on them.
RECENT_DAYS = 7
#: Of more products than this no single document is the cause.
CAUSED_PRODUCTS = 20


class IntegrationShopifyStock(models.AbstractModel):
    """Odoo's stock becomes what Shopify may sell, location by location.

    Sent is ``available``, and only the levels that are not confirmed to be right. Each row names
    the quantity it replaces. Where Shopify has another one, it is read again, together with the
    units that open orders have taken, and the policy of the backend decides (:mod:`..lib.stock`).
    One bad row makes Shopify refuse all 250 of a call: it is taken out, and the rest sent again.

    A call whose answer was lost does no harm: the same contents have the same key, which Shopify
    carries out once, and other contents no longer find the quantity they mean to replace.
    """

    _name = "integration.shopify.stock"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Stock"

    _resource_name = "Stock"
    _resource_model = "product.product"
    _resource_direction = "out"
    _resource_starts_off = frozenset({"out"})
    # setting a quantity makes nothing
    _resource_unrepeatable = False
    _resource_batch_size = stock.MAX_ROWS
    _resource_groups = (
        "integration_shopify.group_shopify_work",
        "sales_team.group_sale_salesman_all_leads",
        "stock.group_stock_user",
    )

    _shopify_documents = (
        "inventory_activate",
        "inventory_item_levels",
        "inventory_levels",
        "inventory_set",
    )

    @property
    def _resource_watches(self):
        """What changes the quantities of a product, and of the kits it is a part of."""
        changes = (
            ("stock.quant", ("quantity", "reserved_quantity", "location_id")),
            (
                "stock.move",
                ("state", "product_uom_qty", "location_id", "location_dest_id"),
            ),
        )
        paths = ["product_id"]
        if "mrp.bom.line" in self.env:
            kit = "bom_line_ids.bom_id.product_tmpl_id.product_variant_ids"
            # kits of kits; what is nested deeper the comparison finds
            paths += [f"product_id.{kit}", f"product_id.{kit}.{kit}"]
        return (
            *(Watch(model, names, path) for model, names in changes for path in paths),
            Watch("product.product", ("shopify_stock_buffer", "is_storable")),
        )

    # === HOOKS - ACCESS === #

    def _shopify_scope_reasons(self, backend):
        return {
            "write_inventory": self.env._("tell the shop what is in stock"),
            "read_inventory": self.env._("see what the shop has in stock"),
            "read_locations": self.env._("know where the shop keeps stock"),
        }

    # === HOOKS - EXPORTING === #

    def _export_domain(self, backend):
        if "is_kits" in self.env["product.product"]._fields:
            return ["|", ("is_storable", "=", True), ("is_kits", "=", True)]
        return [("is_storable", "=", True)]

    def _export(self, backend, items):
        products = self.env["product.product"].union(*(item.record for item in items))
        figures = self._figures(backend, products)
        for item in items:
            if not figures:
                item.skip(
                    self.env._(
                        "No location of %s gets its stock from Odoo. Choose them on the page "
                        "Stock of the backend; the stock is then sent by itself.",
                        backend.display_name,
                    )
                )
                continue
            item.values = {
                "levels": {
                    location: rows[item.record.id]["quantity"] for location, rows in figures.items()
                }
            }

    @api.model
    def _figures(self, backend, products):
        """Return ``{location of Shopify: {product id: figures}}`` of what shall be sold there.

        The same few queries for one product and for many. Figures are ``quantity`` (to be sent),
        what it is made of (``on_hand``, ``free``, ``forecast``) and the ``buffer``.
        """
        places = self._places(backend)
        source = SOURCES[backend.shopify_stock_source]
        buffers = products._shopify_stock_buffers(backend) if places else {}
        found = {}
        for location, place in places.items():
            found[location] = {
                product.id: {
                    "quantity": stock.sellable(product[source], buffers[product.id]),
                    "on_hand": product.qty_available,
                    "free": product.free_qty,
                    "forecast": product.virtual_available,
                    "buffer": buffers[product.id],
                }
                for product in products.with_context(location=place.id)
            }
        return found

    @api.model
    def _places(self, backend, owner="odoo"):
        """Return ``{location of Shopify: stock.location}`` of those that ``owner`` decides on.

        Shopify takes and tells no stock of locations that are closed there, or deleted.
        """
        rows = self.env["integration.mapping"].search(
            [
                ("backend_id", "=", backend.id),
                ("kind", "=", "location"),
                ("resource_ref", "!=", False),
            ],
            order="external_value",
        )
        return {
            row.external_value: row.resource_ref
            for row in rows
            # rows that were collected from orders say nothing
            if (row.shopify_stock_owner or "odoo") == owner
            and row._shopify_is_open()
            and row.resource_ref.exists()
        }

    def _push(self, backend, items):
        for item in items:
            if not item.external_id:
                item.skip(
                    self.env._(
                        "%(product)s is not linked to an inventory item of %(backend)s.",
                        product=item.label,
                        backend=backend.display_name,
                    )
                )
        items = [item for item in items if item.alive]
        if items:
            Sending(self, backend, items).run()

    def _note_sent(self, backend, items):
        answers = {
            (item.record.id, location): {**answer, "item": item.external_id}
            for item in items
            for location, answer in (item.payload or {}).items()
        }
        self.env["integration.shopify.level"]._note(backend, answers)
        again = {product for (product, _location), row in answers.items() if row["gone"]}
        if again:
            self._look_again(backend, self.env["product.product"].browse(sorted(again)))

    @api.model
    def _look_again(self, backend, products):
        """Send the stock of products once more when their vanished units are held back no longer.

        Not by force: whatever else changes before takes this operation along.
        """
        flow = backend._shopify_stock_flow()
        # the number is compared with Shopify's though Odoo's stays the same
        bindings = self.env["integration.binding"]._search_records(backend, stock.STOCK, products)
        bindings.export_digest = False
        # sudo: the log is the engine's
        operations = (
            self.env["integration.sync.log"].sudo()._append_records(flow, products, "change")
        )
        self.env["integration.shopify.level"].flush_model()
        self.env.cr.execute(
            SQL(
                "UPDATE integration_sync_log o SET next_attempt_at = held.until"
                "  FROM (SELECT product_id, max(gone_until) AS until"
                "          FROM integration_shopify_level"
                "         WHERE backend_id = %s AND gone_quantity > 0 GROUP BY product_id) held"
                " WHERE o.id = ANY(%s) AND o.res_id = held.product_id",
                backend.id,
                operations.ids,
            )
        )

    # === WHAT ODOO HAS COUNTED === #

    @api.model
    def _counted(self, backend, products):
        """Return ``{product id: units}`` of open orders of the shop that are off Odoo's quantity.

        What Shopify has committed beyond these, Odoo still offers: an order that is not here yet,
        a quotation, units that nobody has reserved.
        """
        counted = dict.fromkeys(products.ids, 0.0)
        lines = self._open_lines(backend, products)
        shipped = self._shipped_units(backend, lines)
        for line, units in self._off(backend, lines).items():
            counted[line.product_id.id] += units - shipped.get(line.shopify_line_id, 0)
        return counted

    @api.model
    def _arrived(self, backend, since):
        """Return ``{(product id, location): units}`` that vanished and are an order in Odoo now.

        These are the units Shopify has shipped there of orders that came since, as far as they are
        off Odoo's quantity.

        :param dict since: ``{(product id, location): when what Shopify has was noted}``.
        """
        arrived = defaultdict(int)
        if not since:
            return arrived
        products = self.env["product.product"].browse({product for product, _place in since})
        # the times of a level are whole seconds
        since = {key: noted_at + timedelta(seconds=1) for key, noted_at in since.items()}
        fresh = self._open_lines(backend, products).filtered(
            lambda line: line.order_id.create_date > min(since.values())
        )
        left = self._off(backend, fresh)
        places = defaultdict(list)
        for place, name in self.env["integration.shopify.level"]._location_names(backend).items():
            places[name].append(place)
        by_id = {line.shopify_line_id: line for line in fresh}
        for row in self._shipments(backend, fresh):
            for line_id, count in (row.units or {}).items():
                line = by_id.get(line_id)
                for place in places[row.location] if line else ():
                    key = line.product_id.id, place
                    if key in since and line.order_id.create_date > since[key]:
                        units = min(count, int(left[line]))
                        left[line] -= units
                        arrived[key] += units
        return arrived

    @api.model
    def _off(self, backend, lines):
        """Return ``{line: units}`` of lines that Odoo's quantity leaves out, delivered or not."""
        shelves = tuple(place.parent_path for place in self._places(backend).values())
        return {
            line: self._taken(backend, line, shelves)
            + line.product_uom_id._compute_quantity(
                line.qty_delivered, line.product_id.uom_id, rounding_method="HALF-UP"
            )
            for line in lines
        }

    @api.model
    def _taken(self, backend, line, shelves):
        """Return the units of a line, not delivered yet, that Odoo's quantity leaves out.

        :param shelves: tuple of the ``parent_path`` of the locations whose stock is sent.
        """
        product, source = line.product_id, backend.shopify_stock_source
        moves = line.move_ids.filtered(
            lambda move: move.state not in ("done", "cancel", "draft")
        )._shopify_to_buyer()
        left = moves.filtered(lambda move: move._shopify_has_left(shelves))
        own = moves.filtered(lambda move: move.product_id == product)
        if moves and not own:
            return self._taken_kits(line, moves, left, source)
        if source == "forecast":
            left = own
        reserved = own - left if source == "free" else own.browse()
        return sum((own & left).mapped("product_qty")) + sum(
            move.product_uom._compute_quantity(
                move.quantity, product.uom_id, rounding_method="HALF-UP"
            )
            for move in reserved
        )

    @api.model
    def _taken_kits(self, line, moves, left, source):
        """Return the kits of a line, not delivered yet, that Odoo's quantity leaves out.

        A kit is only taken when all its parts are.

        :param moves: open moves of the parts to the buyer.
        :param left: those of them whose goods are off the shelf.
        :param source: what the quantity is made of, a key of :data:`SOURCES`.
        """
        units = line.product_uom_id._compute_quantity(
            max(0.0, line.product_uom_qty - line.qty_delivered),
            line.product_id.uom_id,
            rounding_method="HALF-UP",
        )
        if source == "forecast":
            return units
        shares = [
            min(1.0, move.quantity / move.product_uom_qty) if source == "free" else 0.0
            for move in moves - left
            if move.product_uom_qty
        ]
        return units * min(shares, default=1.0)

    @api.model
    def _open_lines(self, backend, products):
        """Return the lines of confirmed orders of the shop that may have units to be shipped."""
        self.env["sale.order"].flush_model()
        self.env["sale.order.line"].flush_model()
        rows = self.env.execute_query(
            SQL(
                "SELECT l.id FROM sale_order_line l"
                "  JOIN sale_order o ON o.id = l.order_id AND o.state = 'sale'"
                "  JOIN integration_binding b ON b.res_id = o.id AND b.res_model = 'sale.order'"
                "   AND b.resource = 'order' AND b.backend_id = %s"
                " WHERE l.product_id = ANY(%s)"
                "   AND (o.delivery_status IS DISTINCT FROM 'full' OR o.write_date >= %s)",
                backend.id,
                products.ids,
                fields.Datetime.now() - timedelta(days=RECENT_DAYS),
            )
        )
        return self.env["sale.order.line"].browse(row[0] for row in rows)

    @api.model
    def _shipped_units(self, backend, lines):
        """Return ``{id of a line item: units that Shopify has shipped}``, as far as Odoo knows."""
        units = defaultdict(int)
        for row in self._shipments(backend, lines):
            for line_id, count in (row.units or {}).items():
                units[line_id] += count
        return units

    @api.model
    def _shipments(self, backend, lines):
        """Return what Shopify has shipped of the orders of lines."""
        return self.env["integration.shopify.fulfillment"].search(
            [
                ("backend_id", "=", backend.id),
                ("order_id", "in", lines.order_id.ids),
                ("status", "not in", shipping.UNSHIPPED),
            ]
        )

    # === READING SHOPIFY === #

    @api.model
    def _read(self, client, ids):
        """Return ``{item: Stock}`` of inventory items, without those that are gone."""
        found, first = {}, stock.FIRST_LEVELS
        waiting = list(stock.read_chunks(ids, first))
        while waiting:
            chunk = waiting.pop(0)
            try:
                answer = client.execute("inventory_levels", {"ids": chunk, "first": first})
            except QueryTooExpensive:
                if len(chunk) == 1:
                    raise
                middle = len(chunk) // 2
                waiting[:0] = [chunk[:middle], chunk[middle:]]
                continue
            for node in answer.data["nodes"]:
                if node and "inventoryLevels" in node:
                    self._read_on(client, node)
                    found[node["id"]] = stock.read_stock(node)
        return found

    @api.model
    def _read_on(self, client, node):
        """Complete the levels of an item that is stocked at many locations."""
        levels = node["inventoryLevels"]
        while levels["pageInfo"]["hasNextPage"]:
            after = levels["pageInfo"]["endCursor"]
            page = client.execute(
                "inventory_item_levels", {"id": node["id"], "first": 100, "after": after}
            ).data["inventoryItem"]
            if not page:
                return
            page = page["inventoryLevels"]
            levels["nodes"] += page["nodes"]
            levels["pageInfo"] = page["pageInfo"]

    # === HOOKS - COMPARING === #

    def _fetch(self, backend, external_ids):
        found = self._read(backend._shopify_client(), external_ids)
        return {
            gid: {
                "tracked": one.tracked,
                "committed": one.committed,
                "levels": {
                    level.location: [level.available, level.committed, level.active]
                    for level in one.levels.values()
                },
            }
            for gid, one in found.items()
        }

    def _list(self, backend, page):
        """List the linked items, as many as fit into two queries; what is unlinked is not ours."""
        size = 2 * (len(next(stock.read_chunks(range(stock.MAX_ROWS), stock.FIRST_LEVELS))))
        links = self.env["integration.binding"].search(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", stock.STOCK),
                ("deleted_at", "=", False),
                ("id", ">", page or 0),
            ],
            order="id",
            limit=size,
        )
        payloads = self._fetch(backend, links.mapped("external_id")) if links else {}
        snapshots = [
            Snapshot(link.external_id, digest=digest(payloads[link.external_id]))
            for link in links
            if link.external_id in payloads
        ]
        return ListPage(snapshots, links[-1].id if len(links) == size else None)

    def _count(self, backend):
        """Only what is linked is compared, so that is how many there have to be."""
        return self.env["integration.binding"].search_count(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", stock.STOCK),
                ("deleted_at", "=", False),
            ]
        )

    def _compare(self, backend, items):
        """Compare what can be sold, less what Shopify sold and Odoo does not know yet."""
        products = self.env["product.product"].union(*(item.record for item in items))
        counted = self._counted(backend, products)
        known = self.env["integration.shopify.level"]._known(backend, products)
        names = self.env["integration.shopify.level"]._location_names(backend)
        for item in items:
            if not isinstance(item.payload, dict) or "levels" not in item.values:
                continue
            item.differences = []
            if not item.payload["tracked"]:
                continue
            missing = stock.pending(item.payload["committed"], counted[item.record.id])
            for location, wanted in item.values["levels"].items():
                row = item.payload["levels"].get(location)
                level = row and stock.Level("", location, row[0], row[1], row[2])
                present = level.available if level and level.active else 0
                noted = known.get((item.record.id, location))
                if noted and noted._is_left(wanted):
                    continue
                gone = noted._still_gone() if noted else 0
                goal = stock.target(backend.shopify_stock_policy, wanted, level, missing, gone)
                if goal != present:
                    name = names.get(location, location)
                    item.differences.append(Difference(name, str(goal), str(present)))

    # === WHY === #

    @api.model
    def _reference(self, backend, products):
        """Return the address of the document that changed the stock, else of the product.

        Of many products, or several documents, it is the backend: Shopify takes one per call.
        """
        base = backend.get_base_url()
        record = backend
        if len(products) <= CAUSED_PRODUCTS:
            moves = self.env["stock.move"].search(
                [
                    ("product_id", "in", products.ids),
                    ("company_id", "=", backend.company_id.id),
                    ("state", "in", ("done", "assigned", "partially_available")),
                    ("write_date", ">=", fields.Datetime.now() - timedelta(minutes=5)),
                ],
                order="write_date desc, id desc",
                limit=CAUSED_PRODUCTS,
            )
            documents = {move.picking_id or move for move in moves}
            if len(documents) == 1:
                record = documents.pop()
            elif len(products) == 1:
                record = products
        return f"{base}/odoo/{record._name}/{record.id}"


class Sending:
    """One call of ``_push``: rows on their way, and what became of them.

    :param resource: ``integration.shopify.stock``.
    """

    def __init__(self, resource, backend, items):
        self.resource, self.backend, self.items = resource, backend, items
        self.env = resource.env
        self.client = backend._shopify_client()
        self.products = self.env["product.product"].union(*(item.record for item in items))
        #: rows of what was confirmed, by product id and location
        self.known = self.env["integration.shopify.level"]._known(backend, self.products)
        #: what is still to be sent of each item
        self.open = {}

    def run(self):
        unsure = [item for item in self.items if self._is_unsure(item)]
        rows = self._decide(unsure)
        for item in self.items:
            if item not in unsure:
                item.payload = {}
                rows += self._open(item, self._rows_of_known(item))
        for _round in range(ROUNDS):
            rows = self._send_all(rows)
            if not rows:
                return
            rows = self._again(rows)
        for row in rows:
            if row.owner.alive:
                row.owner.fail(
                    RetryableError(
                        self.env._(
                            "The stock of %s changes in Shopify faster than it can be set. It is "
                            "tried again in a moment.",
                            row.owner.label,
                        ),
                        outcome="refused",
                    )
                )

    # === WHAT TO SEND === #

    def _is_unsure(self, item):
        """Whether what Shopify has is not known well enough to replace it."""
        if item.forced:
            return True
        rows = [self.known.get((item.record.id, place)) for place in item.values["levels"]]
        return any(
            not row
            or not row.confirmed_at
            or row.pending_quantity
            or row.gone_quantity
            or row.decision
            for row in rows
        )

    def _rows_of_known(self, item):
        rows = []
        for location, wanted in item.values["levels"].items():
            known = self.known[item.record.id, location]
            if known._is_left(wanted):
                continue
            if known.confirmed_quantity == wanted:
                if known.wanted_quantity != wanted:
                    # Odoo's number has changed, which ends that another one is left to Shopify
                    level = stock.Level("", location, wanted, known.committed_quantity)
                    self._note(item, location, level, wanted, wanted)
                continue
            former, stamp = known.confirmed_quantity, f"r{known.revision}"
            rows.append(stock.Row(item, item.external_id, location, wanted, former, stamp))
        return rows

    def _open(self, item, rows):
        """Return the rows, noted as what is still to be sent of an item."""
        self.open[id(item)] = len(rows)
        if not rows and item.alive:
            item.mark_sent()
        return rows

    def _decide(self, items):
        """Read what Shopify has of items; returns the rows to send."""
        if not items:
            return []
        found = self.resource._read(self.client, [item.external_id for item in items])
        busy = self.products.browse(
            item.record.id
            for item in items
            if item.external_id in found and found[item.external_id].committed
        )
        counted = self.resource._counted(self.backend, busy) if busy else {}
        gone = self._gone(items, found)
        rows = []
        for item in items:
            item.payload = item.payload or {}
            shop = found.get(item.external_id)
            if not shop:
                item.fail(
                    ConflictError(
                        self.env._(
                            "%(product)s no longer exists in %(backend)s, so its stock cannot be "
                            "sent. Link it to a product of the shop, or archive it.",
                            product=item.label,
                            backend=self.backend.display_name,
                        )
                    )
                )
            elif not shop.tracked:
                item.skip(
                    self.env._(
                        "%(backend)s does not track the stock of %(product)s. Switch tracking on "
                        "there to have it sent.",
                        product=item.label,
                        backend=self.backend.display_name,
                    )
                )
            else:
                missing = stock.pending(shop.committed, counted.get(item.record.id, 0))
                rows += self._open(item, self._rows_of_read(item, shop, missing, gone))
        return rows

    def _gone(self, items, found):
        """Return ``{(product id, location): (units, until when)}`` to be held back.

        These are units that no order has that came since what Shopify has was noted, neither an
        open one there nor one that is in Odoo: they were sold and handed over at a till, say, and
        Odoo has yet to hear of it.
        """
        now, gone, since = fields.Datetime.now(), {}, {}
        for item in items:
            shop = found.get(item.external_id)
            for location, wanted in item.values["levels"].items() if shop else ():
                level, noted = shop.levels.get(location), self._noted(item, location)
                if not noted or not level:
                    continue
                fresh = stock.vanished(wanted, noted["quantity"], level, noted["committed"])
                if units := fresh + noted["gone"]:
                    until = now + LOOK_AGAIN if fresh else noted["gone_until"]
                    gone[item.record.id, location] = units, until
                    if noted["at"]:
                        since[item.record.id, location] = noted["at"]
        arrived = self.resource._arrived(self.backend, since)
        return {
            key: (units - arrived[key], until)
            for key, (units, until) in gone.items()
            if units > arrived[key]
        }

    def _noted(self, item, location):
        """Return what Shopify was last known to have at a location, None where it never was."""
        sent = (item.payload or {}).get(location)
        if sent:
            # in this very call: what came since would have changed Odoo's number
            return {**sent, "at": None}
        known = self.known.get((item.record.id, location))
        if not known or not known.confirmed_at:
            return None
        return {
            "quantity": known.confirmed_quantity,
            "committed": known.committed_quantity,
            "gone": known._still_gone(),
            "gone_until": known.gone_until,
            "at": known.confirmed_at,
        }

    def _rows_of_read(self, item, shop, missing, gone_by):
        rows, conflicts = [], []
        for location, wanted in item.values["levels"].items():
            level = shop.levels.get(location)
            known = self.known.get((item.record.id, location))
            noted = self._noted(item, location)
            confirmed = noted["quantity"] if noted else None
            is_left = bool(known) and known._is_left(wanted)
            if level is None:
                if wanted:
                    none = stock.Level("", location, 0)
                    rows.append(
                        stock.Row(item, item.external_id, location, wanted, None, "new", level=none)
                    )
                else:
                    self._note(item, location, level, wanted, 0)
                continue
            policy = self.backend.shopify_stock_policy
            gone, until = gone_by.get((item.record.id, location), (0, False))
            goal = stock.target(policy, wanted, level, missing, gone)
            is_odd = not is_left and self._is_odd(confirmed, level, goal)
            decision = known.decision if known else False
            if decision and known.decision_in_conflict and not is_odd:
                decision = False
            if decision == "shopify" or (is_left and not decision):
                self._note(item, location, level, wanted, level.available)
                continue
            if decision:
                policy, goal = stock.ODOO, wanted
            if policy == stock.ODOO:
                gone, until = 0, False
            if policy == stock.ASK and is_odd:
                conflicts.append((location, confirmed, level, wanted))
                continue
            if conflicts:
                continue
            held = wanted - goal
            if not level.active:
                if goal <= 0:
                    self._note(item, location, level, wanted, goal, held, gone, until)
                    continue
                level = self._activate(item, location, level)
                if level is None:
                    return []
            if goal == level.available:
                self._note(item, location, level, wanted, goal, held, gone, until)
                continue
            stamp = f"{level.stamp}/{known.revision if known else 0}"
            rows.append(
                stock.Row(
                    item,
                    item.external_id,
                    location,
                    goal,
                    level.available,
                    stamp,
                    pending=max(0, held),
                    gone=gone,
                    gone_until=until,
                    level=level,
                )
            )
        if conflicts:
            item.fail(self._conflict(item, conflicts))
            return []
        return rows

    def _is_odd(self, confirmed, level, goal):
        return level.available != goal and not stock.is_explained(confirmed, level)

    def _conflict(self, item, conflicts):
        names = self.env["integration.shopify.level"]._location_names(self.backend)
        differences = [
            self.env._(
                "%(product)s at %(location)s: Odoo has %(odoo)s to sell, Shopify %(shopify)s, "
                "though %(confirmed)s was agreed on and no open order explains the difference.",
                product=item.label,
                location=names.get(location, location),
                odoo=wanted,
                shopify=level.available,
                confirmed=confirmed,
            )
            for location, confirmed, level, wanted in conflicts
        ]
        advice = self.env._(
            "Press Odoo Is Right or Shopify Is Right on this operation; where the difference is "
            "explained, the stock is sent as always."
        )
        return ConflictError(" ".join([*differences, advice]))

    def _activate(self, item, location, level):
        """Stock an item again where it was; returns its level, None when Shopify refuses."""
        key = stock.Row(item, item.external_id, location, 0, None, level.stamp)
        try:
            answer = self.client.mutate(
                "inventory_activate",
                {"item": item.external_id, "location": location},
                idempotency_key=self._key("activate", "", [key]),
                action=self.env._("stock %s at a location", item.label),
            )
        except UserErrors as error:
            item.fail(error)
            return None
        return stock.read_level(answer["inventoryLevel"], location)

    # === SENDING === #

    def _send_all(self, rows):
        """Send rows in calls of 250; returns those that Shopify named in a refusal."""
        bad = []
        for batch in stock.batches(rows):
            waiting = [row for row in batch if row.owner.alive]
            while waiting:
                refused = self._send(waiting)
                if not refused:
                    for row in waiting:
                        self._sent(row)
                    break
                bad += refused
                named = {id(row) for row in refused}
                waiting = [row for row in waiting if id(row) not in named]
        return bad

    def _send(self, rows):
        """Send one call; returns the rows it was refused for, all of them for a general reason."""
        reason = self.backend.shopify_stock_reason
        products = self.products.browse({row.owner.record.id for row in rows})
        reference = self.resource._reference(self.backend, products)
        values = {
            "name": "available",
            "reason": reason,
            "referenceDocumentUri": reference,
            "quantities": [
                {
                    "inventoryItemId": row.item,
                    "locationId": row.location,
                    "quantity": row.quantity,
                    "changeFromQuantity": row.former,
                }
                for row in rows
            ],
        }
        for salt in (0, 1):
            try:
                self.client.mutate(
                    "inventory_set",
                    {"input": values},
                    idempotency_key=self._key(reason, reference, rows, salt),
                    action=self.env._("set the stock of %s products", len(products)),
                )
                return []
            except UserErrors as error:
                found = stock.bad_rows(error.problems, len(rows))
                for position, row in enumerate(rows):
                    row.problems = found.get(position, ())
                if not found:
                    for row in rows:
                        row.owner.fail(error)
                return [row for row in rows if row.problems or not found]
            except RetryableError as error:
                # another call had this key and was refused: this one asks anew
                if error.outcome != "refused" or salt:
                    raise
        return []

    def _key(self, reason, reference, rows, salt=0):
        identity = f"{self.backend.database_identity}/{self.backend.id}"
        return stock.idempotency_key(identity, reason, reference, rows, salt)

    def _again(self, rows):
        """Decide anew on rows that were refused; returns what to send instead."""
        for row in rows:
            others = [p for p in row.problems if not p.code.endswith("_STALE")]
            if others and row.owner.alive:
                row.owner.fail(self._refusal(row, others))
        items = {id(row.owner): row.owner for row in rows if row.owner.alive}
        return self._decide(list(items.values()))

    def _refusal(self, row, problems):
        names = self.env["integration.shopify.level"]._location_names(self.backend)
        return RequestRefused(
            self.env._(
                "Shopify does not take the stock of %(product)s at %(location)s: %(reasons)s "
                "Correct the product or the location in Shopify, then press Retry. If the location "
                "was closed or deleted there, press Read Shop Settings on the page Shop Settings "
                "of the backend: nothing is sent there any more. To leave out a location that is "
                "open, empty it under Locations of the Shop on the page Stock.",
                product=row.owner.label,
                location=names.get(row.location, row.location),
                reasons=" ".join(f"{p.message} [{p.code}]" for p in problems),
            ),
            status=200,
        )

    def _sent(self, row):
        item = row.owner
        if row.level:
            committed = row.level.committed
        else:
            # no order came since it was read, as its number was still the same: there can only
            # be fewer open by now
            committed = self.known[item.record.id, row.location].committed_quantity
        item.payload[row.location] = {
            "quantity": row.quantity,
            "committed": committed,
            "wanted": item.values["levels"][row.location],
            "pending": row.pending,
            "gone": row.gone,
            "gone_until": row.gone_until or False,
            "level": row.level.id if row.level else "",
            "sent": True,
        }
        self.open[id(item)] -= 1
        if item.alive and not self.open[id(item)]:
            item.mark_sent()

    def _note(self, item, location, level, wanted, quantity, held=0, gone=0, until=False):
        """Note a level that needs no call."""
        item.payload[location] = {
            "quantity": quantity,
            "committed": level.committed if level else 0,
            "wanted": wanted,
            "pending": max(0, held),
            "gone": gone,
            "gone_until": until,
            "level": level.id if level else "",
            "sent": bool(item.payload.get(location, {}).get("sent")),
        }
