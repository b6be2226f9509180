"""Two shops of two companies in one database: equal SKUs and numbers, and nothing gets across."""

from types import SimpleNamespace

import pytest
import requests
from runtime import demo
from runtime.rpc import RpcError

from tests.simulators.shopify.client import ShopSimulator

from .conftest import ConnectedShop, wait_until

MUG = {"sku": "MUG-350"}
BUYER = {"firstName": "Anna", "lastName": "Berg", "email": "anna@example.com"}
#: Models with rows of one shop, that nobody of the other company may see.
OF_A_SHOP = (
    "integration.backend",
    "integration.binding",
    "integration.exchange",
    "integration.flow",
    "integration.mapping",
    "integration.shopify.agreement",
    "integration.shopify.fixed.price",
    "integration.shopify.market",
    "integration.shopify.setting.group",
    "integration.shopify.transaction",
    "integration.sync.log",
    "integration.webhook.event",
    "sale.order",
    "stock.picking",
)
ROLES = (
    "base.group_user",
    "integration_base.group_integration_manager",
    "sales_team.group_sale_manager",
    "stock.group_stock_manager",
    "product.group_product_manager",
)


class Side(ConnectedShop):
    """A shop, its backend, and ``call`` as a person of its company."""

    def flow(self, resource, direction):
        domain = [
            ("backend_id", "=", self.backend),
            ("resource", "=", resource),
            ("direction", "=", direction),
        ]
        (found,) = self.call("integration.flow", "search", domain)
        return found

    def switch_on(self, resource, direction):
        self.call("integration.flow", "write", [self.flow(resource, direction)], {"enabled": True})

    def sales(self):
        """Names of the orders of this shop in Odoo, with their company."""
        return dict(
            self.odoo.sql(
                "SELECT b.external_id, o.company_id FROM integration_binding b"
                "  JOIN sale_order o ON o.id = b.res_id"
                " WHERE b.backend_id = %s AND b.resource = 'order'",
                [self.backend],
            )
        )

    def made(self, effect):
        return self.shop.calls()["effects"].get(effect, 0)


def person(odoo, company, login):
    """Create a manager of one company only; returns how this person calls methods."""
    groups = [
        odoo.sql(
            "SELECT res_id FROM ir_model_data WHERE module = %s AND name = %s", xmlid.split(".")
        )[0][0]
        for xmlid in ROLES
    ]
    odoo.call(
        "res.users",
        "create",
        [
            {
                "name": login,
                "login": login,
                "password": login,
                "company_id": company,
                "company_ids": [(6, 0, [company])],
                "group_ids": [(6, 0, groups)],
            }
        ],
    )
    return odoo.session(login).call


def administrator(odoo, company):
    """Return how the administrator calls methods in one company."""

    def call(model, method, *arguments, **keywords):
        context = {**keywords.pop("context", {}), "allowed_company_ids": [company]}
        return odoo.call(model, method, *arguments, context=context, **keywords)

    return call


@pytest.fixture(scope="module")
def sides(odoo_server, shop_simulator):
    """Both shops, connected, with the same catalogue and one product in Odoo for both."""
    odoo = odoo_server(workers=2)
    (first,) = odoo.sql("SELECT id FROM res_company ORDER BY id LIMIT 1")[0]
    ((euro, country, template),) = odoo.sql(
        "SELECT c.currency_id, c.account_fiscal_country_id, c.chart_template"
        "  FROM res_company c WHERE c.id = %s",
        [first],
    )
    (second,) = odoo.call(
        "res.company",
        "create",
        [{"name": "Second Company", "currency_id": euro, "country_id": country}],
    )
    (admin,) = odoo.sql("SELECT id FROM res_users WHERE login = 'admin'")[0]
    odoo.call("res.users", "write", [admin], {"company_ids": [(4, second)]})
    call = administrator(odoo, second)
    call("account.chart.template", "try_loading", template or "generic_coa", second, False)
    # the installation makes one for the first company only
    call("stock.warehouse", "create", [{"name": "Second", "code": "SEC", "company_id": second}])
    found = []
    for number, company in enumerate((first, second), start=1):
        service = shop_simulator()
        shop = ShopSimulator(service.url)
        secret = f"secret-of-shop-{number}"
        shop.configure(
            costBucket=20000,
            costRestore=1000,
            shop=f"shop-{number}",
            name=f"Shop {number}",
            clientSecret=secret,
            webhookBackoff=[0.5],
        )
        call = administrator(odoo, company)
        demo.prepare_company(call)
        demo.create_products(call, service.url)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(demo.CREDENTIALS, "client_secret", secret)
            backend = demo.connect_backend(call, odoo.url, service.url)
        staff = person(odoo, company, f"staff-{number}")
        found.append(
            Side(shop=shop, odoo=odoo, backend=backend, company=company, call=staff, secret=secret)
        )
    return SimpleNamespace(first=found[0], second=found[1], both=found)


