"""Odoo's stock reaches Shopify: nothing is sold twice, and nothing is lost on the way."""

from contextlib import contextmanager

from odoo.exceptions import UserError, ValidationError
from odoo.tests import Form, new_test_user, tagged

from odoo.addons.integration_base.lib.errors import RateLimitedError, RetryableError
from odoo.addons.integration_base.lib.records import Change

from ..models.integration_shopify_stock import LOOK_AGAIN
from .common import FakeShop, ShopifyCase, line, order

BERLIN = "gid://shopify/Location/1"
PARIS = "gid://shopify/Location/2"


class StockShop(FakeShop):
    """A shop that keeps stock as the real one does: compare and set, all or nothing.

    :ivar levels: ``{(item, location): {"available", "committed", "on_hand", "active"}}``.
    :ivar lost: how many of the next changes take effect without an answer.
    :ivar before: called before the next change is looked at.
    :ivar broken: codes of user errors by item.
    """

    def __init__(self):
        super().__init__()
        self.levels, self.untracked, self.broken, self.keys = {}, set(), {}, {}
        self.lost, self.clock, self.before = 0, 0, None
        self.sent = []

    def stock(self, item, location=BERLIN, available=0, committed=0):
        self.clock += 1
        self.levels[item, location] = {
            "available": available,
            "committed": committed,
            "on_hand": available + committed,
            "active": True,
            "at": self.clock,
        }

    def sell(self, item, location=BERLIN, units=1):
        level = self.levels[item, location]
        level["available"] -= units
        level["committed"] += units
        self.clock += 1
        level["at"] = self.clock

    def ship(self, item, location=BERLIN, units=1):
        level = self.levels[item, location]
        level["committed"] -= units
        level["on_hand"] -= units
        self.clock += 1
        level["at"] = self.clock

    def available(self, item, location=BERLIN):
        return self.levels[item, location]["available"]

    def _stamp(self, level):
        return f"2026-11-20T10:{level['at'] // 60:02}:{level['at'] % 60:02}Z"

    def _level(self, item, location):
        level = self.levels[item, location]
        return {
            "id": self.level_id(item, location),
            "isActive": level["active"],
            "updatedAt": self._stamp(level),
            "item": {"id": item, "sku": item[-2:], "tracked": item not in self.untracked},
            "location": {"id": location, "name": "Berlin" if location == BERLIN else "Paris"},
            "quantities": [
                {"name": name, "quantity": level[name], "updatedAt": self._stamp(level)}
                for name in ("available", "committed", "on_hand")
            ],
        }

    @staticmethod
    def level_id(item, location):
        numbers = item.rpartition("/")[2], location.rpartition("/")[2]
        return f"gid://shopify/InventoryLevel/{'0'.join(numbers)}?inventory_item_id={numbers[0]}"

    def _inventory_levels(self, variables):
        known = {item for item, _location in self.levels}
        return {
            "nodes": [
                {
                    "id": gid,
                    "tracked": gid not in self.untracked,
                    "inventoryLevels": {
                        "nodes": [self._level(*key) for key in self.levels if key[0] == gid],
                        "pageInfo": {"hasNextPage": False, "endCursor": None},
                    },
                }
                if gid in known
                else None
                for gid in variables["ids"]
            ]
        }

    def _inventory_level_nodes(self, variables):
        known = {self.level_id(*key): key for key in self.levels}
        return {
            "nodes": [
                self._level(*known[gid]) if gid in known else None for gid in variables["ids"]
            ]
        }

    def _inventory_location_levels(self, variables):
        nodes = [self._level(*key) for key in self.levels if key[1] == variables["location"]]
        return {
            "location": {
                "id": variables["location"],
                "inventoryLevels": {
                    "nodes": nodes,
                    "pageInfo": {"hasNextPage": False, "endCursor": None},
                },
            }
        }

    def _inventory_activate(self, variables):
        level = self.levels[variables["item"], variables["location"]]
        level["active"] = True
        return {
            "inventoryActivate": {
                "inventoryLevel": self._level(variables["item"], variables["location"]),
                "userErrors": [],
            }
        }

    def _inventory_set(self, variables):
        if self.before:
            before, self.before = self.before, None
            before()
        key = variables["idempotencyKey"]
        known = self.keys.get(key)
        if known == "failed":
            code = "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"
            return self._refuse([{"field": None, "message": code, "code": code}])
        if known:
            return known
        rows, errors = variables["input"]["quantities"], []
        assert len(rows) <= 250
        for number, row in enumerate(rows):
            path = ["input", "quantities", str(number)]
            gid = row["inventoryItemId"]
            level = self.levels.get((gid, row["locationId"]))
            present = level["available"] if level else 0
            if code := self.broken.get(gid):
                errors.append({"field": path, "message": "No.", "code": code})
            elif row["changeFromQuantity"] not in (None, present):
                errors.append(
                    {"field": path, "message": "Stale.", "code": "CHANGE_FROM_QUANTITY_STALE"}
                )
        if errors:
            self.keys[key] = "failed"
            return self._refuse(errors)
        for row in rows:
            place = row["inventoryItemId"], row["locationId"]
            if place not in self.levels:
                self.stock(*place)
            level = self.levels[place]
            level["on_hand"] += row["quantity"] - level["available"]
            level["available"] = row["quantity"]
            self.clock += 1
            level["at"] = self.clock
        self.sent.append(variables["input"])
        self.keys[key] = {
            "inventorySetQuantities": {
                "inventoryAdjustmentGroup": {"id": "gid://shopify/InventoryAdjustmentGroup/1"},
                "userErrors": [],
            }
        }
        if self.lost:
            self.lost -= 1
            raise RetryableError("The answer was lost.")
        return self.keys[key]

    def _refuse(self, errors):
        return {"inventorySetQuantities": {"inventoryAdjustmentGroup": None, "userErrors": errors}}


