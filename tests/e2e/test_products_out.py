"""Products reach the shop once and complete, whatever process dies while they are made."""

import pytest

from .conftest import wait_until
from .test_recovery import kill_http_workers

#: From a hundred on a bulk operation is used.
MANY = 120
#: One pixel.
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmM"
    "IQAAAABJRU5ErkJggg=="
)


@pytest.fixture(autouse=True)
def healthy(selling):
    yield
    selling.shop.clear_faults()


@pytest.fixture(scope="module")
def selling(connected):
    """A shop that gets its products from Odoo."""
    call = connected.odoo.call
    (flow,) = call(
        "integration.flow",
        "search",
        [
            ("backend_id", "=", connected.backend),
            ("resource", "=", "product"),
            ("direction", "=", "out"),
        ],
    )
    call("integration.flow", "write", [flow], {"enabled": True, "debounce_seconds": 0})
    connected.flow = flow
    # the shop sells in euros
    (euro,) = call("res.currency", "search", [("name", "=", "EUR")])
    rule = {"applied_on": "3_global", "compute_price": "fixed", "fixed_price": 30}
    pricelist = call(
        "product.pricelist",
        "create",
        [{"name": "Shop", "currency_id": euro, "item_ids": [(0, 0, rule)]}],
    )
    values = {"shopify_pricelist_id": pricelist[0]}
    call("integration.backend", "write", [connected.backend], values)
    size = call("product.attribute", "create", [{"name": "Size", "create_variant": "always"}])
    connected.sizes = call(
        "product.attribute.value",
        "create",
        [{"name": name, "attribute_id": size[0]} for name in ("S", "M", "L")],
    )
    connected.size = size[0]
    connected.tag = call("product.tag", "create", [{"name": "summer"}])
    return connected


def shirt(selling, name):
    """Create a product with three sizes, a picture and a tag, and have it listed."""
    call = selling.odoo.call
    lines = [(0, 0, {"attribute_id": selling.size, "value_ids": [(6, 0, selling.sizes)]})]
    values = {
        "name": name,
        "type": "consu",
        "is_storable": True,
        "taxes_id": [],
        "image_1920": PICTURE,
        "product_tag_ids": [(6, 0, selling.tag)],
        "attribute_line_ids": lines,
    }
    template = call("product.template", "create", [values])
    variants = call("product.product", "search", [("product_tmpl_id", "in", template)], order="id")
    for position, variant in enumerate(variants):
        sku = f"{name}-{position}"
        call("product.product", "write", [variant], {"default_code": sku, "weight": 0.25})
    list_in_shop(selling, template)
    return template


def list_in_shop(selling, templates):
    selling.odoo.call(
        "integration.shopify.listing",
        "create",
        [{"product_tmpl_id": row, "backend_id": selling.backend} for row in templates],
    )


def in_shop(selling, name):
    return [product for product in selling.shop.products() if product["title"].startswith(name)]


def effects(selling, name):
    """How often something really happened in the shop, whoever asked for it."""
    return selling.shop.calls()["effects"].get(name, 0)


def linked(selling, templates, resource="product"):
    """Return the ids in the shop of products, or of their variants."""
    model = "product.template" if resource == "product" else "product.product"
    key = "id" if resource == "product" else "product_tmpl_id"
    records = selling.odoo.call(model, "search", [(key, "in", templates)])
    rows = selling.odoo.sql(
        "SELECT external_id FROM integration_binding"
        " WHERE backend_id = %s AND resource = %s AND res_model = %s AND res_id = ANY(%s)",
        [selling.backend, resource, model, records],
    )
    return {gid for (gid,) in rows}


def assert_whole(selling, name, template):
    """Exactly one product of that name is in the shop, with all its data, and is linked."""
    [product] = in_shop(selling, name)
    assert {
        (row["sku"], row["title"], row["price"], row["grams"]) for row in product["variants"]
    } == {(f"{name}-{at}", size, "30.00", 250) for at, size in enumerate(("S", "M", "L"))}
    assert (product["tags"], len(product["media"])) == (["summer"], 1)
    assert linked(selling, template) == {product["id"]}
    assert linked(selling, template, "variant") == {row["id"] for row in product["variants"]}
    states = selling.odoo.sql(
        "SELECT memory IS NOT NULL, external_id FROM integration_shopify_listing"
        " WHERE product_tmpl_id = ANY(%s)",
        [template],
    )
    assert states == [(True, product["id"])]
    assert selling.operations("dead") == []