@pytest.fixture(scope="module")
def sold(sides):
    """One order of the same number, product and buyer in each shop."""
    orders = [
        side.shop.place_order(lines=[{**MUG, "quantity": number}], customer=BUYER)
        for number, side in enumerate(sides.both, start=1)
    ]
    for side in sides.both:
        side.settle()
        assert side.operations("dead") == []
    assert orders[0]["name"] == orders[1]["name"]
    return orders


def test_each_company_gets_the_orders_of_its_shop(sides, sold):
    for side, order in zip(sides.both, sold, strict=True):
        assert side.sales() == {order["id"]: side.company}
    rows = sides.first.odoo.sql(
        "SELECT o.company_id, w.company_id, l.product_uom_qty, t.default_code, p.company_id"
        "  FROM sale_order o JOIN stock_warehouse w ON w.id = o.warehouse_id"
        "  JOIN sale_order_line l ON l.order_id = o.id"
        "  JOIN product_product t ON t.id = l.product_id"
        "  JOIN res_partner p ON p.id = o.partner_id"
        " WHERE t.default_code = 'MUG-350' ORDER BY o.company_id"
    )
    for (of_order, of_warehouse, units, _sku, of_partner), side in zip(
        rows, sides.both, strict=True
    ):
        assert of_order == of_warehouse == side.company
        assert of_partner in (None, side.company)
        assert units == sides.both.index(side) + 1
    # one product of Odoo, sold by both
    assert sides.first.odoo.sql(
        "SELECT count(*) FROM product_product WHERE default_code = 'MUG-350'"
    ) == [(1,)]


def test_shipments_reach_their_own_shop(sides, sold):
    before = [side.made("fulfillments") for side in sides.both]
    second = sides.second
    (picking,) = second.odoo.sql(
        "SELECT p.id FROM stock_picking p JOIN sale_order o ON o.id = p.sale_id"
        " WHERE o.company_id = %s AND p.state <> 'cancel'",
        [second.company],
    )[0]
    moves = second.call("stock.move", "search_read", [("picking_id", "=", picking)], ["id"])
    for move in moves:
        second.call("stock.move", "write", [move["id"]], {"quantity": 2, "picked": True})
    second.call("stock.picking", "button_validate", [picking], context={"skip_backorder": True})
    wait_until(lambda: second.made("fulfillments") == before[1] + 1, 60)
    for side in sides.both:
        side.settle()
    assert sides.first.made("fulfillments") == before[0]
    assert second.shop.order(sold[1]["name"])["fulfillmentStatus"] == "FULFILLED"
    assert sides.first.shop.order(sold[0]["name"])["fulfillmentStatus"] == "UNFULFILLED"


def test_settings_are_those_of_each_shop(sides):
    sides.second.shop.change_location(name="Only the second has it", city="Bonn")
    sides.second.shop.change_market(name="Only the second sells here", currency="USD")
    for side in sides.both:
        side.settle()

    def names(side, model, field):
        rows = side.call(model, "search_read", [("backend_id", "=", side.backend)], [field])
        return {row[field] for row in rows}

    wait_until(
        lambda: (
            "Only the second has it" in names(sides.second, "integration.mapping", "external_label")
        )
    )
    wait_until(
        lambda: (
            "Only the second sells here"
            in names(sides.second, "integration.shopify.market", "name")
        )
    )
    assert "Only the second has it" not in names(
        sides.first, "integration.mapping", "external_label"
    )
    assert names(sides.first, "integration.shopify.market", "name") == {"Europe", "Switzerland"}


