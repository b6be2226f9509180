"""The shop of one start is the shop of the next."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from ..app import Simulator
from ..client import ShopSimulator
from ..seed import random_orders
from ..shop import Config
from ..truth import truth
from .test_graphql import SUBSCRIBE
from .test_http import ask, token

ORDER = "query Read($id: ID!) { order(id: $id) { name note customer { id } } }"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.state"


def start(file: Path) -> ShopSimulator:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return ShopSimulator.start(port, "--state", str(file), timeout=90)


def number(record: dict[str, Any]) -> int:
    return int(record["id"].rsplit("/", 1)[-1])


def test_a_restart_goes_on_and_a_kill_costs_a_second(file: Path) -> None:
    with start(file) as shop:
        secret = token(shop.url).json()["access_token"]
        target = {"topic": "ORDERS_CREATE", "input": {"uri": "https://example.com/a"}}
        assert ask(shop.url, SUBSCRIBE, target, secret=secret).ok
        first = shop.place_order(lines=[{"sku": "MUG-350", "quantity": 3}], note="before")
        subscriptions, products = shop.get("subscriptions"), shop.products()
        shop.fault(share=1.0, status=500)
    assert shop.process and shop.process.returncode == 0

    shop = start(file)
    try:
        assert shop.orders(full=True) == [first]
        assert shop.get("subscriptions") == subscriptions
        assert shop.products() == products
        assert shop.get("faults") == []
        answer = ask(shop.url, ORDER, {"id": first["id"]}, secret=secret).json()
        assert answer["data"]["order"]["note"] == "before"
        found = ask(shop.url, "{ orders(first: 5) { nodes { id } } }", secret=secret).json()
        assert [row["id"] for row in found["data"]["orders"]["nodes"]] == [first["id"]]
        before = file.read_bytes()
        second = shop.place_order(lines=[{"sku": "MUG-350"}])
        assert (first["name"], second["name"]) == ("#1001", "#1002")
        assert number(second) > number(first)
        end = time.monotonic() + 20
        while file.read_bytes() == before and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        shop.process.kill()
        shop.stop()

    with start(file) as shop:
        assert shop.orders(full=True) == [first, second]
        assert shop.place_order(lines=[{"sku": "MUG-350"}])["name"] == "#1003"


def test_everything_that_can_happen_is_kept(file: Path) -> None:
    config = Config(search_delay=3600)
    simulator = Simulator(config, state=file)
    shop = simulator.shop
    orders = [shop.place_order(spec) for spec in random_orders(60, 5, shop)]
    for index, order in enumerate(orders):
        if order.outstanding.presentment > 0:
            shop.pay(order)
        if index % 3 == 0:
            shop.edit(order, {"add": [{"sku": "MUG-350"}]})
        if index % 3 == 1:
            shop.refund(order, {"lines": [{"line": 0, "restock": "CANCEL"}], "status": "PENDING"})
        if index % 3 == 2:
            shop.fulfil(order)
    simulator.close()

    again = Simulator(config, state=file)
    assert [truth(order) for order in again.shop.all("Order")] == [truth(o) for o in orders]
    assert {kind: list(rows) for kind, rows in again.shop.records.items()} == {
        kind: list(rows) for kind, rows in shop.records.items()
    }
    assert len(again.shop.searchable_orders()) == 60
    assert again.shop.random.random() == shop.random.random()
    for kind in shop.records:
        assert again.shop.next_id(kind) == shop.next_id(kind)
    kept = again.shop.all("Order")[0]
    assert kept.lines[0].variant is again.shop.records["ProductVariant"][kept.lines[0].variant.id]
    assert kept.customer is None or kept in kept.customer.orders


@pytest.mark.parametrize("damage", ["truncated", "foreign", "empty", "older"])
def test_a_file_that_cannot_be_read_is_set_aside(
    file: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Simulator(state=file).close()
    content = file.read_bytes()
    mark, _version, rest = content.split(b" ", 2)
    broken = {
        "truncated": content[:-10],
        "foreign": b"\x80\x05not ours",
        "empty": b"",
        "older": b" ".join((mark, b"0", rest)),
    }[damage]
    file.write_bytes(broken)
    simulator = Simulator(state=file)
    assert len(simulator.shop.all("Product")) == 12
    (sentence,) = capsys.readouterr().err.splitlines()
    assert ("another version" if damage == "older" else "is damaged") in sentence
    assert file.with_name("shop.state.unreadable").read_bytes() == broken
    assert Simulator(state=file).shop.all("Product")[0].created_at
    assert capsys.readouterr().err == ""


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Simulator(state=tmp_path / "nowhere" / "shop.state")
