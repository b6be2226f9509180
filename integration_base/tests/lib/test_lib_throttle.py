import pytest

from odoo.addons.integration_base.lib.throttle import Throttle, network_of


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_burst_then_as_fast_as_it_fills(clock):
    throttle = Throttle(3, 0.5, clock=clock)
    assert [throttle.take("a") for _call in range(5)] == [True, True, True, False, False]
    clock.now = 1.9
    assert throttle.is_empty("a")
    assert not throttle.take("a")
    clock.now = 2.0
    assert not throttle.is_empty("a")
    assert throttle.take("a")
    assert throttle.is_empty("a")


def test_looking_takes_nothing(clock):
    throttle = Throttle(1, 1, clock=clock)
    assert not throttle.is_empty("a")
    assert not throttle.is_empty("a")
    assert throttle.take("a")
    assert throttle.is_empty("a")


def test_never_more_than_the_burst(clock):
    throttle = Throttle(2, 10, clock=clock)
    throttle.take("a")
    clock.now = 1000.0
    assert [throttle.take("a") for _call in range(3)] == [True, True, False]


def test_callers_do_not_disturb_each_other(clock):
    throttle = Throttle(1, 1, clock=clock)
    assert throttle.take("a")
    assert not throttle.is_empty("b")
    assert throttle.take("b")
    assert throttle.is_empty("a")


def test_forgets_who_was_away_longest(clock):
    throttle = Throttle(1, 0.001, most=2, clock=clock)
    for key in ("a", "b", "a", "c"):
        throttle.take(key)
    assert [throttle.is_empty(key) for key in "abc"] == [True, False, True]


def test_remembers_no_more_than_it_may(clock):
    throttle = Throttle(1, 1, most=100, clock=clock)
    for number in range(10_000):
        throttle.take("x" * 1000 + str(number))
    assert len(throttle._buckets) == 100


def test_clear(clock):
    throttle = Throttle(1, 1, clock=clock)
    throttle.take("a")
    throttle.clear()
    assert not throttle.is_empty("a")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unknown", "unknown"),
        ("\xe4, 1.2.3.4", "\xe4, 1.2.3.4"),
        ("", ""),
        (None, ""),
    ],
)
def test_network_of(address, network):
    assert network_of(address) == network
