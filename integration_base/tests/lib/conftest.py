"""Let the tests of ``lib`` run without Odoo: ``pytest -p no:odoo integration_base/tests/lib``.

``lib`` imports no Odoo, but it lies in an addon whose ``__init__`` does. There is only one import
path for it, ``odoo.addons.integration_base.lib``, so that an error raised by one module is the
class another one catches. Under Odoo (pytest-odoo) this file does nothing. Without it, the packages
above ``lib`` are registered as empty shells that only know their folder; no Odoo is loaded.

The folder has no ``__init__.py``: Odoo's test loader does not see it, and pytest imports its files
by their own name, which therefore is unique in the project (``test_lib_*``).
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from hypothesis import HealthCheck, settings

# A busy machine is no failure; and on the build server a red run has to be red again.
settings.register_profile(
    "lib",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("lib")

ADDON = Path(__file__).resolve().parents[2]


def _shell(name: str, folder: Path | None) -> None:
    module = ModuleType(name)
    module.__path__ = [str(folder)] if folder else []
    module.__file__ = str(folder / "__init__.py") if folder else None
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def _without_odoo() -> None:
    for name in ("odoo", "odoo.addons"):
        if name not in sys.modules and find_spec(name) is None:
            _shell(name, None)
        __import__(name)
    # The second name is the one under which pytest sets up the folders around a test.
    for package in (f"odoo.addons.{ADDON.name}", ADDON.name):
        _shell(package, ADDON)
        _shell(f"{package}.tests", ADDON / "tests")


if "odoo.modules" not in sys.modules:
    _without_odoo()
