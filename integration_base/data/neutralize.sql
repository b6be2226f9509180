-- A neutralized copy talks to nobody, has no secret of the original, and none of its work is open.

-- disconnect, from an address for notifications that nobody knows
UPDATE integration_backend
   SET state = 'draft',
       pause_reason = NULL,
       webhook_token = replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
-- these addresses hold the token of the original
DELETE FROM integration_webhook_subscription;

-- forget the secrets of both environments, and the tokens that services have issued
DELETE FROM integration_credential WHERE kind = 'token';
UPDATE integration_credential
   SET ciphertext = NULL,
       previous_ciphertext = NULL,
       previous_until = NULL,
       is_set = FALSE,
       host = NULL,
       set_at = NULL,
       set_by_id = NULL,
       expires_at = NULL;

-- end what would be worked on; a failed job can be started again by hand
UPDATE queue_job
   SET state = 'cancelled',
       date_cancelled = now() AT TIME ZONE 'UTC'
 WHERE state IN ('wait_dependencies', 'pending', 'enqueued', 'started', 'failed')
   AND model_name LIKE 'integration.%';
UPDATE integration_sync_log
   SET state = 'ignored',
       review_note = 'neutralization - it was open in the database this one was copied from'
 WHERE state IN ('pending', 'running');
DELETE FROM integration_staged_payload;
UPDATE integration_backfill
   SET state = 'cancelled',
       finished_at = now() AT TIME ZONE 'UTC'
 WHERE state IN ('running', 'paused', 'failed');
UPDATE integration_reconciliation
   SET state = 'stopped',
       finished_at = now() AT TIME ZONE 'UTC'
 WHERE state IN ('draft', 'running', 'paused');
DELETE FROM integration_privacy_request WHERE state NOT IN ('done', 'closed');

-- remove what was received, sent and typed in, which is more than documents and contacts tell
UPDATE integration_sync_log
   SET claim_token = NULL,
       claimed_until = NULL,
       detail = NULL,
       payload = NULL,
       edited_payload = NULL
 WHERE claim_token IS NOT NULL
    OR detail IS NOT NULL
    OR payload IS NOT NULL
    OR edited_payload IS NOT NULL;
DELETE FROM integration_sync_edit;
DELETE FROM integration_exchange;
UPDATE integration_webhook_event SET body = NULL WHERE body IS NOT NULL;
UPDATE integration_privacy_request SET attachment_id = NULL, terms = NULL, position = NULL;
DELETE FROM integration_discrepancy_ignore;
DELETE FROM integration_edit_payload;
DELETE FROM integration_import_now;
DELETE FROM integration_mapping_import;
DELETE FROM integration_privacy_lookup;
DELETE FROM integration_set_aside;
DELETE FROM integration_switch_environment;
DELETE FROM integration_webhook_replay;
-- SQL does not reach the disk: closed to everybody here, these files are deleted by Odoo's clean-up
UPDATE ir_attachment
   SET res_id = NULL,
       create_uid = 1,
       public = FALSE,
       access_token = NULL
 WHERE res_model = 'integration.privacy.request';

-- what was learnt about services that this database does not talk to
DELETE FROM integration_breaker;
DELETE FROM integration_rate_bucket;
