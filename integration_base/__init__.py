import logging

from . import controllers, models, wizards
from .hooks import post_init_hook, uninstall_hook
from .lib.log_filter import HideArguments, HideQuery
from .lib.log_secrets import hide_secrets

# secrets are typed into our models, and records that people correct hold personal data
logging.getLogger("odoo.service.model").addFilter(HideArguments("integration."))
# a person comes back from a service with a code that is good for access
logging.getLogger("werkzeug").addFilter(HideQuery(r"/integration/\w+/callback"))
# whoever is given a secret may put it into an error
hide_secrets()