class StockCase(ShopifyCase):
    """Products linked to a shop whose Berlin is the company's first warehouse."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.warehouse = cls.env["stock.warehouse"].search(
            [("company_id", "=", cls.company.id)], limit=1
        )
        cls.place = cls.warehouse.lot_stock_id
        cls.out = cls.backend._shopify_stock_flow()
        cls.item = cls.link(cls.product, 1)

    def setUp(self):
        super().setUp()
        self.shop = StockShop()
        self.shop.stock(self.item)
        self.berlin = self.map_location(BERLIN, self.place)
        self.out.enabled = True
        self.env.flush_all()

    @classmethod
    def link(cls, product, number, backend=None):
        """Link a product to a variant of the shop; returns its inventory item."""
        item = f"gid://shopify/InventoryItem/{number}"
        variants = {f"gid://shopify/ProductVariant/{number}": (product, item, product.name)}
        cls.env["integration.shopify.product"]._link_variants(backend or cls.backend, variants)
        return item

    def map_location(self, external, place, owner="odoo", backend=None):
        return self.env["integration.mapping"].create(
            {
                "backend_id": (backend or self.backend).id,
                "kind": "location",
                "external_value": external,
                "external_label": "Berlin" if external == BERLIN else "Paris",
                "resource_ref": f"stock.location,{place.id}",
                "shopify_stock_owner": owner,
            }
        )

    def paris(self, mapped=False):
        """Return the stock of a second warehouse, mapped to the shop's location there or not."""
        place = self.env["stock.warehouse"].create({"name": "Paris", "code": "PAR"}).lot_stock_id
        if mapped:
            self.map_location(PARIS, place)
        return place

    def put(self, quantity, product=None, place=None):
        """Have so many more units in stock."""
        self.env["stock.quant"]._update_available_quantity(
            product or self.product, place or self.place, quantity
        )

    def push(self, flow=None):
        """Send what has changed; returns the operations of the flow."""
        flow = flow or self.out
        # as a commit does
        self.env.cr.flush()
        self.env.cr.execute(
            "UPDATE integration_sync_log SET next_attempt_at = create_date WHERE state = 'pending';"
            "UPDATE integration_flow SET blocked_until = NULL"
        )
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(flow.id)
        self.env.invalidate_all()
        return self.env["integration.sync.log"].search([("flow_id", "=", flow.id)], order="id")

    @contextmanager
    def counted(self, **calls):
        """Check how often each document is run."""
        before = len(self.shop.calls)
        yield
        names = [name for name, _variables in self.shop.calls[before:]]
        found = {name: names.count(name) for name in names if name.startswith("inventory")}
        self.assertEqual(found, calls)

    def wait(self):
        """Let the time pass for which vanished units are held back."""
        self.env.cr.flush()
        self.env.cr.execute(
            "UPDATE integration_shopify_level SET gone_until = gone_until - %s", [LOOK_AGAIN]
        )
        self.env.invalidate_all()

    def hand_over(self, units, location=BERLIN):
        """Sell units at a till of the shop."""
        self.shop.sell(self.item, location, units)
        self.shop.ship(self.item, location, units)

    def level(self, location=BERLIN, product=None):
        return self.env["integration.shopify.level"].search(
            [("product_id", "=", (product or self.product).id), ("location", "=", location)]
        )

    def order_of(self, units, number=1001, **values):
        """Return an order of the product in the shop, which takes its units."""
        self.shop.sell(self.item, units=units)
        return order(number, [line(11, "10.00", units)], f"{10 * units}.00", **values)


