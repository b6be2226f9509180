from . import (
    integration_connector_generic,
    integration_flow,
    integration_generic_contact,
    integration_generic_noop,
    integration_generic_product,
    integration_generic_single,
)
