"""`./run test --core`: our addons leave the tests of the modules below as green as they were.

A test that a module inherits from another one's is left out: it belongs there. (`sale` repeats the
tax tables of `account` eighty times, which takes longer than all the rest.)
"""

from __future__ import annotations

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
# Tells the pytest plugin that this is such a run, and of which Odoo.
VARIABLE = "INTEGRATION_CORE_TESTS"
# Tests that fail with Odoo's modules alone, once all of them are installed.
LEFT_OUT = {
    # Says itself that it runs before sale_stock is installed.
    ("sale", "test_qty_delivered"),
}
# Passed tests of each module without our addons (`./run test --core --baseline`), by version of
# Odoo. Fewer with them is a failure too: a test that is skipped or no longer collected has not
# passed.
BASELINES: dict[str, dict[str, int]] = {}


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


def missing(version: str, passed: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Modules with fewer passed tests than without our addons: (passed, expected).

    Empty for an Odoo whose numbers are not recorded.
    """
    expected = BASELINES.get(version, {})
    return {
        module: (passed.get(module, 0), count)
        for module, count in expected.items()
        if passed.get(module, 0) < count
    }
