"""Who may do what with the models of this addon, see integration_base/tests/access_matrix.py."""

#: What Shopify's books say is read by whoever looks after the connection, and written by the
#: technical users of backends alone. The dialogs are for salespeople and accountants.
MATRIX = """
model                                user  operator  auditor  manager
integration.shopify.agreement        r     r         r        r
integration.shopify.bulk             -     r         r        r
integration.shopify.bulk.item        -     r         r        r
integration.shopify.bulk.line        -     r         r        r
integration.shopify.cancel           -     -         -        -
integration.shopify.capture          -     -         -        -
integration.shopify.fixed.price      r     r         r        r
integration.shopify.consent          r     r         r        r
integration.shopify.fulfillment      r     r         r        r
integration.shopify.market           r     r         r        r
integration.shopify.level            r     r         r        r
integration.shopify.fulfillment      r     r         r        r
integration.shopify.image            r     r         r        r
integration.shopify.listing          r     r         r        r
integration.shopify.number           r     r         r        r
integration.shopify.profile          r     r         r        r
integration.shopify.refund           r     r         r        r
integration.shopify.refund.line      r     r         r        r
integration.shopify.refund.request   -     -         -        -
integration.shopify.refund.request.line  -  -        -        -
integration.shopify.return           r     r         r        r
integration.shopify.rule             r     r         r        rwcd
integration.shopify.setting.group    r     r         r        r
integration.shopify.transaction      r     r         r        r
"""

#: ``{field: reason}`` of fields that are called like secrets and are none.
NO_SECRETS = {
    "integration.backend.shopify_product_key": "the key of a metafield, for everybody to see",
    "integration.shopify.refund.request.token": "a random number that tells dialogs apart",
}


def _order(env, company, make):
    partner = env["res.partner"].create({"name": "Buyer", "company_id": company.id})
    return {"partner_id": partner.id, "company_id": company.id}


def _of_order(env, company, make):
    order = env["sale.order"].create(_order(env, company, make))
    return {"order_id": order.id}


def _credit_note(env, company, make):
    journal = env["account.journal"].create(
        {"name": "Sales", "type": "sale", "code": "SHOP", "company_id": company.id}
    )
    return {"move_type": "out_refund", "journal_id": journal.id, "company_id": company.id}


def _delivery(env, company, make):
    warehouse = env["stock.warehouse"].search([("company_id", "=", company.id)], limit=1)
    return {
        "picking_type_id": warehouse.out_type_id.id,
        "location_id": warehouse.lot_stock_id.id,
        "location_dest_id": env.ref("stock.stock_location_customers").id,
    }


def _agreement(env, company, make):
    return {
        **_of_order(env, company, make),
        "reason": "ORDER",
        "currency_id": company.currency_id.id,
    }


def _transaction(env, company, make):
    return {**_of_order(env, company, make), "currency_id": company.currency_id.id}


def _fixed_price(env, company, make):
    mapping = make("integration.mapping", company)
    product = env["product.product"].create({"name": "Mug"})
    return {
        "backend_id": mapping.backend_id.id,
        "mapping_id": mapping.id,
        "product_id": product.id,
        "variant": "gid://shopify/ProductVariant/1",
        "amount": "1.00",
        "currency": "EUR",
    }


def _capture(env, company, make):
    transaction = make("integration.shopify.transaction", company)
    return {"order_id": transaction.order_id.id, "transaction_id": transaction.id}


def _level(env, company, make):
    backend = make("integration.backend", company)
    product = env["product.product"].create({"name": "Mug", "company_id": company.id})
    return {"backend_id": backend.id, "product_id": product.id, "location": "gid://1"}


def _of_partner(env, company, make):
    partner = env["res.partner"].create({"name": "Buyer", "company_id": company.id})
    return {"partner_id": partner.id}


def _consent(env, company, make):
    return {**_of_partner(env, company, make), "company_id": company.id, "origin": "odoo"}


def _template(env, company, make):
    return {"name": "Thing", "company_id": company.id}


def _of_product(env, company, make):
    template = env["product.template"].create(_template(env, company, make))
    return {"product_tmpl_id": template.id}


FACTORIES = {
    "product.template": _template,
    "integration.shopify.image": _of_product,
    "integration.shopify.listing": _of_product,
    "account.move": _credit_note,
    "sale.order": _order,
    "stock.picking": _delivery,
    "integration.shopify.agreement": _agreement,
    "integration.shopify.cancel": _of_order,
    "integration.shopify.capture": _capture,
    "integration.shopify.fixed.price": _fixed_price,
    "integration.shopify.level": _level,
    "integration.shopify.consent": _consent,
    "integration.shopify.fulfillment": _of_order,
    "integration.shopify.profile": _of_partner,
    "integration.shopify.refund": _of_order,
    "integration.shopify.refund.request": _of_order,
    "integration.shopify.return": _of_order,
    "integration.shopify.transaction": _transaction,
}
