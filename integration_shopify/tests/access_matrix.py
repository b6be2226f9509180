"""Who may do what with the models of this addon, see integration_base/tests/access_matrix.py."""

#: What Shopify's books say is read by whoever looks after the connection, and written by the
#: technical users of backends alone. The dialogs are for salespeople and accountants.
MATRIX = """
model                                user  operator  auditor  manager
integration.shopify.agreement        r     r         r        r
integration.shopify.cancel           -     -         -        -
integration.shopify.capture          -     -         -        -
integration.shopify.fulfillment      r     r         r        r
integration.shopify.number           r     r         r        r
integration.shopify.refund           r     r         r        r
integration.shopify.refund.line      r     r         r        r
integration.shopify.refund.request   -     -         -        -
integration.shopify.refund.request.line  -  -        -        -
integration.shopify.return           r     r         r        r
integration.shopify.rule             r     r         r        rwcd
integration.shopify.transaction      r     r         r        r
"""


def _of_order(env, company, make):
    partner = env["res.partner"].create({"name": "Buyer", "company_id": company.id})
    order = env["sale.order"].create({"partner_id": partner.id, "company_id": company.id})
    return {"order_id": order.id}


def _agreement(env, company, make):
    return {
        **_of_order(env, company, make),
        "reason": "ORDER",
        "currency_id": company.currency_id.id,
    }


def _transaction(env, company, make):
    return {**_of_order(env, company, make), "currency_id": company.currency_id.id}


def _capture(env, company, make):
    transaction = make("integration.shopify.transaction", company)
    return {"order_id": transaction.order_id.id, "transaction_id": transaction.id}


FACTORIES = {
    "integration.shopify.agreement": _agreement,
    "integration.shopify.cancel": _of_order,
    "integration.shopify.capture": _capture,
    "integration.shopify.fulfillment": _of_order,
    "integration.shopify.refund": _of_order,
    "integration.shopify.refund.request": _of_order,
    "integration.shopify.return": _of_order,
    "integration.shopify.transaction": _transaction,
}
