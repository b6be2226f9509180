import pytest

from odoo.addons.integration_base.lib.scopes import Scope, compare, covered


def implied(name):
    return (name.replace("write", "read"),) if name.startswith("write") else ()


def needs(*names):
    return [Scope(name.strip("?"), "work", optional=name.endswith("?")) for name in names]


@pytest.mark.parametrize(
    ("needed", "granted", "states"),
    [
        (("read_a",), ["read_a"], {"read_a": "granted"}),
        (("read_a",), [], {"read_a": "missing"}),
        (("read_a?",), [], {"read_a": "optional"}),
        (("read_a?",), ["read_a"], {"read_a": "granted"}),
        # optional for one thing, needed for another
        (("read_a?", "read_a"), [], {"read_a": "missing"}),
        ((), ["read_a"], {"read_a": "superfluous"}),
        # writing includes reading, not the reverse
        (("read_a",), ["write_a"], {"read_a": "granted", "write_a": "superfluous"}),
        (("write_a",), ["read_a"], {"write_a": "missing", "read_a": "superfluous"}),
        (("write_a",), ["write_a", "read_a"], {"write_a": "granted", "read_a": "granted"}),
        # the service does not tell
        (("read_a", "read_b?"), None, {"read_a": "unknown", "read_b": "unknown"}),
        ((), None, {}),
        ((), [], {}),
    ],
)
def test_states(needed, granted, states):
    assert compare(needs(*needed), granted, implied) == states


def test_covered():
    assert covered(["write_a", "read_b"], implied) == {"write_a", "read_a", "read_b"}
