from . import (
    integration_discrepancy_ignore,
    integration_edit_payload,
    integration_import_now,
    integration_key_rotation,
    integration_mapping_import,
    integration_privacy_lookup,
    integration_set_aside,
    integration_switch_environment,
    integration_webhook_replay,
    privacy_lookup_wizard,
    privacy_lookup_wizard_line,
)
