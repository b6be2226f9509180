"""Customers and companies between a shop and an Odoo that really talk to each other."""

import pytest

from .conftest import wait_until


@pytest.fixture(scope="module")
def people(connected):
    """The connected shop with the flows of customers and companies on."""
    flows = connected.odoo.sql(
        "SELECT id FROM integration_flow WHERE backend_id = %s"
        " AND resource IN ('customer', 'company')",
        [connected.backend],
    )
    for (flow,) in flows:
        connected.odoo.call("integration.flow", "write", [flow], {"enabled": True})
    connected.odoo.call("integration.backend", "action_check_subscriptions", [connected.backend])
    wait_until(
        lambda: (
            {"CUSTOMERS_UPDATE", "COMPANIES_UPDATE", "CUSTOMERS_MERGE"}
            <= {row["topic"] for row in connected.shop.get("subscriptions")}
        )
    )
    yield connected
    connected.shop.clear_faults()


def contact(connected, gid, *names):
    """Return fields of the contact a customer is linked to, None while there is none."""
    rows = connected.odoo.sql(
        "SELECT res_id FROM integration_binding WHERE resource IN ('customer', 'company')"
        " AND external_id = %s AND deleted_at IS NULL",
        [gid],
    )
    if not rows:
        return None
    return connected.odoo.call("res.partner", "read", [rows[0][0]], ["id", *names])[0]


def buyer(connected, name, **values):
    return connected.shop.post(
        "customers",
        {
            "firstName": name,
            "lastName": "Kunde",
            "email": f"{name.lower()}@example.com",
            "address": {
                "address1": "Weg 1",
                "zip": "10115",
                "city": "Berlin",
                "country_code": "DE",
            },
            **values,
        },
    )["id"]


def test_customer_follows_the_shop(people):
    gid = buyer(people, "Anna")
    people.settle()
    found = contact(people, gid, "name", "street")
    assert (found["name"], found["street"]) == ("Anna Kunde", "Weg 1")
    people.shop.post(
        "customers/update", {"customer": gid, "set": {"lastName": "Neu"}, "consent": "SUBSCRIBED"}
    )
    people.settle()
    found = contact(people, gid, "name", "shopify_email_consent")
    assert (found["name"], found["shopify_email_consent"]) == ("Anna Neu", "subscribed")


def test_merged_customers(people):
    one = buyer(people, "Max")
    two = people.shop.post("customers", {"firstName": "Max", "phone": "+491701234567"})["id"]
    people.settle()
    known = contact(people, two)["id"]
    kept = people.shop.post("customers/merge", {"one": one, "two": two})["kept"]
    people.settle()
    assert kept == one
    todo = people.odoo.sql(
        "SELECT note FROM mail_activity WHERE res_model = 'res.partner' AND res_id = %s",
        [contact(people, one)["id"]],
    )
    assert f"ID {known}" in todo[0][0]
    assert contact(people, two) is None


def test_company_with_its_buyer(people):
    gid = buyer(people, "Eva")
    people.settle()
    company = people.shop.post(
        "companies",
        {
            "name": "Acme",
            "locations": [
                {
                    "name": "Berlin",
                    "address": {"address1": "Tor 1", "city": "Berlin", "country_code": "DE"},
                }
            ],
            "contacts": [
                {
                    "customer": gid,
                    "title": "Buyer",
                    "roles": [{"role": "Location admin", "location": "Berlin"}],
                }
            ],
        },
    )["id"]
    people.settle()
    found = contact(people, company, "is_company", "child_ids")
    assert found["is_company"]
    person = contact(people, gid, "parent_id", "function")
    assert (person["parent_id"][0], person["function"]) == (found["id"], "Buyer")
    streets = people.odoo.call("res.partner", "read", found["child_ids"], ["street"])
    assert "Tor 1" in [row["street"] for row in streets]


def test_contact_becomes_a_customer_once(people):
    """The answer of its creation is lost."""
    people.shop.fault(operation="CustomerCreate", status=500, after=True)
    before = people.shop.calls()["effects"].get("customer", 0)
    partner = people.odoo.call(
        "res.partner",
        "create",
        {
            "name": "Otto Beispiel",
            "email": "otto@example.com",
            "street": "Platz 2",
            "city": "Bonn",
            "country_id": people.odoo.call("res.country", "search", [("code", "=", "DE")])[0],
            "shopify_backend_ids": [(6, 0, [people.backend])],
        },
    )
    partner = partner[0] if isinstance(partner, list) else partner
    wait_until(
        lambda: people.odoo.sql(
            "SELECT 1 FROM integration_binding WHERE resource = 'customer' AND res_id = %s",
            [partner],
        )
    )
    people.settle()
    assert people.shop.calls()["effects"]["customer"] == before + 1
    emails = [row["email"] for row in people.shop.customers()]
    assert emails.count("otto@example.com") == 1
