"""Settings in the section ``[integration]`` of Odoo's configuration file."""

from configparser import RawConfigParser
from functools import cache


@cache
def read_setting(path: str | None, name: str) -> str:
    """The line ``name`` of the section, empty without it.

    Read once; a changed file needs a restart, as for Odoo's own settings.

    :param path: of the file; None for a server without one.
    """
    parser = RawConfigParser()
    parser.read([path] if path else [])
    return parser.get("integration", name, fallback="")
