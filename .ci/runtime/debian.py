"""Debian packages without touching the system: a private apt configuration that downloads and
unpacks.

apt checks the archive's signature and every package's hash, so what arrives here is what Debian
signed.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from . import paths
from .console import EnvironmentProblem, run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
WITHOUT_DEBIAN = (
    "Unpack Odoo 19 (its Git branch 19.0 or the nightly source) anywhere and start again with "
    "ODOO_SOURCE=that folder."
)


def archive() -> str:
    """Base URI of the Debian archive this machine already uses; `DEBIAN_ARCHIVE` overrides it.

    :raises EnvironmentProblem: no apt here, or its sources name no Debian archive (Ubuntu).
    """
    named = os.environ.get("DEBIAN_ARCHIVE")
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise EnvironmentProblem(f"This machine has no apt to fetch Odoo 19 with. {WITHOUT_DEBIAN}")
    if named:
        return named
    lines = run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(ORIGIN)|$(SITE)|$(REPO_URI)|$(RELEASE)",
            "Identifier: Packages",
        ],
        "apt cannot read its own sources: repair /etc/apt, or use ODOO_SOURCE.",
    ).splitlines()
    # Before the first `apt-get update` the origin is unknown; the path of the archive is `/debian`
    # on every mirror.
    for line in lines:
        origin, _site, uri, _release = line.split("|")
        if origin == "Debian" or uri.rstrip("/").endswith("/debian"):
            return uri
    return _published_archive()


def _published_archive() -> str:
    """The address that python-apt knows for Debian, for a machine that runs Ubuntu."""
    problem = (
        "The apt sources of this machine name no Debian archive, and Odoo 19 comes from Debian: "
        "run `apt-get update` and start again, or set DEBIAN_ARCHIVE to the address of a Debian "
        "mirror. "
        f"Or: {WITHOUT_DEBIAN}"
    )
    folder = _own_package("python-apt-common", problem)
    text = (folder / "usr/share/python-apt/templates/Debian.info").read_text()
    found = re.search(r"^BaseURI: (\S+)", text, re.MULTILINE)
    if not found:
        raise EnvironmentProblem(problem)
    return found[1]


def _own_package(name: str, problem: str) -> Path:
    """Unpack a package of this machine's own archive, signed by it; returns the folder."""
    folder = paths.cache() / "apt" / name
    folder.mkdir(parents=True, exist_ok=True)
    run(["apt-get", "download", "-q", name], problem, cwd=folder)
    unpack(next(folder.glob(f"{name}_*.deb")), folder)
    return folder


class Apt:
    """apt with its own source list, package lists and download folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.config = folder / "apt.conf"

    def update(self) -> None:
        """Read the package lists of Debian's unstable and stable suites, signatures checked."""
        base = archive()
        keyring = self._keyring()
        for name in ("lists/partial", "cache/archives/partial", "packages"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        sources = self.folder / "sources.list"
        sources.write_text(
            "".join(
                f"deb [signed-by={keyring}] {base} {suite} main\n" for suite in ("sid", "stable")
            )
        )
        self.config.write_text(
            f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "-";\n'
            f'Dir::State::lists "{self.folder}/lists";\nDir::Cache "{self.folder}/cache";\n'
            # The download sandbox user cannot enter a private cache folder; signatures are checked
            # anyway.
            'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
            # without it, apt goes on with what it has when the network is down
            'APT::Update::Error-Mode "any";\n'
        )
        run(
            ["apt-get", "-c", self.config, "update", "-q"],
            "The Debian archive cannot be read: check the network and the proxy (http_proxy), "
            "then start again.",
            timeout=600,
        )

    def download(self, *packages: str) -> list[Path]:
        """Fetch packages (`name` or `name/suite`); returns the .deb files."""
        target = self.folder / "packages"
        files = []
        for package in packages:
            run(
                ["apt-get", "-c", self.config, "download", "-q", package],
                f"The Debian package {package} cannot be fetched: check the network, then start "
                f"again.",
                cwd=target,
                timeout=900,
            )
            files.append(
                max(
                    target.glob(f"{package.split('/')[0]}_*.deb"),
                    key=lambda file: file.stat().st_mtime,
                )
            )
        return files

    def _keyring(self) -> Path:
        if KEYRING.exists():
            return KEYRING
        # Ubuntu has the keys as a package of its own archive.
        problem = (
            "The keys of the Debian archive are missing: run `apt-get update` and "
            "`apt-get install debian-archive-keyring`, then start again."
        )
        return _own_package("debian-archive-keyring", problem) / str(KEYRING).lstrip("/")


def unpack(package: Path, target: Path) -> None:
    """Unpack a .deb into a folder, without installing it."""
    target.mkdir(parents=True, exist_ok=True)
    run(
        ["dpkg-deb", "-x", package, target], f"{package.name} cannot be unpacked: is the disk full?"
    )
