"""Odoo's own command line, without the process that serves websockets.

The servers of tests have no use for it, and loading Odoo once more makes each start longer.
"""

from odoo.cli.command import main
from odoo.service.server import PreforkServer

PreforkServer.long_polling_spawn = lambda self: None

main()
