"""Connects an Odoo with the addon integration_generic to a running simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CREDENTIALS = {"key": "demo-key", "secret": "demo-secret"}


def connect_backend(
    call: Callable[..., Any],
    url: str,
    service_url: str,
    name: str = "Generic",
    flows: dict[str, dict[str, Any]] | None = None,
    credentials: dict[str, str] | None = None,
    **values: Any,
) -> int:
    """Create a backend of the connector generic and connect it, as a user would; returns its id.

    :param call: ``call(model, method, *arguments)`` on Odoo, as the administrator.
    :param url: address of Odoo, where the simulator sends its notifications.
    :param flows: values of flows by their resource, e.g. ``{"noop": {"batch_size": 1}}``; set
        before the backend is connected.
    :param credentials: what the service was started with, if not ``CREDENTIALS``.
    :param values: further ones of the backend.
    """
    call("ir.config_parameter", "set_param", "web.base.url", url)
    call("ir.config_parameter", "set_param", "web.base.url.freeze", "True")
    values = {"name": name, "connector": "generic", "base_url": service_url, **values}
    backend = call("integration.backend", "create", [values])[0]
    for code, value in (credentials or CREDENTIALS).items():
        domain = [("backend_id", "=", backend), ("code", "=", code)]
        rows = call("integration.credential", "search", domain)
        call("integration.credential", "write", rows, {"value": value})
    for resource, settings in (flows or {}).items():
        domain = [("backend_id", "=", backend), ("resource", "=", resource)]
        call("integration.flow", "write", call("integration.flow", "search", domain), settings)
    call("integration.backend", "action_test_connection", [backend])
    return backend