def test_prices_of_one_product_in_two_shops(sides):
    """Both shops sell the product; each gets the price of its own company's list."""
    for side in sides.both:
        side.switch_on("product", "in")
        side.call("integration.flow", "action_read_changes", [side.flow("product", "in")])
        side.settle()
        wait_until(
            lambda side=side: side.odoo.sql(
                "SELECT 1 FROM integration_binding WHERE backend_id = %s AND resource = 'variant'",
                [side.backend],
            )
        )
        side.switch_on("price", "out")
    (product,) = sides.first.odoo.sql(
        "SELECT id, product_tmpl_id FROM product_product WHERE default_code = 'MUG-350'"
    )
    prices = {}
    for side, price in zip(sides.both, (21.5, 23.0), strict=True):
        (chf,) = side.odoo.sql("SELECT id FROM res_currency WHERE name = 'CHF'")[0]
        (pricelist,) = side.call(
            "product.pricelist",
            "create",
            [{"name": "Swiss", "currency_id": chf, "company_id": side.company}],
        )
        (row,) = side.call(
            "integration.mapping",
            "search",
            [("backend_id", "=", side.backend), ("kind", "=", "price_list")],
        )
        side.call("integration.mapping", "write", [row], {"res_id": pricelist})
        side.call(
            "product.pricelist.item",
            "create",
            [
                {
                    "pricelist_id": pricelist,
                    "applied_on": "0_product_variant",
                    "product_tmpl_id": product[1],
                    "product_id": product[0],
                    "compute_price": "fixed",
                    "fixed_price": price,
                }
            ],
        )
        prices[side.backend] = {"MUG-350": [f"{price:.2f}", None]}

    def fixed(side):
        (found,) = (
            row["priceLists"][0]["fixed"]
            for row in side.shop.markets()
            if row["name"] == "Switzerland"
        )
        return found

    for side in sides.both:
        wait_until(lambda side=side: fixed(side) == prices[side.backend], 60)
        side.settle()
        assert side.operations("dead") == []
    calls = [side.calls("PriceListPricesAdd") for side in sides.both]
    assert calls == [1, 1]


def test_stock_of_one_product_in_two_companies(sides):
    """Each shop sells what lies in the warehouse of its own company."""
    (product,) = sides.first.odoo.sql(
        "SELECT id FROM product_product WHERE default_code = 'MUG-350'"
    )[0]
    places = {}
    for side in sides.both:
        places[side.backend] = side.odoo.sql(
            "SELECT lot_stock_id FROM stock_warehouse WHERE company_id = %s ORDER BY id LIMIT 1",
            [side.company],
        )[0][0]
        side.count({product: 40 + side.company}, places[side.backend])
        side.send_stock("MUG-350", places[side.backend])
    sold = {side.backend: side.available("MUG-350") for side in sides.both}
    for side in sides.both:
        free = side.call(
            "product.product",
            "read",
            [product],
            ["free_qty"],
            context={"location": places[side.backend], "allowed_company_ids": [side.company]},
        )
        assert sold[side.backend] == free[0]["free_qty"]
    assert len(set(sold.values())) == 2
    first, second = sides.both
    before = [side.calls("InventorySet") for side in sides.both]
    second.count({product: 90}, places[second.backend])
    wait_until(lambda: second.available("MUG-350") > sold[second.backend], 60)
    for side in sides.both:
        side.settle()
        assert side.operations("dead") == []
    assert first.available("MUG-350") == sold[first.backend]
    assert [side.calls("InventorySet") for side in sides.both] == [before[0], before[1] + 1]


