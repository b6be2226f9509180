from . import (
    account_move_line,
    integration_backend,
    integration_connector_shopify,
    integration_shopify_agreement,
    integration_shopify_contact,
    integration_shopify_fulfillment,
    integration_shopify_order,
    integration_shopify_refund,
    integration_shopify_rule,
    integration_shopify_transaction,
    sale_order,
    sale_order_line,
)
