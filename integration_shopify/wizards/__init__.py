from . import (
    integration_shopify_cancel,
    integration_shopify_capture,
    integration_shopify_refund_request,
    integration_shopify_refund_request_line,
    stock_return_picking,
)