def test_customers_of_two_shops(sides):
    """A buyer of both shops, and what only one of them says of somebody."""

    def contact(side, gid):
        rows = side.odoo.sql(
            "SELECT p.id, p.company_id, p.name FROM integration_binding b"
            "  JOIN res_partner p ON p.id = b.res_id"
            " WHERE b.backend_id = %s AND b.resource = 'customer' AND b.external_id = %s",
            [side.backend, gid],
        )
        return rows[0] if rows else (None, None, None)

    customers = []
    for side in sides.both:
        side.switch_on("customer", "in")
        side.call("integration.backend", "action_check_subscriptions", [side.backend])
        wait_until(
            lambda side=side: (
                "CUSTOMERS_UPDATE" in {row["topic"] for row in side.shop.get("subscriptions")}
            )
        )
        body = {
            "firstName": "Olga",
            "lastName": f"Shop {side.company}",
            "email": "olga@example.com",
        }
        customers.append(side.shop.post("customers", body)["id"])
        side.settle()
    found = [contact(*pair) for pair in zip(sides.both, customers, strict=True)]
    for (_id, company, name), side in zip(found, sides.both, strict=True):
        assert company == side.company
        assert name == f"Olga Shop {side.company}"
    first, second = sides.both
    change = {"customer": customers[1], "set": {"lastName": "Moved"}}
    second.shop.post("customers/update", change)
    wait_until(lambda: contact(second, customers[1])[2] == "Olga Moved", 60)
    for side in sides.both:
        side.settle()
        assert side.operations("dead") == []
        assert side.calls("CustomerUpdate") == 0
    assert contact(first, customers[0]) == found[0]


def test_people_of_one_company_see_nothing_of_the_other(sides, sold):
    for side, other in (sides.both, sides.both[::-1]):
        for model in OF_A_SHOP:
            table = model.replace(".", "_")
            rows = side.odoo.sql(
                f"SELECT id FROM {table} WHERE company_id = %s LIMIT 5", [other.company]
            )
            assert rows or model == "integration.shopify.fixed.price", f"no {model} to look for"
            ids = [row[0] for row in rows]
            assert side.call(model, "search_count", [("id", "in", ids)]) == 0, model
            if ids:
                with pytest.raises(RpcError):
                    side.call(model, "read", ids, ["display_name"])
        with pytest.raises(RpcError):
            side.call("integration.backend", "action_shopify_read_settings", [other.backend])


def test_notifications_of_another_shop_are_refused(sides, sold):
    """Sent to the wrong backend, they are not signed for it, or name another shop."""
    # of what was refused only the fact is kept, without topic or body
    stored = (
        "SELECT backend_id, topic, count(*) FROM integration_webhook_event"
        " WHERE topic IS NOT NULL GROUP BY 1, 2"
    )
    events = sorted(sides.first.odoo.sql(stored))
    (delivery,) = [
        row for row in sides.first.shop.webhook_log() if row["topic"] == "orders/create"
    ][:1]
    (token,) = sides.first.odoo.sql(
        "SELECT webhook_token FROM integration_backend WHERE id = %s", [sides.second.backend]
    )[0]
    address = f"{sides.first.odoo.url}/integration/webhook/{token}"
    # the first shop, with its own secret
    sides.first.shop.send_webhook("orders/create", body=delivery["body"], uri=address)
    # the second shop's secret, but of the first one's name
    sides.second.shop.configure(shop="shop-1")
    sides.second.shop.send_webhook("orders/create", body=delivery["body"], uri=address)
    # its name is written when it is sent
    sides.second.shop.wait_for_webhooks()
    sides.second.shop.configure(shop="shop-2")
    for side in sides.both:
        side.settle()
    states = [
        row["httpStatus"]
        for side in sides.both
        for row in side.shop.webhook_log()
        if row["uri"] == address and (row["httpStatus"] or 0) >= 400
    ]
    assert len(states) >= 2
    assert sorted(sides.first.odoo.sql(stored)) == events
    assert requests.post(address, data=b"{}", timeout=10).status_code >= 400


def test_bug_10_shop_with_another_address(sides):
    """Notifications name the shop's new address, and were refused for ever."""
    second = sides.second
    second.shop.configure(shop="renamed-shop")
    order = second.shop.place_order(lines=[MUG], customer=BUYER)
    second.shop.wait_for_webhooks(5)
    administrator(second.odoo, second.company)(
        "integration.backend", "action_test_connection", [second.backend]
    )
    later = second.shop.place_order(lines=[MUG], customer=BUYER)
    wait_until(lambda: later["id"] in second.sales(), 60)
    second.poll()
    second.settle()
    assert order["id"] in second.sales()
    assert set(sides.first.sales().values()) <= {sides.first.company}
