"""What the shop is set up with becomes value mappings, and stays in line with it."""

from odoo.exceptions import ValidationError
from odoo.tests import BaseCase, tagged

from odoo.addons.integration_base.lib.contract import validate
from odoo.addons.integration_base.lib.errors import InvalidPayloadError, MissingValue
from odoo.addons.integration_base.lib.records import Change

from ..lib import settings, webhook
from .common import FakeShop, ShopifyCase, connection

LOCATION = "gid://shopify/Location/"
LIST = "gid://shopify/PriceList/"
MARKET = "gid://shopify/Market/"


def location(number, name, **values):
    """Return a location as the API returns it; ``values`` are of its address, or its flags."""
    place = {"address1": "", "zip": "", "city": "", "countryCode": "DE"}
    flags = {"isActive": True, "isFulfillmentService": False}
    return {
        "id": f"{LOCATION}{number}",
        "name": name,
        **{key: values.get(key, default) for key, default in flags.items()},
        "address": {key: values.get(key, default) for key, default in place.items()},
    }


def price_list(number, name, currency="EUR", percent=0):
    """Return a price list as the API returns it."""
    kind = "PERCENTAGE_DECREASE" if percent < 0 else "PERCENTAGE_INCREASE"
    return {
        "id": f"{LIST}{number}",
        "name": name,
        "currency": currency,
        "parent": {"adjustment": {"type": kind, "value": float(abs(percent))}},
        "catalog": {
            "id": f"gid://shopify/MarketCatalog/{number}",
            "title": f"Catalog {name}",
            "status": "ACTIVE",
        },
    }


def market(number, name, *lists, status="ACTIVE", currency="EUR"):
    """Return a market as the API returns it; ``lists`` are numbers of price lists."""
    return {
        "id": f"{MARKET}{number}",
        "name": name,
        "status": status,
        "currencySettings": {"baseCurrency": {"currencyCode": currency}},
        "catalogs": connection(
            *(
                {
                    "id": f"gid://shopify/MarketCatalog/{gid}",
                    "status": "ACTIVE",
                    "priceList": {"id": f"{LIST}{gid}"},
                }
                for gid in lists
            )
        ),
    }


class SettingsShop(FakeShop):
    """A shop with settings, whose lists come in pages as small as a test likes.

    :ivar page: rows of a page, whatever was asked for.
    :ivar denied: documents that the app may not run.
    """

    def __init__(self):
        super().__init__()
        self.page = 250
        self.name, self.currency = "Demo", "USD"
        self.locations = [location(1, "Berlin"), location(2, "Paris")]
        self.currencies = ["EUR", "CHF"]
        self.price_lists = [price_list(1, "Switzerland", "CHF")]
        self.markets = [market(1, "Switzerland", 1, currency="CHF")]
        self.publications = ["Online Store", "Point of Sale"]
        self.collections = ["Summer", "Winter"]
        self.locales = [("en", True, True), ("fr", False, True)]
        self.types = ["Shirts"]

    def _paged(self, rows, variables):
        start = int(variables.get("after") or 0)
        end = start + min(self.page, variables["first"])
        return {
            "nodes": rows[start:end],
            "pageInfo": {"hasNextPage": end < len(rows), "endCursor": str(end)},
        }

    def _locations(self, variables):
        return {"locations": self._paged(self.locations, variables)}

    def _shop_settings(self, variables):
        rows = [
            {"currencyCode": code, "currencyName": f"{code} name", "enabled": True}
            for code in self.currencies
        ]
        return {
            "shop": {
                "name": self.name,
                "currencyCode": self.currency,
                "ianaTimezone": "Europe/Berlin",
                "currencySettings": self._paged(rows, variables),
            }
        }

    def _markets(self, variables):
        return {"markets": self._paged(self.markets, variables)}

    def _market_catalogs(self, variables):
        found = next(row for row in self.markets if row["id"] == variables["id"])
        return {"market": {"id": found["id"], "catalogs": connection(*found["all"])}}

    def _price_lists(self, variables):
        return {"priceLists": self._paged(self.price_lists, variables)}

    def _publications(self, variables):
        rows = [
            {
                "id": f"gid://shopify/Publication/{number}",
                "autoPublish": number == 1,
                "catalog": {"title": name},
            }
            for number, name in enumerate(self.publications, start=1)
        ]
        return {"publications": self._paged(rows, variables)}

    def _collections(self, variables):
        rows = [
            {"id": f"gid://shopify/Collection/{name}", "title": name, "handle": name.lower()}
            for name in self.collections
        ]
        return {"collections": self._paged(rows, variables)}

    def _shop_locales(self, _variables):
        return {
            "shopLocales": [
                {"locale": code, "name": code.upper(), "primary": primary, "published": published}
                for code, primary, published in self.locales
            ]
        }

    def _product_types(self, variables):
        return {"productTypes": self._paged(self.types, variables)}