def hurry(selling):
    """Let what waits for Shopify look again now; the heartbeat has it done within seconds."""
    # what the engine has locked at this moment it is looking at anyway
    selling.odoo.sql(
        "UPDATE integration_sync_log SET next_attempt_at = now() AT TIME ZONE 'UTC'"
        " WHERE id IN (SELECT id FROM integration_sync_log"
        " WHERE flow_id = %s AND state = 'pending' FOR UPDATE SKIP LOCKED)",
        [selling.flow],
    )


def hurry_until(selling, condition, timeout=60):
    def hurried():
        found = condition()
        if not found:
            hurry(selling)
        return found

    return wait_until(hurried, timeout, 0.5)


def test_lost_answer(selling):
    before = effects(selling, "products")
    selling.shop.fault(operation="ProductSet", reset="after", after=True)
    template = shirt(selling, "LOST")
    wait_until(lambda: effects(selling, "products") > before, 30)
    hurry_until(selling, lambda: linked(selling, template))
    selling.settle()
    assert effects(selling, "products") == before + 1
    assert_whole(selling, "LOST", template)


def test_killed_after_the_creation_and_before_it_is_noted(selling):
    before = effects(selling, "products")
    selling.shop.fault(operation="ProductSet", hang=4, reset="after", after=True)
    template = shirt(selling, "KILLED")
    wait_until(lambda: effects(selling, "products") > before, 30, 0.02)
    assert linked(selling, template) == set()
    assert kill_http_workers(selling.odoo)
    hurry_until(selling, lambda: linked(selling, template))
    selling.settle()
    assert effects(selling, "products") == before + 1
    assert_whole(selling, "KILLED", template)


def test_killed_around_a_bulk_mutation(selling):
    """The process dies when Shopify was asked for it, and once more while Shopify works on it."""
    names = {f"BULK-{number:03}" for number in range(MANY)}
    before = {name: effects(selling, name) for name in ("products", "bulk mutation", "bulk lines")}
    selling.shop.configure(bulkSeconds=12)
    selling.shop.fault(operation="^BulkMutationRun$", hang=4, reset="after", after=True)
    templates = selling.odoo.call(
        "product.template",
        "create",
        [{"name": name, "default_code": name, "taxes_id": []} for name in sorted(names)],
    )
    list_in_shop(selling, templates)
    wait_until(lambda: lines(selling) == {"waiting": MANY}, 30, 0.05)
    # all are gathered, so there is nothing to wait for
    selling.odoo.sql(
        "UPDATE integration_shopify_bulk_item SET create_date = create_date - interval '1 minute'"
    )
    hurry_until(selling, lambda: selling.calls("BulkMutationRun"))
    assert kill_http_workers(selling.odoo)
    assert bulk_states(selling) == ["new"], "its answer was lost"
    hurry_until(selling, lambda: bulk_states(selling) == ["running"])
    assert kill_http_workers(selling.odoo)
    hurry_until(selling, lambda: len(linked(selling, templates)) == MANY)
    selling.settle()
    after = {name: effects(selling, name) for name in before}
    assert {name: after[name] - before[name] for name in before} == {
        "products": MANY,
        "bulk mutation": 1,
        "bulk lines": MANY,
    }
    made = in_shop(selling, "BULK-")
    assert len(made) == MANY
    assert {
        (product["title"], product["variants"][0]["sku"], product["variants"][0]["price"])
        for product in made
    } == {(name, name, "30.00") for name in names}
    assert linked(selling, templates) == {product["id"] for product in made}
    assert len(linked(selling, templates, "variant")) == MANY
    assert (lines(selling), bulk_states(selling)) == ({}, ["done"])
    assert selling.operations("dead") == []


def lines(selling):
    """Return how many lines of bulk mutations are in which state."""
    return dict(
        selling.odoo.sql("SELECT state, count(*) FROM integration_shopify_bulk_item GROUP BY state")
    )


def bulk_states(selling):
    return [state for (state,) in selling.odoo.sql("SELECT state FROM integration_shopify_bulk")]
