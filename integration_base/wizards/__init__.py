from . import integration_import_now, integration_mapping_import, integration_set_aside