@tagged("post_install", "-at_install")
class TestStockOut(StockCase):
    def test_stock_is_sent_once_and_unchanged_costs_nothing(self):
        self.put(5)
        with self.counted(inventory_levels=1, inventory_set=1):
            self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.available(self.item), 5)
        level = self.level()
        self.assertEqual((level.confirmed_quantity, level.pending_quantity), (5, 0))
        self.assertIn("5", level.explanation)
        # what is confirmed is not read again
        self.put(2)
        with self.counted(inventory_set=1):
            self.push()
        row = self.shop.sent[-1]["quantities"][0]
        self.assertEqual((row["quantity"], row["changeFromQuantity"]), (7, 5))
        self.put(1)
        self.put(-1)
        with self.counted():
            self.push()

    def test_only_what_is_below_the_location_and_free(self):
        shelf = self.env["stock.location"].create({"name": "S", "location_id": self.place.id})
        other = self.env["stock.warehouse"].create({"name": "Other", "code": "OTH"})
        self.put(3, place=shelf)
        self.put(9, place=other.lot_stock_id)
        self.push()
        self.assertEqual(self.shop.available(self.item), 3)
        sale = self.env["sale.order"].create(
            {
                "partner_id": self.env["res.partner"].create({"name": "B"}).id,
                "order_line": [(0, 0, {"product_id": self.product.id, "product_uom_qty": 2})],
            }
        )
        sale.warehouse_id = self.warehouse
        sale.action_confirm()
        self.push()
        self.assertEqual(self.shop.available(self.item), 1)
        self.backend.shopify_stock_source = "on_hand"
        self.push()
        self.assertEqual(self.shop.available(self.item), 3)
        self.backend.shopify_stock_source = "forecast"
        self.push()
        self.assertEqual(self.shop.available(self.item), 1)
        sale._action_cancel()
        self.push()
        self.assertEqual(self.shop.available(self.item), 3)

    def test_units_kept_back(self):
        self.put(10)
        self.push()
        self.backend.shopify_stock_buffer = 1
        self.push()
        self.assertEqual(self.shop.available(self.item), 9)
        self.product.categ_id = self.env["product.category"].create({"name": "Mugs"})
        self.product.categ_id.shopify_stock_buffer = 4
        self.push()
        self.assertEqual(self.shop.available(self.item), 6)
        self.product.product_tmpl_id.shopify_stock_buffer = 20
        self.push()
        self.assertEqual(self.shop.available(self.item), 0)
        self.assertIn("20 kept back", self.level().explanation)

    def test_several_locations(self):
        paris = self.paris()
        self.put(4)
        self.put(6, place=paris)
        self.push()
        self.map_location(PARIS, paris)
        # not stocked there yet: there is nothing to compare with
        self.push()
        self.assertEqual(self.shop.sent[-1]["quantities"][0]["changeFromQuantity"], None)
        self.assertEqual(self.shop.available(self.item, PARIS), 6)
        self.put(1, place=paris)
        self.push()
        self.assertEqual(len(self.shop.sent[-1]["quantities"]), 1)
        self.shop.levels[self.item, PARIS]["active"] = False
        self.env["integration.sync.log"]._append_records(
            self.out, self.product, "manual", force=True
        )
        with self.counted(inventory_levels=1, inventory_activate=1):
            self.push()
        self.assertTrue(self.shop.levels[self.item, PARIS]["active"])
        with self.assertRaisesRegex(ValidationError, "sold twice"):
            self.map_location("gid://shopify/Location/3", self.warehouse.view_location_id)

    def test_nobody_counts_nothing_is_sent(self):
        self.put(5)
        self.berlin.shopify_stock_owner = "nobody"
        operation = self.push()[-1]
        self.assertEqual(operation.state, "skipped")
        self.assertIn("No location", operation.message)
        self.assertFalse(self.shop.sent)
        self.berlin.shopify_stock_owner = "odoo"
        self.push()
        self.assertEqual(self.shop.available(self.item), 5)

    def test_locations_that_are_closed_in_the_shop(self):
        shelf = self.paris()
        paris = self.map_location(PARIS, shelf)
        self.put(4)
        self.put(6, place=shelf)
        self.push()
        for closed, opened in (
            ({"external_details": {"active": False}}, {"external_details": {"active": True}}),
            ({"gone_at": "2026-11-20 10:00:00"}, {"gone_at": False}),
        ):
            paris.write(closed)
            before = len(self.shop.sent)
            self.shop.levels[self.item, PARIS]["active"] = False
            self.shop.levels[self.item, PARIS]["available"] = 0
            self.put(1)
            self.put(1, place=shelf)
            operation = self.push()[-1]
            self.assertEqual(operation.state, "done", operation.message)
            rows = [row for sent in self.shop.sent[before:] for row in sent["quantities"]]
            self.assertEqual([row["locationId"] for row in rows], [BERLIN])
            # the same number as before: it is not there any more
            self.put(-1, place=shelf)
            paris.write(opened)
            self.push()
            self.assertEqual(self.shop.available(self.item, PARIS), 6)
        self.assertEqual(self.shop.available(self.item), 6)

    def test_a_location_closed_a_moment_ago_is_explained(self):
        self.put(5)
        self.shop.broken[self.item] = "INVALID_LOCATION"
        operation = self.push()[-1]
        self.assertEqual(operation.state, "dead")
        self.assertIn("INVALID_LOCATION", operation.message)
        self.assertIn("Read Shop Settings", operation.message)
        self.assertIn("Locations of the Shop on the page Stock", operation.message)
        # the settings are read: nothing is left to be sent
        self.berlin.gone_at = "2026-11-20 10:00:00"
        self.assertEqual(self.push()[-1].state, "skipped")

    def test_untracked_and_gone_are_explained(self):
        self.put(5)
        self.shop.untracked.add(self.item)
        self.assertIn("does not track", self.push()[-1].message)
        self.shop.levels.clear()
        self.put(1)
        operation = self.push()[-1]
        self.assertEqual(operation.state, "dead")
        self.assertIn("no longer exists", operation.message)

    def test_a_product_linked_later(self):
        cup = self._product("CUP")
        self.put(3, product=cup)
        item = self.link(cup, 2)
        self.shop.stock(item, available=1)
        self.push()
        self.assertEqual(self.shop.available(item), 3)

    def test_link_moved_to_another_item(self):
        self.put(3)
        self.push()
        other = self.link(self.product, 7)
        self.shop.stock(other, available=8)
        self.push()
        self.assertEqual(self.shop.available(other), 3)
        self.assertEqual(self.level().item, other)