class SettingsCase(ShopifyCase):
    def setUp(self):
        super().setUp()
        self.shop = SettingsShop()
        self.settings = self.backend.flow_ids.filtered(lambda flow: flow.resource == "setting")

    def read_groups(self, *codes, force=False):
        """Read groups, all without; returns the operations by code."""
        codes = codes or tuple(settings.GROUPS)
        operations = self.env["integration.sync.log"]._append(
            self.settings, [Change(code) for code in codes], "webhook", force=force
        )
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.settings.id)
        self.env.invalidate_all()
        self.assertEqual(
            operations.mapped("state"), ["done"] * len(codes), operations.mapped("message")
        )
        return {operation.external_id: operation for operation in operations}

    def rows(self, kind):
        """Return the value mappings of a kind, by what people call them."""
        return {
            row.external_label: row
            for row in self.env["integration.mapping"].search(
                [("backend_id", "=", self.backend.id), ("kind", "=", kind)]
            )
        }


class TestPureSettings(BaseCase):
    def test_details_for_people(self):
        data = validate(
            settings.Markets,
            {
                "group": "market",
                "priceLists": [price_list(1, "EU", percent=-10), price_list(2, "B2B", "USD")],
                "markets": [
                    {**row, "catalogs": row["catalogs"]["nodes"]}
                    for row in (market(1, "Germany", 1), market(2, "Austria", 1), market(3, "US"))
                ],
            },
            "markets",
        )
        self.assertEqual(
            [(row.label, row.note) for row in settings.values(data)],
            [("EU", "EUR, -10.0 %, Austria, Germany"), ("B2B", "USD, Catalog B2B")],
        )

    def test_closed_catalogs_do_not_count(self):
        row = market(1, "Germany", 1)
        row["catalogs"] = row["catalogs"]["nodes"]
        row["catalogs"][0]["status"] = "DRAFT"
        self.assertEqual(settings.Market.model_validate(row).price_lists, [])

    def test_broken_answers_are_refused(self):
        with self.assertRaises(InvalidPayloadError):
            validate(
                settings.Locations, {"group": "location", "locations": [{"id": "x"}]}, "locations"
            )

    def test_pages_end_even_if_the_cursor_stays(self):
        calls = []

        def execute(_name, variables):
            calls.append(variables["after"])
            page = {"hasNextPage": True, "endCursor": "same"}
            return {"rows": {"nodes": [len(calls)], "pageInfo": page}}

        self.assertEqual(list(settings.read_all(execute, "x", "rows")), [1, 2])

    def test_notifications_name_the_group(self):
        self.assertEqual(
            webhook.read("locations/update", b'{"id": 5}'), ("setting", Change("location"))
        )
        self.assertEqual(webhook.read("locales/create", b"{}"), ("setting", Change("locale")))
        with self.assertRaises(InvalidPayloadError):
            webhook.read("markets/update", b"[]")


