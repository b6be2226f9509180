from collections import defaultdict

from odoo import api, fields, models

from odoo.addons.integration_base.lib.errors import ConflictError, SkipRecord
from odoo.addons.integration_base.lib.records import (
    Change,
    ChangePage,
    Difference,
    ListPage,
    Snapshot,
)

from ..lib import contract, pages, stock
from ..lib.resources import INVENTORY_ITEM

#: Levels of one page of a listing, and of one reading.
PAGE = 100


class IntegrationShopifyInventory(models.AbstractModel):
    """Stock of locations that Shopify or a third party counts becomes stock in Odoo.

    What is on hand there is counted in Odoo as an inventory adjustment at the mapped location.
    Goods that left there before Odoo heard of the shipment are not taken off twice
    (:func:`..lib.stock.counted`). Nothing of it is sent back: the flow Stock leaves out these
    locations.
    """

    _name = "integration.shopify.inventory"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Inventory"

    _resource_name = "Inventory Counts"
    _resource_model = "integration.shopify.level"
    _resource_direction = "in"
    _resource_starts_off = frozenset({"in"})
    _resource_contract = contract.InventoryLevel
    _resource_digest_exclude = frozenset({"updatedAt"})
    _resource_batch_size = PAGE
    _resource_interval_minutes = 15
    _resource_groups = (
        "integration_shopify.group_shopify_work",
        "sales_team.group_sale_salesman_all_leads",
        "stock.group_stock_manager",
    )

    _shopify_documents = ("inventory_level_nodes", "inventory_location_levels")

    # === HOOKS - ACCESS === #

    def _shopify_scope_reasons(self, backend):
        return {
            "read_inventory": self.env._("see what others count"),
            "read_locations": self.env._("know where the shop keeps stock"),
            "read_products": self.env._("tell which product a level is of"),
        }

    # === HOOKS - READING === #

    def _fetch(self, backend, external_ids):
        client, found = backend._shopify_client(), {}
        for start in range(0, len(external_ids), PAGE):
            ids = external_ids[start : start + PAGE]
            for node in client.execute("inventory_level_nodes", {"ids": ids}).data["nodes"]:
                if node and "quantities" in node:
                    found[node["id"]] = node
        return found

    def _fetch_changes(self, backend, since, page):
        """List the levels of each location in turn.

        :param page: ``[location, cursor]`` of what was read last.
        """
        places = sorted(self.env["integration.shopify.stock"]._places(backend, "shopify"))
        location, after = page or [None, None]
        if location and not after:
            places = [place for place in places if place > location]
        elif location:
            places = [place for place in places if place >= location]
        if not places:
            return ChangePage([], ordered=False)
        query = pages.changed_since(since)
        answer = backend._shopify_client().execute(
            "inventory_location_levels",
            {"location": places[0], "first": PAGE, "after": after, "query": query},
        )
        levels = (answer.data["location"] or {}).get("inventoryLevels")
        changes, info = [], {"hasNextPage": False}
        if levels:
            info = levels["pageInfo"]
            changes = [
                Change(node["id"], contract.read_utc(node["updatedAt"])) for node in levels["nodes"]
            ]
        if info["hasNextPage"]:
            following = [places[0], info["endCursor"]]
        else:
            following = [places[0], None] if len(places) > 1 else None
        return ChangePage(changes, following, ordered=False)

    def _updated_at(self, data):
        return data.updatedAt

    def _label(self, data):
        return f"{data.item.sku or data.item.id}, {data.location.name or data.location.id}"

    def _missing_on_fetch(self, backend, external_id, label):
        return SkipRecord(
            self.env._(
                "%s is no longer stocked there. Odoo keeps what it has: count it, or move it.",
                label or external_id,
            )
        )

    # === HOOKS - WRITING === #

    def _map(self, backend, items):
        places = self.env["integration.shopify.stock"]._places(backend, "shopify")
        products = self.env["integration.binding"]._find(
            backend, INVENTORY_ITEM, [item.data.item.id for item in items]
        )
        wanted = {}
        for item in items:
            place = places.get(item.data.location.id)
            product = products.get(item.data.item.id)
            if not place:
                item.skip(
                    self.env._(
                        "Nobody but Odoo counts the stock of %s.",
                        item.data.location.name or item.data.location.id,
                    )
                )
            elif not product:
                item.skip(self.env._("%s is not linked to a product in Odoo.", item.label))
            elif not item.data.item.tracked or not item.data.isActive:
                item.skip(self.env._("Shopify does not count %s there.", item.label))
            elif not product.is_storable:
                item.skip(self.env._("Odoo does not track the stock of %s.", product.display_name))
            elif product.tracking != "none":
                item.fail(
                    ConflictError(
                        self.env._(
                            "%(product)s has lots or serial numbers, which Shopify does not tell. "
                            "Count it in %(place)s by hand: %(count)s on hand there.",
                            product=product.display_name,
                            place=place.display_name,
                            count=item.data.on_hand,
                        )
                    )
                )
            else:
                wanted[item.operation_id] = (product, place)
        rows = self.env["integration.shopify.level"]._known(
            backend, self.env["product.product"].union(*(p for p, _place in wanted.values()))
        )
        still = self._still_to_deliver(backend, wanted.values())
        for item in items:
            if item.operation_id not in wanted:
                continue
            product, place = wanted[item.operation_id]
            row = rows.get((product.id, item.data.location.id))
            count, ahead = stock.counted(
                item.data.on_hand,
                item.data.committed,
                still[product.id, place.id],
                row.on_hand if row and row.counted_at else None,
                row.shipped_ahead if row else 0,
            )
            item.values = {
                "product": product,
                "place": place,
                "count": count,
                "row": {
                    "backend_id": backend.id,
                    "product_id": product.id,
                    "location": item.data.location.id,
                    "item": item.data.item.id,
                    "external_id": item.external_id,
                    "on_hand": item.data.on_hand,
                    "shipped_ahead": ahead,
                },
            }

    @api.model
    def _still_to_deliver(self, backend, wanted):
        """Return ``{(product id, place id): units}`` to be delivered for orders of the shop.

        :param wanted: pairs of product and place.
        """
        still = defaultdict(float)
        products = self.env["product.product"].union(*(product for product, _place in wanted))
        lines = self.env["integration.shopify.stock"]._open_lines(backend, products)
        places = {place for _product, place in wanted}
        for move in lines.move_ids._shopify_to_buyer():
            if move.state in ("done", "cancel", "draft"):
                continue
            for place in places:
                if move.location_id.parent_path.startswith(place.parent_path):
                    still[move.product_id.id, place.id] += move.product_qty
        return still

    def _find_existing(self, backend, items):
        known = self.env["integration.shopify.level"]._known(
            backend, self.env["product.product"].union(*(i.values["product"] for i in items))
        )
        for item in items:
            key = (item.values["product"].id, item.data.location.id)
            item.record = known.get(key)

    def _apply(self, backend, items):
        now = fields.Datetime.now()
        for item in items:
            vals = {**item.values["row"], "counted_at": now}
            if item.record:
                item.record.write(vals)
            else:
                item.record = self.env["integration.shopify.level"].create(vals)
            self._count_in_odoo(backend, item)

    @api.model
    def _count_in_odoo(self, backend, item):
        """Adjust the stock of a place to what was counted, at the place itself."""
        product, place = item.values["product"], item.values["place"]
        present = self._present(product, place)
        difference = item.values["count"] - present
        if product.uom_id.is_zero(difference):
            return
        Quant = self.env["stock.quant"].with_context(
            inventory_mode=True,
            inventory_name=self.env._(
                "Counted in %(backend)s: %(count)s on hand at %(location)s",
                backend=backend.name,
                count=item.data.on_hand,
                location=item.data.location.name or item.data.location.id,
            ),
        )
        own = Quant._gather(product, place, strict=True).filtered(
            lambda quant: not quant.lot_id and not quant.package_id and not quant.owner_id
        )
        quant = Quant.create(
            {
                "product_id": product.id,
                "location_id": place.id,
                "inventory_quantity": sum(own.mapped("quantity")) + difference,
            }
        )
        quant.action_apply_inventory()
        item.notes.append(
            self.env._(
                "%(product)s in %(place)s: %(before)g in Odoo, now %(after)s.",
                product=product.display_name,
                place=place.display_name,
                before=present,
                after=item.values["count"],
            )
        )

    @api.model
    def _present(self, product, place):
        return product.with_context(location=place.id).qty_available

    # === HOOKS - COMPARING === #

    def _list(self, backend, page):
        """List the levels; what somebody changed in Odoo is no longer as it was counted."""
        found = self._fetch_changes(backend, None, page)
        changed = self._changed_in_odoo(backend, [change.external_id for change in found.changes])
        return ListPage(
            [
                Snapshot(
                    change.external_id,
                    change.updated_at,
                    digest="changed in Odoo" if change.external_id in changed else None,
                )
                for change in found.changes
            ],
            found.next_page,
        )

    @api.model
    def _changed_in_odoo(self, backend, external_ids):
        """Return the ids among those of levels whose stock in Odoo is not what was counted."""
        rows = self.env["integration.shopify.level"].search(
            [
                ("backend_id", "=", backend.id),
                ("external_id", "in", external_ids),
                ("counted_at", "!=", False),
            ]
        )
        places = self.env["integration.shopify.stock"]._places(backend, "shopify")
        changed = set()
        for location, levels in rows.grouped("location").items():
            if location not in places:
                continue
            present = {
                product.id: product.qty_available
                for product in levels.product_id.with_context(location=places[location].id)
            }
            changed |= {
                level.external_id
                for level in levels
                if not level.product_id.uom_id.is_zero(
                    present[level.product_id.id] - level.on_hand - level.shipped_ahead
                )
            }
        return changed

    def _compare(self, backend, items):
        for item in items:
            if not item.values:
                continue
            product, place = item.values["product"], item.values["place"]
            present = self._present(product, place)
            item.differences = []
            if not product.uom_id.is_zero(item.values["count"] - present):
                item.differences.append(
                    Difference(
                        self.env._("On hand in %s", place.display_name),
                        f"{present:g}",
                        str(item.values["count"]),
                    )
                )

    def _apply_deletion(self, backend, items):
        """Leave the stock as it is: nobody knows where the goods went."""
        for item in items:
            item.notes.append(self._missing_on_fetch(backend, item.external_id, item.label).message)