@tagged("post_install", "-at_install")
class TestStockRace(StockCase):
    def setUp(self):
        super().setUp()
        self.put(5)
        self.push()

    def test_a_sale_nobody_knows_yet_is_not_offered_again(self):
        self.shop.sell(self.item)
        self.put(3)
        # refused for the number it means to replace, read, sent less what was sold
        with self.counted(inventory_set=2, inventory_levels=1):
            self.push()
        self.assertEqual(self.shop.available(self.item), 7)
        self.assertEqual(self.level().pending_quantity, 1)
        # and again: the first answer must not be forgotten
        self.put(2)
        self.push()
        self.assertEqual(self.shop.available(self.item), 9)

    def test_the_order_arrives(self):
        payload = self.order_of(2)
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 4)
        self.import_one(payload)
        with self.counted(inventory_levels=1):
            self.push()
        level = self.level()
        self.assertEqual((level.confirmed_quantity, level.pending_quantity), (4, 0))
        self.put(1)
        with self.counted(inventory_set=1):
            self.push()
        self.assertEqual(self.shop.available(self.item), 5)

    def test_the_last_unit_is_sold_once(self):
        self.put(-4)
        self.push()
        self.assertEqual(self.shop.available(self.item), 1)
        payload = self.order_of(1)
        # somebody sells it in Odoo at the same time
        sale = self.env["sale.order"].create(
            {
                "partner_id": self.env["res.partner"].create({"name": "B"}).id,
                "order_line": [(0, 0, {"product_id": self.product.id, "product_uom_qty": 1})],
            }
        )
        sale.action_confirm()
        self.push()
        self.assertEqual(self.shop.available(self.item), 0)
        self.import_one(payload)
        self.push()
        self.assertEqual(self.shop.available(self.item), 0)
        # the other sale is given up, and its unit goes to the order of the shop
        sale._action_cancel()
        self.env["stock.move"].search([("product_id", "=", self.product.id)])._action_assign()
        self.push()
        self.assertEqual(self.shop.available(self.item), 0)
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 1)

    def test_shipped_on_both_sides_frees_nothing(self):
        payload = self.order_of(2)
        sale = self.import_one(payload)
        self.push()
        picking = sale.picking_ids
        picking.move_ids.write({"quantity": 2, "picked": True})
        picking._action_done()
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 4)
        self.shop.ship(self.item, units=2)
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 5)

    def test_units_that_vanish_are_looked_at_again(self):
        """A till sells and hands over: no open order says so."""
        self.shop.sell(self.item)
        self.shop.ship(self.item)
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 5)
        waiting = self.env["integration.sync.log"].search(
            [("flow_id", "=", self.out.id), ("state", "=", "pending")]
        )
        self.assertEqual(waiting.res_id, self.product.id)
        self.assertFalse(waiting.force)
        self.assertEqual(waiting.next_attempt_at, self.level().gone_until)
        self.assertGreater(waiting.next_attempt_at, waiting.create_date)
        self.wait()
        self.push()
        self.assertEqual(self.shop.available(self.item), 6)
        self.assertFalse(self.level().gone_quantity)

    def test_units_that_vanish_stay_held_back_while_other_stock_changes(self):
        self.put(5)
        self.push()
        self.hand_over(3)
        self.put(-1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 6)
        self.assertIn("3 of them vanished", self.level().explanation)
        until = self.level().gone_until
        for quantity, offered in ((-1, 5), (2, 7), (-1, 6)):
            self.put(quantity)
            self.push()
            self.assertEqual(self.shop.available(self.item), offered)
            self.assertEqual(self.level().gone_until, until)
        # something else asks for it by force: a comparison that repairs, or a person
        self.env["integration.sync.log"]._append_records(
            self.out, self.product, "reconcile", force=True
        )
        self.push()
        self.assertEqual(self.shop.available(self.item), 6)
        # one more at the till
        self.hand_over(1)
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 6)
        self.assertEqual(self.level().gone_quantity, 4)
        self.wait()
        self.push()
        self.assertEqual(self.shop.available(self.item), 10)

    def test_units_that_vanish_arrive_as_orders(self):
        self.put(5)
        self.push()
        self.hand_over(3)
        self.put(-1)
        self.push()
        for number, left in ((1, 2), (2, 1), (3, 0)):
            sale = self.import_one(order(1000 + number, [line(10 + number, "10.00")], "10.00"))
            self.env["integration.shopify.fulfillment"].create(
                {
                    "order_id": sale.id,
                    "backend_id": self.backend.id,
                    "company_id": self.company.id,
                    "external_id": f"gid://shopify/Fulfillment/{number}",
                    "status": "SUCCESS",
                    "location": "Berlin",
                    "units": {sale.order_line.shopify_line_id: 1},
                }
            )
            self.env.flush_all()
            self.env.cr.execute(
                "UPDATE sale_order SET create_date = confirmed_at + interval '5 seconds'"
                "  FROM integration_shopify_level WHERE sale_order.id = %s",
                [sale.id],
            )
            self.push()
            self.assertEqual(self.shop.available(self.item), 6)
            self.assertEqual(self.level().gone_quantity, left)
            # as if it were noted later
            self.env.cr.execute(
                "UPDATE integration_shopify_level SET confirmed_at = confirmed_at + %s",
                [f"{number} minutes"],
            )
            self.env.invalidate_all()

    def test_what_was_sent_a_moment_ago_did_not_vanish(self):
        paris = self.paris()
        self.put(5, place=paris)
        self.map_location(PARIS, paris)
        self.push()
        self.hand_over(2)
        self.put(-1)
        # Berlin is sent, and then both are read again
        self.put(1, place=paris)
        self.shop.sell(self.item, PARIS)
        self.shop.before = lambda: setattr(
            self.shop, "before", lambda: self.shop.sell(self.item, PARIS)
        )
        self.push()
        self.assertEqual(self.shop.available(self.item), 2)
        self.assertEqual(self.shop.available(self.item, PARIS), 4)
        self.assertEqual(self.level().gone_quantity, 2)

    def test_units_that_vanish_of_the_last_ones(self):
        self.hand_over(3)
        self.put(-5)
        self.push()
        self.assertEqual(self.shop.available(self.item), 0)
        # nothing could be held back, and yet it is not forgotten
        self.put(2)
        self.push()
        self.assertEqual(self.shop.available(self.item), 0)
        self.put(2)
        self.push()
        self.assertEqual(self.shop.available(self.item), 1)

    def test_a_person_need_not_wait_for_units_that_vanished(self):
        self.hand_over(3)
        self.put(-1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 1)
        self.level().action_odoo_is_right()
        self.push()
        self.assertEqual(self.shop.available(self.item), 4)
        self.assertFalse(self.level().gone_quantity)

    def test_units_that_vanish_beside_an_order_nobody_knows_yet(self):
        self.put(5)
        self.push()
        self.shop.sell(self.item, units=2)
        self.shop.sell(self.item, units=3)
        self.shop.ship(self.item, units=3)
        self.put(-1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 4)
        self.assertEqual(self.level().pending_quantity, 5)

    def test_units_that_vanish_beside_older_open_orders(self):
        self.put(8)
        self.push()
        self.import_one(self.order_of(3))
        self.push()
        level = self.level()
        self.assertEqual((level.confirmed_quantity, level.committed_quantity), (10, 3))
        self.hand_over(2)
        self.put(5)
        self.push()
        # 18 on hand, 3 of them reserved, 2 handed over
        self.assertEqual(self.shop.available(self.item), 13)
        level = self.level()
        self.assertEqual((level.gone_quantity, level.committed_quantity), (2, 3))
        self.wait()
        self.push()
        self.assertEqual(self.shop.available(self.item), 15)
        # what is sent without being read says nothing of the orders
        self.put(1)
        with self.counted(inventory_set=1):
            self.push()
        self.assertEqual(self.level().committed_quantity, 3)
        self.hand_over(2)
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 15)

    def test_open_orders_of_a_location_that_is_stocked_no_more(self):
        self.shop.sell(self.item, units=2)
        self.put(1)
        self.push()
        self.assertEqual(self.level().committed_quantity, 2)
        del self.shop.levels[self.item, BERLIN]
        self.shop.stock(self.item, PARIS)
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 7)
        self.assertEqual(self.level().committed_quantity, 0)

    def test_odoo_is_right(self):
        self.backend.shopify_stock_policy = "odoo"
        self.shop.stock(self.item, available=40)
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 6)

    def test_a_person_is_asked(self):
        self.backend.shopify_stock_policy = "ask"
        self.shop.sell(self.item)
        self.put(1)
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.available(self.item), 5)
        self.shop.stock(self.item, available=40)
        self.put(1)
        operation = self.push()[-1]
        self.assertEqual(operation.state, "dead")
        self.assertTrue(operation.shopify_stock_differs)
        self.assertIn("Shopify 40", operation.message)
        self.assertIn("Odoo has 7", operation.message)
        looker = new_test_user(self.env, "looker", "integration_base.group_integration_user")
        with self.assertRaises(UserError):
            operation.with_user(looker).action_shopify_odoo_is_right()
        with self.enter_registry_test_mode():
            operation.action_shopify_shopify_is_right()
        self.env.invalidate_all()
        self.assertEqual(operation.state, "done", operation.message)
        self.assertEqual(self.shop.available(self.item), 40)
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 8)
        self.shop.stock(self.item, available=3)
        self.put(1)
        operation = self.push()[-1]
        with self.enter_registry_test_mode():
            operation.action_shopify_odoo_is_right()
        self.assertEqual(self.shop.available(self.item), 9)

    def check_decision(self, action):
        """Decide on Berlin, where nothing explains Shopify's number; Paris waits to be sent."""
        shelf = self.paris(mapped=True)
        self.put(10, place=shelf)
        self.push()
        self.backend.shopify_stock_policy = "ask"
        self.shop.stock(self.item, available=40)
        self.shop.sell(self.item, PARIS, 2)
        self.put(1)
        self.put(-6, place=shelf)
        operation = self.push()[-1]
        self.assertEqual(operation.state, "dead")
        self.assertIn("Berlin", operation.message)
        self.assertNotIn("Paris", operation.message)
        with self.enter_registry_test_mode():
            getattr(operation, action)()
        self.env.invalidate_all()
        self.assertEqual(operation.state, "done", operation.message)
        # 4 there, and 2 of an order that is not here yet
        self.assertEqual(self.shop.available(self.item, PARIS), 2)
        self.assertFalse((self.level() + self.level(PARIS)).filtered("decision"))

    def test_shopify_is_right_about_the_conflict_only(self):
        self.check_decision("action_shopify_shopify_is_right")
        self.assertEqual(self.shop.available(self.item), 40)

    def test_odoo_is_right_about_the_conflict_only(self):
        self.check_decision("action_shopify_odoo_is_right")
        self.assertEqual(self.shop.available(self.item), 6)

    def test_a_person_is_asked_about_every_location(self):
        shelf = self.paris(mapped=True)
        self.push()
        self.backend.shopify_stock_policy = "ask"
        for place in (BERLIN, PARIS):
            self.shop.stock(self.item, place, available=40)
        self.put(1)
        self.put(1, place=shelf)
        message = self.push()[-1].message
        self.assertIn("Berlin: Odoo has 6", message)
        self.assertIn("Paris: Odoo has 1", message)

    def test_only_a_decision_ends_a_conflict(self):
        """A retry decides nothing, nor does the repair of a comparison."""
        self.backend.shopify_stock_policy = "ask"
        self.shop.stock(self.item, available=40)
        self.put(1)
        operation = self.push()[-1]
        message = operation.message
        with self.enter_registry_test_mode():
            operation.action_retry()
        self.env.invalidate_all()
        self.assertEqual((operation.state, operation.message), ("dead", message))
        self.env["integration.sync.log"]._append_records(
            self.out, self.product, "reconcile", force=True
        )
        operation = self.push()[-1]
        self.assertEqual((operation.state, operation.message), ("dead", message))
        self.assertEqual(self.shop.available(self.item), 40)

    def test_a_decision_about_one_level_is_none_about_another(self):
        self.paris(mapped=True)
        self.push()
        self.backend.shopify_stock_policy = "ask"
        for place in (BERLIN, PARIS):
            self.shop.stock(self.item, place, available=40)
        self.put(1)
        self.push()
        self.level().action_odoo_is_right()
        operation = self.push()[-1]
        self.assertEqual(operation.state, "dead")
        self.assertIn("Paris", operation.message)
        self.assertNotIn("Berlin", operation.message)
        self.assertEqual(self.shop.available(self.item, PARIS), 40)
        self.level(PARIS).action_shopify_is_right()
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.available(self.item), 6)
        self.assertEqual(self.shop.available(self.item, PARIS), 40)

    def test_what_is_left_to_shopify_stays_until_odoo_changes_there(self):
        shelf = self.paris(mapped=True)
        self.put(10, place=shelf)
        self.push()
        self.shop.stock(self.item, available=40)
        self.level().action_shopify_is_right()
        self.push()
        self.put(-1, place=shelf)
        with self.counted(inventory_set=1):
            self.push()
        self.assertEqual(self.shop.available(self.item, PARIS), 9)
        self.assertEqual(self.shop.available(self.item), 40)
        self.assertIn("left as it is", self.level().explanation)
        # read again, as another level of the product was sold from, or by force
        self.shop.stock(self.item, available=38)
        self.shop.sell(self.item, PARIS)
        self.put(1, place=shelf)
        with self.counted(inventory_set=2, inventory_levels=1):
            self.push()
        self.shop.stock(self.item, available=37)
        self.env["integration.sync.log"]._append_records(
            self.out, self.product, "reconcile", force=True
        )
        self.push()
        level = self.level()
        self.assertEqual(self.shop.available(self.item), 37)
        self.assertEqual((level.confirmed_quantity, level.wanted_quantity), (37, 5))
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 6)
        self.assertNotIn("left as it is", self.level().explanation)

    def test_what_is_left_to_shopify_can_be_decided_anew(self):
        self.shop.stock(self.item, available=40)
        self.level().action_shopify_is_right()
        self.push()
        self.level().action_odoo_is_right()
        self.push()
        self.assertEqual(self.shop.available(self.item), 5)

    def test_what_was_left_to_shopify_until_odoo_had_the_same(self):
        self.shop.stock(self.item, available=40)
        self.level().action_shopify_is_right()
        self.push()
        self.put(35)
        with self.counted():
            self.push()
        self.put(-35)
        self.push()
        self.assertEqual(self.shop.available(self.item), 5)

    def test_what_is_left_to_shopify_is_no_part_of_another_conflict(self):
        shelf = self.paris(mapped=True)
        self.push()
        self.backend.shopify_stock_policy = "ask"
        self.shop.stock(self.item, available=40)
        self.level().action_shopify_is_right()
        self.push()
        for place in (BERLIN, PARIS):
            self.shop.stock(self.item, place, available=30)
        self.put(1, place=shelf)
        operation = self.push()[-1]
        self.assertEqual(operation.state, "dead")
        self.assertNotIn("Berlin", operation.message)
        with self.enter_registry_test_mode():
            operation.action_shopify_odoo_is_right()
        self.assertEqual(self.shop.available(self.item, PARIS), 1)
        self.assertEqual(self.shop.available(self.item), 30)

    def test_button_of_the_level(self):
        self.shop.stock(self.item, available=40)
        operator = new_test_user(
            self.env, "operator", "integration_base.group_integration_operator"
        )
        self.level().with_user(operator).action_odoo_is_right()
        self.push()
        self.assertEqual(self.shop.available(self.item), 5)

    def test_lost_answer(self):
        self.shop.lost = 1
        self.put(2)
        self.assertEqual(self.push()[-1].state, "pending")
        self.assertEqual(self.shop.available(self.item), 7)
        # the same key: carried out once
        with self.counted(inventory_set=1):
            self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.available(self.item), 7)
        self.assertEqual(len(self.shop.sent), 2)

    def test_lost_answer_and_a_sale_in_between(self):
        self.shop.lost = 1
        self.put(2)
        self.push()
        self.shop.sell(self.item)
        self.put(1)
        self.push()
        # 5 + 3 in Odoo, one of it sold
        self.assertEqual(self.shop.available(self.item), 7)

    def test_changed_while_it_is_decided(self):
        self.shop.sell(self.item)
        self.put(1)
        # between the reading and the second call
        self.shop.before = lambda: setattr(self.shop, "before", lambda: self.shop.sell(self.item))
        self.push()
        self.assertEqual(self.shop.available(self.item), 4)

    def test_the_same_numbers_again_on_purpose(self):
        for quantity in (1, -1, 1, -1):
            self.put(quantity)
            self.push()
        self.assertEqual(
            [row["quantities"][0]["quantity"] for row in self.shop.sent][1:], [6, 5, 6, 5]
        )
        self.assertEqual(self.shop.available(self.item), 5)


