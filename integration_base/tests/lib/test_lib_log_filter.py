"""Arguments of calls on models with secrets stay out of the log; nothing else does."""

import logging
from types import SimpleNamespace

import pytest

from odoo.addons.integration_base.lib.log_filter import HideArguments


class Records:
    def __init__(self, name):
        self._name = name

    def __repr__(self):
        return f"{self._name}(1,)"


@pytest.fixture
def log(caplog):
    logger = logging.getLogger("test.calls")
    hide = HideArguments("secret.")
    logger.addFilter(hide)
    caplog.set_level(logging.DEBUG, "test.calls")
    yield SimpleNamespace(logger=logger, caplog=caplog)
    logger.removeFilter(hide)


def test_arguments_of_a_call_are_hidden(log):
    log.logger.debug("call %s.%s(%s)", Records("secret.model"), "write", "{'value': 'typed'}")
    assert log.caplog.messages == ["call secret.model(1,).write(***)"]


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("call %s.%s(%s)", (Records("other.model"), "write", "{}")),
        ("ready", ()),
        ("%(a)s", ({"a": 1},)),
        ("%s %s %s", ("secret.model", "write", "{}")),
    ],
)
def test_everything_else_is_logged_as_it_is(log, message, arguments):
    log.logger.debug(message, *arguments)
    plain = arguments[0] if arguments and isinstance(arguments[0], dict) else arguments
    expected = message % plain
    assert log.caplog.messages == [expected]
