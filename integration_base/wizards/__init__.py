from . import (
    integration_discrepancy_ignore,
    integration_edit_payload,
    integration_import_now,
    integration_mapping_import,
    integration_set_aside,
    integration_webhook_replay,
)