@tagged("post_install", "-at_install")
class TestStockSteps(StockCase):
    """Goods are picked before they are delivered."""

    def check_steps(self, steps, source):
        """Have an order taken off once, from its arrival to its delivery."""
        self.warehouse.delivery_steps = steps
        self.backend.shopify_stock_source = source
        self.put(10)
        self.push()
        sale = self.import_one(self.order_of(2))
        done = self.env["stock.picking"]
        while rest := sale.picking_ids - done:
            # any other change, so that the number is sent
            self.put(1)
            self.push()
            level = self.level()
            self.assertEqual(self.shop.available(self.item), 8 + len(done) + 1)
            # on hand, the units of the order are on the shelf until they are picked
            self.assertEqual(level.pending_quantity, 2 if source == "on_hand" and not done else 0)
            rest.move_ids.write({"quantity": 2, "picked": True})
            rest._action_done()
            done |= rest
            self.assertLessEqual(set(done.mapped("state")), {"done"})
        self.assertEqual(len(done), {"pick_ship": 2, "pick_pack_ship": 3}[steps])
        self.push()
        self.assertEqual(self.shop.available(self.item), 8 + len(done))
        self.shop.ship(self.item, units=2)
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 9 + len(done))

    def test_free_to_use_in_two_steps(self):
        self.check_steps("pick_ship", "free")

    def test_free_to_use_in_three_steps(self):
        self.check_steps("pick_pack_ship", "free")

    def test_forecast_in_two_steps(self):
        self.check_steps("pick_ship", "forecast")

    def test_on_hand_in_three_steps(self):
        self.check_steps("pick_pack_ship", "on_hand")

    def test_picked_in_part(self):
        self.warehouse.delivery_steps = "pick_ship"
        self.put(10)
        self.push()
        pick = self.import_one(self.order_of(3)).picking_ids
        pick.move_ids.write({"quantity": 1, "picked": True})
        pick._action_done()
        self.put(1)
        self.push()
        self.assertEqual(self.shop.available(self.item), 8)
        self.assertEqual(self.level().pending_quantity, 0)


