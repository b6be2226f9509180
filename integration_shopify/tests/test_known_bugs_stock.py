"""Bugs other connectors had in what they sent of stock (by their change logs), as tests."""

from odoo.tests import tagged

from .test_stock import BERLIN, StockCase


@tagged("post_install", "-at_install")
class TestKnownBugsStock(StockCase):
    def receive(self, quantity):
        """Plan a receipt; returns it."""
        supplier = self.env.ref("stock.stock_location_suppliers")
        move = self.env["stock.move"].create(
            {
                "product_id": self.product.id,
                "product_uom_qty": quantity,
                "location_id": supplier.id,
                "location_dest_id": self.place.id,
            }
        )
        move._action_confirm()
        return move

    def test_16_forecast_stock_after_manufacturing_and_receipts(self):
        """What is to come was not sent when it was planned, nor when it came."""
        self.backend.shopify_stock_source = "forecast"
        self.push()
        move = self.receive(4)
        self.push()
        self.assertEqual(self.shop.available(self.item), 4)
        move.product_uom_qty = 6
        self.push()
        self.assertEqual(self.shop.available(self.item), 6)
        move.write({"quantity": 6, "picked": True})
        move._action_done()
        with self.counted():
            self.push()
        self.receive(3)._action_cancel()
        self.push()
        self.assertEqual(self.shop.available(self.item), 6)

    def test_17_stock_of_companies_is_kept_apart(self):
        """Locations of the other company were ignored, or its stock was sold."""
        self.put(5)
        company = self.env["res.company"].create({"name": "Other"})
        self.env.user.company_ids |= company
        backend = self.env["integration.backend"].create(
            {
                "name": "Other shop",
                "connector": "shopify",
                "base_url": "other.myshopify.com",
                "company_id": company.id,
            }
        )
        backend.write({"state": "active", "shopify_domain": "other.myshopify.com"})
        place = self.env["stock.warehouse"].search([("company_id", "=", company.id)]).lot_stock_id
        self.link(self.product, 9, backend)
        item = "gid://shopify/InventoryItem/9"
        self.shop.stock(item)
        self.map_location(BERLIN, place, backend=backend)
        flow = backend._shopify_stock_flow()
        flow.enabled = True
        self.env["stock.quant"].with_company(company)._update_available_quantity(
            self.product, place, 2
        )
        self.push()
        self.push(flow)
        self.assertEqual(self.shop.available(self.item), 5)
        self.assertEqual(self.shop.available(item), 2)

    def test_20_one_bad_product_blocks_no_other(self):
        cup = self._product("CUP")
        bad = self.link(cup, 2)
        self.shop.stock(bad)
        self.shop.broken[bad] = "INVALID_INVENTORY_ITEM"
        self.put(3)
        self.put(3, product=cup)
        self.push()
        self.assertEqual(self.shop.available(self.item), 3)
