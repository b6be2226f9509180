"""Killed processes: everything is there once after the restart, without a hand moved."""

import os
import signal
import time
from pathlib import Path

import pytest

from .conftest import wait_until
from .test_orders import assert_equal_books, assert_one_partner_per_customer

pytestmark = pytest.mark.long

COUNT = 120


def kill_http_workers(odoo):
    """SIGKILL every HTTP worker, so also the one that is importing."""
    killed = 0
    for pid in odoo.workers():
        if b"WorkerHTTP" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def begun(connected, share):
    """Wait until a share of the orders is there, so that the import is in its middle."""
    wait_until(lambda: len(connected.orders()) >= share, 120, 0.05)


def test_killed_worker(connected):
    placed = connected.shop.place_random_orders(COUNT, seed=3)
    begun(connected, 1)
    wait_until(lambda: connected.operations("running"), 30, 0.02)
    assert kill_http_workers(connected.odoo) == 2
    killed_at = time.monotonic()
    connected.settle()
    assert time.monotonic() - killed_at < 120
    assert connected.operations("dead") == []
    assert_equal_books(connected, placed)
    assert_one_partner_per_customer(connected)
    connected.known = placed


def test_killed_server(connected):
    before = len(connected.orders())
    placed = connected.known + connected.shop.place_random_orders(COUNT, seed=4)
    begun(connected, before + 1)
    wait_until(lambda: connected.operations("running"), 30, 0.02)
    connected.odoo.kill()
    time.sleep(2)
    connected.odoo.start()
    wait_until(lambda: len(connected.orders()) == len(placed), 180)
    connected.settle()
    assert connected.operations("dead") == []
    assert_equal_books(connected, placed)
    assert_one_partner_per_customer(connected)
