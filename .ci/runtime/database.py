"""Template databases: modules are installed once, a copy takes a second.

Two layers. The base template holds Odoo's modules and queue_job; it changes only with Odoo or the
lock file. The template holds our addons on a copy of it; it changes with their content. Tests and
the demo work on copies. A third one, made when a test asks for it, adds the addons of tests/addons.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from . import paths
from .console import EnvironmentProblem, run, step
from .project import Project
from .usage import alone

# What our addons build on, now and in the next steps, plus the applications a shop uses: one base
# for all of them.
MODULES = ("sale_management", "stock_delivery", "account_payment", "payment_stripe", "queue_job")
BASE = "integration-base-"
TEMPLATE = "integration-template-"
TESTBED = "integration-testbed-"
# Else the first page of every copy waits for them, and in tests that of every class, rolled back.
# As Odoo's own runner does.
ASSETS = """
env["ir.qweb"]._pregenerate_assets_bundles()
env.cr.commit()
"""
# A test run that began before an addon was edited still copies the template it knows.
KEPT = 3


def base_template(project: Project) -> str:
    """Name of the database with Odoo's modules only, built if it is not there."""
    name = BASE + paths.fingerprint(
        project.odoo.version, str(project.odoo.path), paths.LOCK_FILE, *MODULES
    )
    with alone(paths.STATE / "template.lock"):
        return _ensure(project, name, None, list(MODULES))


def template(project: Project) -> str:
    """Name of the database with all our addons, built if it is not there; drops old ones."""
    base = base_template(project)
    addons = paths.addons()
    if not addons:
        return base
    name = TEMPLATE + paths.fingerprint(base, *addons)
    with alone(paths.STATE / "template.lock"):
        _ensure(project, name, base, [addon.name for addon in addons])
        _drop_older(project, BASE, base)
        _drop_older(project, TEMPLATE, name)
    return name


def testbed_template(
    project: Project, source: str, *, test_addons: bool = False, modules: Sequence[str] = ()
) -> str:
    """Name of a copy of the template `source` with more in it, built if needed.

    :param test_addons: with the addons of tests/addons.
    :param modules: modules of Odoo, e.g. such as our addons work with and do not depend on.
    """
    addons = paths.test_addons() if test_addons else []
    name = TESTBED + paths.fingerprint(source, *modules, *addons)
    with alone(paths.STATE / "template.lock"):
        wanted = [*modules, *(addon.name for addon in addons)]
        _ensure(project, name, source, wanted, *([paths.TEST_ADDONS] if addons else []))
        _drop_older(project, TESTBED, name)
    return name


def is_ours(name: str) -> bool:
    """Whether a database was made by this module."""
    return name.startswith((BASE, TEMPLATE, TESTBED))


def _drop_older(project: Project, family: str, kept: str) -> None:
    older = [
        other for other in project.server.databases() if other.startswith(family) and other != kept
    ]
    drop(project, *older[:-KEPT])


def copy(project: Project, source: str, target: str) -> None:
    """Make database `target` a copy of `source`, with its files."""
    project.server.copy(source, target)
    files = _filestore(target)
    shutil.rmtree(files, ignore_errors=True)
    if _filestore(source).exists():
        shutil.copytree(_filestore(source), files)


def drop(project: Project, *names: str) -> None:
    """Drop databases and their files."""
    project.server.drop(*names)
    for name in names:
        shutil.rmtree(_filestore(name), ignore_errors=True)


def _filestore(name: str):
    return paths.STATE / "data" / "filestore" / name


def _ensure(
    project: Project, name: str, source: str | None, modules: list[str], *folders: Path
) -> str:
    """:param folders: where addons are besides the root of the checkout."""
    if name in project.server.databases():
        return name
    what = "Odoo's modules" if source is None else "our addons"
    building = f"{name}-building"
    log = paths.LOGS / f"install-{'base' if source is None else 'addons'}.log"
    with step(f"Installing {what}: {', '.join(modules)}"):
        if source:
            copy(project, source, building)
        else:
            drop(project, building)
            project.server.psql(
                f"CREATE DATABASE \"{building}\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C'"
            )
        config = project.write_config(
            paths.STATE / "install.conf",
            max_cron_threads=0,
            workers=0,
            addons_path=project.addons_path(paths.ROOT, *folders),
        )
        run(
            project.odoo_command(
                config, "-d", building, "-i", ",".join(modules), "--stop-after-init", "--no-http",
                "--log-handler=odoo.modules.loading:INFO",
            ),
            f"{what[0].upper()}{what[1:]} cannot be installed; the whole log is in {log}.",
            env=project.environment(),
            cwd=paths.ROOT,
            log=log,
        )  # fmt: skip
        missing = set(modules) - set(
            project.server.psql(
                "SELECT name FROM ir_module_module WHERE state = 'installed'", building
            ).splitlines()
        )
        if missing:
            raise EnvironmentProblem(
                f"{', '.join(sorted(missing))} did not install; the log is in {log}."
            )
        if source:
            run(
                project.odoo_command(config, "shell", "--no-http", "-d", building),
                "Odoo could not make its scripts and style sheets.",
                env=project.environment(),
                cwd=paths.ROOT,
                stdin=ASSETS,
            )
        project.server.psql(f'ALTER DATABASE "{building}" RENAME TO "{name}"')
        if _filestore(building).exists():
            _filestore(building).rename(_filestore(name))
    return name
