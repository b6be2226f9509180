import logging

from . import controllers, models, wizards
from .hooks import post_init_hook, uninstall_hook
from .lib.log_filter import HideArguments

# secrets are typed into our models, and records that people correct hold personal data
logging.getLogger("odoo.service.model").addFilter(HideArguments("integration."))
