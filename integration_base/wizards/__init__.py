from . import (
    integration_edit_payload,
    integration_import_now,
    integration_mapping_import,
    integration_set_aside,
)
