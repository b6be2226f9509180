"""Finds an Odoo 19, or fetches one.

In this order: the folder in ODOO_SOURCE, an `odoo` that this Python can import, Debian's package
`odoo-19`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import debian, paths
from .console import EnvironmentProblem, step

SERIES = "19.0"

# Debian's build replaces the front-end files of Odoo by links into these packages; the login page
# needs them.
FRONT_END = (
    "libjs-jquery/sid",
    "libjs-jquery-form/sid",
    "libjs-underscore/sid",
    "fonts-roboto-unhinted/sid",
    "fonts-montserrat/sid",
    "fonts-inconsolata/sid",
    "fonts-font-awesome/stable",  # Odoo needs 4.7, unstable has 7
)
# Taken out of Debian's build (not free); its absence is a console error that fails every browser
# tour.
REMOVED = "mail/static/lib/selfie_segmentation/selfie_segmentation.js"


@dataclass(frozen=True)
class OdooSource:
    """A usable Odoo 19."""

    path: Path
    """Folder that holds the Python package `odoo`."""
    addons: tuple[Path, ...]
    """Addon folders outside the package (a Git checkout has one)."""
    version: str
    origin: str


def find() -> OdooSource:
    """The Odoo to use; fetches Debian's build into the cache when there is none.

    :raises EnvironmentProblem: ODOO_SOURCE is no Odoo 19, or nothing was found and nothing can be
        fetched.
    """
    named = os.environ.get("ODOO_SOURCE")
    if named:
        return _inspect(Path(named).expanduser().resolve(), "ODOO_SOURCE")
    spec = importlib.util.find_spec("odoo")
    for location in (spec.submodule_search_locations if spec else None) or ():
        if (Path(location) / "release.py").exists():
            return _inspect(Path(location).parent, "the importable odoo of this Python")
    return _debian()


def _inspect(folder: Path, origin: str) -> OdooSource:
    release = folder / "odoo" / "release.py"
    if not release.exists():
        raise EnvironmentProblem(
            f"{origin} points to {folder}, which holds no odoo/release.py: name the folder of an "
            f"Odoo {SERIES}."
        )
    text = release.read_text()
    found = re.search(
        r"^version_info\s*=\s*\(\s*['\"]?([^,'\"]+)['\"]?,\s*(\d+)", text, re.MULTILINE
    )
    series = f"{found[1]}.{found[2]}" if found else "an unknown version"
    if series != SERIES:
        raise EnvironmentProblem(
            f"{origin} is Odoo {series} in {folder}, and these addons need {SERIES}: "
            f"name an Odoo {SERIES} in ODOO_SOURCE, or leave it empty to fetch one."
        )
    beside = folder / "addons"
    # Debian's `addons` folder beside the package holds the Python half of what is complete in
    # odoo/addons.
    complete = (beside / "web" / "static").is_dir() and not (
        folder / "odoo" / "addons" / "web"
    ).exists()
    return OdooSource(
        folder, (beside,) if complete else (), f"{series}-{paths.fingerprint(release)}", origin
    )


def _debian() -> OdooSource:
    root = paths.cache() / f"odoo-{SERIES}"
    package_folder = root / "usr/lib/python3/dist-packages"
    if not root.exists():
        apt = debian.Apt(paths.cache() / "apt")
        with step("Reading the package lists of Debian"):
            apt.update()
        with step("Fetching Odoo 19 and its front-end files (125 MB)"):
            files = apt.download("odoo-19/sid", *FRONT_END)
        partial = root.with_name(f"{root.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        with step("Unpacking Odoo 19 (1.1 GB)"):
            for file in files:
                debian.unpack(file, partial)
            removed = partial / "usr/lib/python3/dist-packages/odoo/addons" / REMOVED
            removed.parent.mkdir(parents=True, exist_ok=True)
            removed.touch()
            partial.rename(root)
        for file in files:
            file.unlink()
    return _inspect(package_folder, "Debian's package odoo-19")
