from . import (
    test_amounts,
    test_client,
    test_connection,
    test_documents,
    test_order_import,
    test_order_update,
    test_own_orders,
    test_pages,
    test_privacy,
    test_tax_keys,
    test_versions,
    test_webhook,
)
