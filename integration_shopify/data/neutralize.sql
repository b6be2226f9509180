-- The copy is connected to no shop any more: its next consent is for the shop that is typed in, and
-- never for the one of the original.
UPDATE integration_backend
   SET shopify_domain = NULL,
       shopify_shop_name = NULL,
       shopify_currency = NULL,
       shopify_timezone = NULL,
       shopify_api_version = NULL,
       shopify_api_deprecated = NULL;
-- what people typed into dialogs, and the numbers by which payments are known at their providers
DELETE FROM integration_shopify_refund_request_line;
DELETE FROM integration_shopify_refund_request;
DELETE FROM integration_shopify_cancel;
DELETE FROM integration_shopify_capture;
UPDATE integration_shopify_transaction SET payment_ref = NULL;
-- addresses of files in the shop of the original, and what would be sent there
DELETE FROM integration_shopify_bulk_line;
DELETE FROM integration_shopify_bulk_item;
UPDATE integration_shopify_bulk
   SET url = NULL,
       staged_path = NULL,
       slot = NULL,
       state = CASE WHEN state IN ('new', 'running', 'ready') THEN 'cancelled' ELSE state END;
UPDATE integration_backend
   SET shopify_product_key = NULL;
