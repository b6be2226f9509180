"""What stands behind `./run`: builds, starts and tests a real Odoo on a bare machine.

Only the standard library is imported here, because this code builds the virtual environment in
which everything else lives. The tests import it too (`tests/conftest.py`), to start servers of
their own.
"""
