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
