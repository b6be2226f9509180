-- a copy of the database talks to nobody: backends are off, secrets are gone, jobs are cancelled
UPDATE integration_backend SET state = 'draft', webhook_token = md5(random()::text || clock_timestamp()::text);
-- their addresses hold the tokens of the original
DELETE FROM integration_webhook_subscription;
UPDATE integration_credential SET ciphertext = NULL, previous_ciphertext = NULL, is_set = FALSE;
UPDATE queue_job SET state = 'cancelled' WHERE state IN ('wait_dependencies', 'pending', 'enqueued', 'started') AND model_name = 'integration.flow';
DELETE FROM integration_breaker;
DELETE FROM integration_rate_bucket;
