"""Odoo's own command line, with an idle process in the place of the one that serves websockets.

The servers of tests have no use for it, and loading Odoo once more makes each start longer.
"""

import subprocess

from odoo.cli.command import main
from odoo.service.server import PreforkServer


def idle(server):
    # without a process Odoo tries to start one, and asks the database first, every few seconds
    server.long_polling_pid = subprocess.Popen(["sleep", "infinity"]).pid


PreforkServer.long_polling_spawn = idle

main()