@tagged("post_install", "-at_install")
class TestStockKits(StockCase):
    """The order is delivered as other products, the parts of a kit."""

    def setUp(self):
        super().setUp()
        self.parts = [self._product("BOX"), self._product("LID")]

    def sell_kits(self, units=2):
        """Import an order of kits; returns its line and its moves: one box and two lids for each.

        Odoo's manufacturing, which is not there, makes moves like these.
        """
        order_line = self.import_one(self.order_of(units)).order_line
        picking = order_line.order_id.picking_ids
        whole = picking.move_ids
        for product, needed in zip(self.parts, (units, 2 * units), strict=True):
            whole.copy(
                {
                    "product_id": product.id,
                    "product_uom_qty": needed,
                    "picking_id": picking.id,
                    "sale_line_id": order_line.id,
                }
            )
        whole._action_cancel()
        whole.unlink()
        picking.action_confirm()
        picking.action_assign()
        return order_line, picking.move_ids

    def check_taken(self, order_line, **expected):
        """Check what Odoo's quantity leaves out, by the source of the quantity."""
        resource = self.out._resource()
        found = {}
        for source in expected:
            self.backend.shopify_stock_source = source
            found[source] = resource._taken(self.backend, order_line, (self.place.parent_path,))
        self.assertEqual(found, expected)

    def test_kits_whose_parts_nobody_has_reserved(self):
        order_line, _moves = self.sell_kits()
        self.check_taken(order_line, free=0, forecast=2, on_hand=0)

    def test_kits_are_taken_as_far_as_all_their_parts_are_reserved(self):
        self.put(2, product=self.parts[0])
        self.put(2, product=self.parts[1])
        order_line, moves = self.sell_kits()
        self.check_taken(order_line, free=1, forecast=2, on_hand=0)
        self.put(2, product=self.parts[1])
        moves._action_assign()
        self.check_taken(order_line, free=2, forecast=2, on_hand=0)

    def test_kits_that_were_picked_are_off_the_shelf(self):
        self.warehouse.delivery_steps = "pick_ship"
        for product in self.parts:
            self.put(4, product=product)
        order_line, moves = self.sell_kits()
        self.check_taken(order_line, free=2, forecast=2, on_hand=0)
        for move in moves:
            move.write({"quantity": move.product_uom_qty, "picked": True})
        moves.picking_id._action_done()
        self.check_taken(order_line, free=2, forecast=2, on_hand=2)

    def test_kits_sold_by_the_dozen_are_counted_in_their_own_unit(self):
        for product in self.parts:
            self.put(4, product=product)
        order_line, _moves = self.sell_kits()
        # as an order that was imported with another unit of measure
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE sale_order_line SET product_uom_id = %s WHERE id = %s",
            [self.env.ref("uom.product_uom_dozen").id, order_line.id],
        )
        self.env.invalidate_all()
        self.check_taken(order_line, free=24, forecast=24)


