from . import (
    test_amounts,
    test_client,
    test_connection,
    test_documents,
    test_order_import,
    test_order_update,
    test_own_orders,
    test_privacy,
    test_refund_amounts,
    test_refunds,
    test_webhook,
)
