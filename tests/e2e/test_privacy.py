"""A person is forgotten by a running server, in transactions of its own, also in the background."""

import json

import pytest

from .conftest import wait_until


@pytest.fixture(scope="module")
def people(connected):
    """Two buyers whose orders were imported, and whose whole orders came as notifications."""
    connected.shop.place_random_orders(12, seed=5)
    connected.settle()
    emails = connected.odoo.sql(
        "SELECT DISTINCT p.email, p.id, b.external_id FROM integration_binding b"
        "  JOIN res_partner p ON p.id = b.res_id"
        " WHERE b.resource = 'customer' AND p.email IS NOT NULL ORDER BY 1 LIMIT 2"
    )
    assert len(emails) == 2
    for email, *_rest in emails:
        for order in connected.shop.orders():
            if order["email"] == email:
                connected.shop.send_webhook("orders/updated", order=order["name"].lstrip("#"))
    connected.settle()
    return emails


def kept(odoo, text):
    """Return the columns of our tables that hold the text."""
    columns = odoo.sql(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'jsonb')"
        "   AND (table_name LIKE 'integration\\_%%' OR table_name IN ('queue_job', 'mail_message'))"
    )
    return {
        (table, column)
        for table, column in columns
        if odoo.sql(
            f'SELECT 1 FROM "{table}" WHERE position(%s in lower("{column}"::text)) > 0 LIMIT 1',
            [text.lower()],
        )
    }


def done(odoo, reference):
    return odoo.sql(
        "SELECT kind, counts FROM integration_privacy_request"
        " WHERE state = 'done' AND (reference = %s OR %s IS NULL) ORDER BY id DESC LIMIT 1",
        [reference, reference],
    )


def test_shopify_asks(connected, people):
    odoo, shop = connected.odoo, connected.shop
    email, partner, customer = people[0]
    orders = connected.orders()
    assert kept(odoo, email)
    ((token, domain),) = odoo.sql(
        "SELECT webhook_token, shopify_domain FROM integration_backend WHERE id = %s",
        [connected.backend],
    )
    sent = shop.send_webhook(
        "customers/redact",
        payload={
            "shop_id": 1,
            "shop_domain": domain,
            "customer": {"id": int(customer.rpartition("/")[2]), "email": email, "phone": None},
            "orders_to_redact": [],
        },
        uri=f"{odoo.url}/integration/webhook/{token}",
    )
    assert sent == 1
    ((kind, counts),) = wait_until(lambda: done(odoo, None))
    assert kind == "erase"
    assert counts["integration.webhook.event"] >= 2
    assert not kept(odoo, email)
    # Odoo's own records are as they were, and nothing came back
    assert odoo.sql("SELECT email FROM res_partner WHERE id = %s", [partner]) == [(email,)]
    assert connected.orders() == orders
    assert not connected.operations("pending", "running", "dead")


def test_no_backend_is_erased_on_the_word_of_a_notification(connected, people):
    odoo, shop = connected.odoo, connected.shop
    ((token, domain),) = odoo.sql(
        "SELECT webhook_token, shopify_domain FROM integration_backend WHERE id = %s",
        [connected.backend],
    )
    address = f"{odoo.url}/integration/webhook/{token}"
    for payload in ({"shop_id": 1, "shop_domain": domain}, {"id": 450789469, "name": "#1001"}):
        assert shop.send_webhook("shop/redact", payload=payload, uri=address) == 1
    held = wait_until(
        lambda: (
            (
                rows := odoo.sql(
                    "SELECT r.kind, e.state, a.date_deadline > CURRENT_DATE + 25"
                    "  FROM integration_privacy_request r"
                    "  JOIN integration_webhook_event e ON e.id = r.event_id"
                    "  JOIN mail_activity a ON a.res_id = r.id AND a.res_model = %s"
                    " WHERE r.state = 'held' ORDER BY 1",
                    ["integration.privacy.request"],
                )
            )[1:]
            and rows
        )
    )
    assert held == [("erase_all", "accepted", True), ("manual", "unreadable", True)]
    assert odoo.sql(
        "SELECT b.state, b.active, bool_and(c.is_set) FROM integration_backend b"
        "  JOIN integration_credential c ON c.backend_id = b.id AND c.code = 'client_secret'"
        "   AND c.environment = b.environment WHERE b.id = %s GROUP BY b.id",
        [connected.backend],
    ) == [("active", True, True)]


def test_a_manager_asks(connected, people):
    odoo = connected.odoo
    email, partner, _customer = people[1]
    assert kept(odoo, email)
    answers = {}
    for action in ("action_export", "action_erase"):
        wizard = odoo.call("integration.privacy.lookup", "create", {"partner_id": partner})
        answer = odoo.call("integration.privacy.lookup", action, [wizard])
        fields = ["state", "counts", "attachment_id"]
        (answers[action],) = odoo.call(answer["res_model"], "read", [answer["res_id"]], fields)
        assert answers[action]["state"] == "done"
        if action == "action_export":
            (file,) = odoo.call(
                "ir.attachment", "read", [answers[action]["attachment_id"][0]], ["raw"]
            )
            assert email in json.dumps(file)
    assert not kept(odoo, email)
    log = odoo.log.read_text()
    assert " ERROR " not in log
