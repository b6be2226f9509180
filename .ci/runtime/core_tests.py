"""`./run test --core`: our addons leave the tests of the modules below as green as they were.

A test that a module inherits from another one's is left out: it belongs there. (`sale` repeats the
tax tables of `account` eighty times, which takes longer than all the rest.)
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from .console import EnvironmentProblem
from .project import Project

MODULES = (
    "payment",
    "payment_stripe",
    "account_payment",
    "delivery",
    "stock_delivery",
    "sale",
    "sale_stock",
    "queue_job",
)
# Tells the pytest plugin that this is such a run, and where to write what passed.
VARIABLE = "INTEGRATION_CORE_TESTS"
# Tests that fail with Odoo's modules alone, once all of them are installed.
LEFT_OUT = {
    # Says itself that it runs before sale_stock is installed.
    ("sale", "test_qty_delivered"),
}
# Passed tests of each module without our addons (`./run test --core --baseline`), by version of
# Odoo. Fewer with them is a failure too: a test that is skipped or no longer collected has not
# passed.
BASELINES: dict[str, dict[str, int]] = {
    # Debian's 19.0.0+dfsg-1
    "19.0-df5f756364fc": {
        "account_payment": 27,
        "delivery": 26,
        "payment": 108,
        "payment_stripe": 18,
        "queue_job": 57,
        "sale": 221,
        "sale_stock": 129,
        "stock_delivery": 20,
    },
}


def folders(project: Project) -> list[Path]:
    """Folders of the modules to test.

    :raises EnvironmentProblem: the Odoo in use came without tests.
    """
    packages = next(project.python.parent.parent.glob("lib/python*/site-packages"))
    roots = (project.odoo.path / "odoo/addons", *project.odoo.addons, packages / "odoo/addons")
    found = []
    for name in MODULES:
        folder = next((root / name for root in roots if (root / name / "tests").is_dir()), None)
        if folder is None:
            raise EnvironmentProblem(
                f"This Odoo has no tests of {name}: use a complete Odoo 19 (unset ODOO_SOURCE to "
                f"fetch one)."
            )
        found.append(folder / "tests")
    return found


def record(passed: dict[str, int]) -> None:
    """Add the passed tests of each module to those of an earlier pass."""
    file = Path(os.environ[VARIABLE])
    total = Counter(json.loads(file.read_text()) if file.exists() else {})
    file.write_text(json.dumps(total + Counter(passed)))


def missing(version: str, results: Path) -> dict[str, tuple[int, int]]:
    """Modules with fewer passed tests than without our addons: (passed, expected).

    Empty for an Odoo whose numbers are not recorded.

    :param results: what `record` wrote.
    """
    passed = json.loads(results.read_text()) if results.exists() else {}
    return {
        module: (passed.get(module, 0), count)
        for module, count in BASELINES.get(version, {}).items()
        if passed.get(module, 0) < count
    }