@tagged("post_install", "-at_install")
class TestSettings(SettingsCase):
    def test_everything_is_read_once(self):
        self.shop.page = 1
        self.read_groups()
        kinds = ("location", "currency", "price_list", "publication", "collection", "locale")
        self.assertEqual(
            {kind: sorted(self.rows(kind)) for kind in kinds},
            {
                "location": ["Berlin", "Paris"],
                "currency": ["CHF", "EUR", "USD"],
                "price_list": ["Switzerland"],
                "publication": ["Online Store", "Point of Sale"],
                "collection": ["Summer", "Winter"],
                "locale": ["EN", "FR"],
            },
        )
        self.assertEqual(self.rows("product_category").keys(), {"Shirts"})
        self.assertEqual(self.backend.shopify_shop_name, "Demo")
        found = self.backend.shopify_market_ids
        self.assertEqual((found.name, found.open, found.currency), ("Switzerland", True, "CHF"))
        self.assertEqual(found.price_list_ids, self.rows("price_list")["Switzerland"])
        # a value that was only listed waits for nobody
        self.assertEqual(self.backend.unmapped_count, 0)

    def test_unchanged_settings_write_nothing(self):
        self.read_groups()
        before = self.rows("location")["Berlin"].write_date
        groups = self.backend.shopify_setting_ids
        counts = {group.code: group.count for group in groups}
        calls = len(self.shop.calls)
        self.read_groups("location")
        self.assertEqual(len(self.shop.calls), calls + 1)
        self.assertEqual(self.rows("location")["Berlin"].write_date, before)
        self.assertEqual({group.code: group.count for group in groups}, counts)

    def test_names_follow_and_what_is_gone_stays(self):
        self.read_groups("location")
        berlin = self.rows("location")["Berlin"]
        place = self.env["stock.warehouse"].search([], limit=1).lot_stock_id
        berlin.resource_ref = f"stock.location,{place.id}"
        self.shop.locations = [location(2, "Lyon", city="Lyon", isActive=False)]
        operation = self.read_groups("location")["location"]
        rows = self.rows("location")
        self.assertEqual(rows.keys(), {"Berlin", "Lyon"})
        self.assertTrue(rows["Berlin"].gone_at)
        self.assertEqual(rows["Berlin"].resource_ref, place, "orders may still name it")
        self.assertEqual(rows["Lyon"].external_note, "Lyon, DE, not active")
        self.assertIn("Berlin no longer exists in the shop", operation.message or "")
        group = self.backend.shopify_setting_ids
        self.assertEqual((group.count, group.mapped_count, group.gone_count), (1, 0, 1))
        self.shop.locations.append(location(1, "Berlin"))
        self.read_groups("location")
        self.assertFalse(rows["Berlin"].gone_at)

    def test_locations_are_recognised_by_name_or_address(self):
        Warehouse = self.env["stock.warehouse"]
        partner = self.env["res.partner"].create(
            {
                "name": "Depot",
                "street": "Rue 5",
                "zip": "75001",
                "country_id": self.env.ref("base.fr").id,
            }
        )
        berlin = Warehouse.create({"name": "Berlin", "code": "BER"})
        depot = Warehouse.create({"name": "Depot", "code": "DEP", "partner_id": partner.id})
        foreign = self.env["res.company"].create({"name": "Other"})
        Warehouse.search([("company_id", "=", foreign.id)]).write({"name": "Rome"})
        self.shop.locations = [
            location(1, "berlin"),
            location(2, "Paris", address1="rue 5", zip="75001", countryCode="FR"),
            location(3, "Rome"),
            location(4, "Berlin"),
            location(5, "Depot", isFulfillmentService=True),
        ]
        self.read_groups("location")
        found = {
            row.external_value: row.resource_ref
            for row in self.env["integration.mapping"].search([("kind", "=", "location")])
        }
        self.assertEqual(found[f"{LOCATION}1"], berlin.lot_stock_id)
        self.assertEqual(found[f"{LOCATION}2"], depot.lot_stock_id)
        self.assertFalse(found[f"{LOCATION}3"], "of another company")
        self.assertFalse(found[f"{LOCATION}4"], "one stock is not sold at two locations")
        self.assertFalse(found[f"{LOCATION}5"], "somebody else counts what is there")
        rows = self.rows("location")
        self.assertEqual(rows["Depot"].shopify_stock_owner, "shopify")
        self.assertEqual(rows["Rome"].shopify_stock_owner, "odoo")

    def test_locations_of_orders_get_somebody_who_counts_them(self):
        self.shop.locations = [
            location(1, "Till"),
            location(2, "Depot", isFulfillmentService=True),
            location(3, "Hall", isFulfillmentService=True),
        ]
        Mapping = self.env["integration.mapping"]
        Mapping._collect(
            self.backend,
            [MissingValue("location", f"{LOCATION}{number}") for number in (1, 2, 3, 4)],
        )
        place = self.env["stock.warehouse"].search([], limit=1).lot_stock_id
        hall = Mapping.search([("external_value", "=", f"{LOCATION}3")])
        hall.resource_ref = f"stock.location,{place.id}"
        self.read_groups("location")
        rows = Mapping.search([("kind", "=", "location")], order="external_value")
        self.assertEqual(
            rows.mapped("shopify_stock_owner"),
            ["odoo", "shopify", "odoo", "odoo"],
            "a person has said where the third one is, and the fourth is gone",
        )

    def test_channels_count_where_products_are_shown(self):
        self.read_groups("publication")
        group = self.backend.shopify_setting_ids
        self.assertEqual((group.count, group.mapped_count), (2, 0))
        self.rows("publication")["Online Store"].shopify_publish = True
        group.invalidate_recordset()
        self.assertEqual(group.mapped_count, 1)
        self.assertEqual(self.backend.shopify_channel_ids.mapped("shopify_publish"), [True, False])

    def test_other_settings_are_recognised(self):
        chf = self.env.ref("base.CHF")
        chf.active = True
        Pricelist = self.env["product.pricelist"]
        swiss = Pricelist.create({"name": "switzerland", "currency_id": chf.id})
        Pricelist.create({"name": "Switzerland", "currency_id": self.usd.id})
        tag = self.env["product.tag"].create({"name": "Summer"})
        self.env["product.category"].create({"name": "Shirts"})
        self.env["res.lang"]._activate_lang("fr_FR")
        self.read_groups()
        self.assertEqual(self.rows("price_list")["Switzerland"].resource_ref, swiss)
        self.assertEqual(self.rows("collection")["Summer"].resource_ref, tag)
        self.assertFalse(self.rows("collection")["Winter"].resource_ref)
        self.assertEqual(self.rows("product_category")["Shirts"].resource_ref.name, "Shirts")
        self.assertEqual(self.rows("locale")["FR"].resource_ref.code, "fr_FR")
        self.assertEqual(self.rows("currency")["CHF"].resource_ref, chf)
        self.assertEqual(self.rows("currency")["CHF"].source, "automatic")
        self.assertFalse(self.rows("publication")["Online Store"].res_model)

    def test_categories_of_the_taxonomy_are_not_product_types(self):
        row = self.env["integration.mapping"].create(
            {
                "backend_id": self.backend.id,
                "kind": "product_category",
                "external_value": "gid://shopify/TaxonomyCategory/aa-1",
            }
        )
        self.read_groups("product_type")
        self.assertFalse(row.gone_at)
        self.assertEqual(self.backend.shopify_setting_ids.count, 1)

    def test_what_a_person_has_emptied_stays_empty(self):
        tag = self.env["product.tag"].create({"name": "Summer"})
        self.read_groups("collection")
        row = self.rows("collection")["Summer"]
        self.assertEqual(row.resource_ref, tag)
        row.resource_ref = False
        self.read_groups("collection", force=True)
        self.assertFalse(row.resource_ref)

    def test_price_list_of_another_currency_is_refused(self):
        self.read_groups("market")
        row = self.rows("price_list")["Switzerland"]
        other = self.env["product.pricelist"].create(
            {"name": "Dollars", "currency_id": self.usd.id}
        )
        with self.assertRaisesRegex(ValidationError, "is in CHF, but Dollars .* is in USD"):
            row.resource_ref = f"product.pricelist,{other.id}"

    def test_markets_follow(self):
        self.read_groups("market")
        self.shop.markets = [
            market(2, "World", status="DRAFT"),
            {
                **market(3, "Many"),
                "catalogs": {
                    "nodes": [],
                    "pageInfo": {"hasNextPage": True, "endCursor": "1"},
                },
                "all": market(3, "Many", 1)["catalogs"]["nodes"],
            },
        ]
        self.read_groups("market")
        self.assertEqual(
            [
                (row.name, row.open, len(row.price_list_ids))
                for row in self.backend.shopify_market_ids
            ],
            [("Many", True, 1), ("World", False, 0)],
        )

    def test_only_what_the_app_may_read_is_read(self):
        resource = self.settings._resource()
        self.backend.granted_scopes = ["read_orders", "read_locations"]
        listed = resource._fetch_changes(self.backend, None, None).changes
        self.assertEqual([change.external_id for change in listed], ["location", "currency"])
        self.assertFalse(self.settings._lacking_scopes(), "nothing of it is needed")
        self.backend.granted_scopes = None
        listed = resource._fetch_changes(self.backend, None, None).changes
        self.assertEqual([row.external_id for row in listed], list(settings.GROUPS))

    def test_group_that_is_denied_is_left_out(self):
        denied = {
            "message": "Access denied for markets field. Required access: `read_markets` scope.",
            "path": ["markets"],
            "extensions": {"code": "ACCESS_DENIED", "requiredAccess": "`read_markets`"},
        }
        self.shop._markets = lambda _variables: {"markets": None}
        self.shop.partial["markets"] = [denied]
        operations = self.env["integration.sync.log"]._append(
            self.settings, [Change("market"), Change("location")], "manual"
        )
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.settings.id)
        self.env.invalidate_all()
        self.assertEqual(operations.mapped("state"), ["skipped", "done"])
        self.assertFalse(self.settings.missing_scopes, "the other groups go on")

    def test_half_an_answer_marks_nothing_as_gone(self):
        self.read_groups("currency")
        self.shop.partial["shop_settings"] = [
            {"message": "oops", "path": ["shop"], "extensions": {"code": "SOMETHING"}}
        ]
        self.shop.currencies = []
        operation = self.env["integration.sync.log"]._append(
            self.settings, [Change("currency")], "manual"
        )
        self.env.flush_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(self.settings.id)
        self.env.invalidate_all()
        self.assertNotEqual(operation.state, "done")
        self.assertFalse(any(row.gone_at for row in self.rows("currency").values()))

    def test_button(self):
        self.backend.granted_scopes = ["read_orders", "read_locations"]
        action = self.backend.action_shopify_read_settings()
        self.assertIn("Left out", action["params"]["message"])
        waiting = self.env["integration.sync.log"].search(
            [("flow_id", "=", self.settings.id), ("state", "=", "pending")]
        )
        self.assertEqual(sorted(waiting.mapped("external_id")), ["currency", "location"])
        self.assertTrue(all(waiting.mapped("force")))

    def test_queries_do_not_grow_with_the_shop(self):
        def queries(count):
            self.shop.collections = [f"C{number}" for number in range(count)]
            before = self.env.cr.sql_log_count
            self.read_groups("collection")
            return self.env.cr.sql_log_count - before

        queries(5)
        few = queries(20)
        many = queries(220)
        self.assertLess(many - few, 20, (few, many))