@tagged("post_install", "-at_install")
class TestStockBatches(StockCase):
    def many(self, count):
        products = self.env["product.product"]
        for number in range(count):
            product = self._product(f"MANY-{number}")
            self.shop.stock(self.link(product, 100 + number))
            products |= product
        return products

    def change(self, products):
        for product in products:
            self.put(1, product=product)

    def test_calls_and_queries_do_not_grow_with_the_products(self):
        products = self.many(60)
        self.change(products)
        self.push()
        counts = []
        for part in (products[:10], products):
            self.change(part)
            self.env.flush_all()
            before = self.env.cr.sql_log_count
            with self.counted(inventory_set=1):
                self.push()
            counts.append(self.env.cr.sql_log_count - before)
        # what the engine itself asks per record stays below one
        self.assertLess(counts[1] - counts[0], len(products) - 10)

    def test_one_bad_row_does_not_block_the_others(self):
        products = self.many(6)
        self.change(products)
        self.push()
        bad, stale, *good = products
        items = {p: f"gid://shopify/InventoryItem/{100 + n}" for n, p in enumerate(products)}
        self.shop.broken[items[bad]] = "NON_MUTABLE_INVENTORY_ITEM"
        self.shop.sell(items[stale])
        self.change(products)
        # refused, sent without the two, the stale one alone
        with self.counted(inventory_set=3, inventory_levels=1):
            operations = self.push()
        states = {op.res_id: op.state for op in operations}
        self.assertEqual(states[bad.id], "dead")
        self.assertEqual({states[p.id] for p in good} | {states[stale.id]}, {"done"})
        self.assertEqual([self.shop.available(items[p]) for p in good], [2] * 4)
        self.assertEqual(self.shop.available(items[stale]), 1)
        message = operations.filtered(lambda op: op.res_id == bad.id)[-1].message
        self.assertIn("NON_MUTABLE", message)
        self.assertIn("Berlin", message)

    def test_a_refusal_of_everything_is_told_once_for_each(self):
        products = self.many(3)
        self.push()
        self.change(products)
        self.shop._inventory_set = lambda _variables: self.shop._refuse(
            [{"field": ["input", "reason"], "message": "Bad.", "code": "INVALID_REASON"}]
        )
        before = self.out.env["integration.sync.log"].search([("flow_id", "=", self.out.id)])
        with self.counted(inventory_set=1):
            operations = self.push() - before
        self.assertEqual(set(operations.mapped("res_id")), set(products.ids))
        self.assertLessEqual(set(operations.mapped("state")), {"dead", "merged"})

    def test_slowed_down_in_the_middle(self):
        self.put(1)
        self.shop.errors = [None, RateLimitedError("slow", retry_after=1)]
        self.assertEqual(self.push()[-1].state, "pending")
        self.assertEqual(self.push()[-1].state, "done")
        self.assertEqual(self.shop.available(self.item), 1)


@tagged("post_install", "-at_install")
class TestStockProof(StockCase):
    def compare(self, flow=None):
        flow = flow or self.out
        run = self.env["integration.reconciliation"]._start(flow, "manual")
        for _page in range(20):
            self.push(flow)
            if run.state == "done":
                break
        self.assertEqual(run.state, "done", run.message)
        return run

    def test_differences_are_found_and_repaired(self):
        self.put(5)
        self.push()
        self.assertFalse(self.compare().discrepancy_ids)
        self.shop.stock(self.item, available=3)
        run = self.compare()
        self.assertEqual(run.different_count, 1)
        run.discrepancy_ids.action_repair()
        self.push()
        # a till may have sold them a moment ago
        self.assertEqual(self.shop.available(self.item), 3)
        self.assertFalse(self.compare().discrepancy_ids)
        self.wait()
        self.push()
        self.assertEqual(self.shop.available(self.item), 5)
        self.assertFalse(self.compare().discrepancy_ids)

    def test_what_was_sold_is_no_difference(self):
        self.put(5)
        self.push()
        self.shop.sell(self.item)
        self.assertFalse(self.compare().discrepancy_ids)

    def test_what_is_left_to_shopify_is_no_difference(self):
        self.put(5)
        self.push()
        self.shop.stock(self.item, available=40)
        self.level().action_shopify_is_right()
        self.push()
        self.assertFalse(self.compare().discrepancy_ids)
        self.shop.stock(self.item, available=38)
        self.assertFalse(self.compare().discrepancy_ids)

    def test_an_item_that_is_gone_is_listed(self):
        self.put(5)
        self.push()
        self.shop.levels.clear()
        self.assertEqual(self.compare().missing_outside_count, 1)


