from . import (
    integration_backend,
    integration_connector_shopify,
    integration_shopify_contact,
    integration_shopify_order,
    sale_order,
    sale_order_line,
)