@tagged("post_install", "-at_install")
class TestStockIn(StockCase):
    def setUp(self):
        super().setUp()
        self.third = self.env["stock.warehouse"].create({"name": "3PL", "code": "TPL"})
        self.shelf = self.third.lot_stock_id
        self.map_location(PARIS, self.shelf, "shopify")
        self.into = self.backend.flow_ids.filtered(lambda flow: flow.resource == "inventory")
        self.into.enabled = True
        self.gid = self.shop.level_id(self.item, PARIS)

    def count(self):
        """Be told of the level; returns the operation."""
        operations = self.env["integration.sync.log"]._append(
            self.into, [Change(self.gid)], "webhook"
        )
        self.push(self.into)
        return operations

    def present(self):
        return self.product.with_context(location=self.shelf.id).qty_available

    def test_what_others_count_is_stock_here_and_not_sent_back(self):
        self.shop.stock(self.item, PARIS, available=7, committed=1)
        operation = self.count()
        self.assertEqual(operation.state, "done", operation.message)
        self.assertEqual(self.present(), 8)
        move = self.env["stock.move"].search(
            [("product_id", "=", self.product.id), ("is_inventory", "=", True)]
        )
        self.assertIn("Counted in Demo shop", move.inventory_name)
        self.assertIn("8 counted there", self.level(PARIS).explanation)
        self.push()
        self.assertEqual(self.shop.available(self.item, PARIS), 7)
        self.assertFalse([s for s in self.shop.sent if s["quantities"][0]["locationId"] == PARIS])
        self.count()
        self.assertEqual(len(move.search([("product_id", "=", self.product.id)])), 1)
        self.shop.stock(self.item, PARIS, available=2)
        self.count()
        self.assertEqual(self.present(), 2)

    def test_goods_that_left_are_not_taken_off_twice(self):
        self.shop.stock(self.item, PARIS, available=5)
        self.count()
        self.shop.sell(self.item, PARIS, 2)
        self.backend.shopify_warehouse_id = self.third
        sale = self.import_one(order(1001, [line(11, "10.00", 2)], "20.00"))
        self.count()
        self.assertEqual(self.present(), 5)
        self.shop.ship(self.item, PARIS, 2)
        self.count()
        # Odoo has yet to deliver them
        self.assertEqual(self.present(), 5)
        picking = sale.picking_ids
        picking.move_ids.write({"quantity": 2, "picked": True})
        picking._action_done()
        self.assertEqual(self.present(), 3)
        self.shop.levels[self.item, PARIS]["at"] += 1
        self.count()
        self.assertEqual(self.present(), 3)

    def test_goods_that_left_before_they_were_picked(self):
        self.third.delivery_steps = "pick_ship"
        self.shop.stock(self.item, PARIS, available=5)
        self.count()
        self.shop.sell(self.item, PARIS, 2)
        self.backend.shopify_warehouse_id = self.third
        sale = self.import_one(order(1001, [line(11, "10.00", 2)], "20.00"))
        self.shop.ship(self.item, PARIS, 2)
        self.count()
        # Odoo has yet to pick and to deliver them
        self.assertEqual(self.present(), 5)
        for _step in ("pick", "deliver"):
            picking = sale.picking_ids.filtered(lambda picking: picking.state != "done")
            picking.move_ids.write({"quantity": 2, "picked": True})
            picking._action_done()
        self.shop.levels[self.item, PARIS]["at"] += 1
        self.count()
        self.assertEqual(self.present(), 3)

    def test_locations_of_odoo_are_left_out(self):
        operations = self.env["integration.sync.log"]._append(
            self.into, [Change(self.shop.level_id(self.item, BERLIN))], "webhook"
        )
        self.push(self.into)
        self.assertEqual(operations.state, "skipped")
        body = b'{"admin_graphql_api_id": "gid://shopify/InventoryLevel/1", "location_id": %s}'
        connector = self.backend._connector()
        topic = "inventory_levels/update"
        found = connector._parse_webhook(self.backend, topic, body % b"1")
        self.assertIsNone(found.resource)
        found = connector._parse_webhook(self.backend, topic, body % b"2")
        self.assertEqual(found.resource, "inventory")

    def test_listing_and_proof(self):
        self.shop.stock(self.item, PARIS, available=4)
        self.env["integration.sync.log"]._append_paged(self.into, "listing", "schedule")
        self.push(self.into)
        self.push(self.into)
        self.assertEqual(self.present(), 4)
        self.put(3, place=self.shelf)
        run = TestStockProof.compare(self, self.into)
        self.assertEqual(run.different_count, 1)

    def test_lots_are_left_to_a_person(self):
        self.product.tracking = "lot"
        self.shop.stock(self.item, PARIS, available=4)
        operation = self.count()
        self.assertEqual(operation.state, "dead")
        self.assertIn("by hand", operation.message)


@tagged("post_install", "-at_install")
class TestStockSettings(StockCase):
    def test_page_of_the_backend(self):
        with Form(self.backend) as form:
            form.shopify_stock_buffer = 2
        self.assertEqual(self.backend.shopify_stock_buffer, 2)
        action = self.backend.action_shopify_stock_levels()
        self.assertEqual(action["domain"], [("backend_id", "=", self.backend.id)])
        self.assertTrue(self.backend.shopify_stock_on)
        self.out.enabled = False
        self.assertFalse(self.backend.shopify_stock_on)
        with self.assertRaisesRegex(UserError, "switched off"):
            self.backend.action_shopify_send_stock()

    def test_place_is_chosen_among_those_of_the_warehouse(self):
        self.assertEqual(self.berlin.shopify_place_id, self.place)
        self.berlin.shopify_place_id = False
        self.assertFalse(self.berlin.resource_ref)
        self.berlin.shopify_place_id = self.place
        self.assertEqual(self.berlin.resource_ref, self.place)

    def test_smart_button_says_what_shops_can_sell(self):
        template = self.product.product_tmpl_id
        self.assertEqual((template.shopify_level_count, template.shopify_sellable), (0, 0))
        self.put(5)
        self.push()
        template.invalidate_recordset()
        self.assertEqual((template.shopify_level_count, template.shopify_sellable), (1, 5))
        action = template.action_shopify_levels()
        levels = self.env[action["res_model"]].search(action["domain"])
        self.assertEqual(levels.mapped("confirmed_quantity"), [5])

    def test_technical_user_needs_no_more_than_the_groups(self):
        self.put(5)
        self.assertFalse(self.backend._worker_env().su)
        self.push()
        self.assertEqual(self.shop.available(self.item), 5)

    def test_reference_and_reason(self):
        self.put(5)
        self.backend.shopify_stock_reason = "other"
        self.push()
        sent = self.shop.sent[-1]
        self.assertEqual(sent["reason"], "other")
        self.assertRegex(sent["referenceDocumentUri"], r"^http.*/odoo/product.product/\d+$")
        picking = self.env["stock.picking"].create(
            {
                "picking_type_id": self.warehouse.in_type_id.id,
                "location_id": self.env.ref("stock.stock_location_suppliers").id,
                "location_dest_id": self.place.id,
                "move_ids": [
                    (
                        0,
                        0,
                        {
                            "product_id": self.product.id,
                            "product_uom_qty": 4,
                            "location_id": self.env.ref("stock.stock_location_suppliers").id,
                            "location_dest_id": self.place.id,
                        },
                    )
                ],
            }
        )
        picking.action_confirm()
        picking.move_ids.write({"quantity": 4, "picked": True})
        picking._action_done()
        self.push()
        self.assertEqual(self.shop.available(self.item), 9)
        self.assertTrue(
            self.shop.sent[-1]["referenceDocumentUri"].endswith(f"/stock.picking/{picking.id}")
        )
