"""Shopify's OAuth: addresses, scopes, and the checks of what comes back."""

import re

from odoo.addons.integration_base.lib.errors import ConfigurationError
from odoo.addons.integration_base.lib.signature import verify_hmac

AUTHORIZE_PATH = "/admin/oauth/authorize"
TOKEN_HEADER = "X-Shopify-Access-Token"
#: Where tokens come from and go to.
TOKENS = {
    "token_url": "/admin/oauth/access_token",
    "client_auth": "client_secret_post",
    "header": TOKEN_HEADER,
    "prefix": "",
}
_SHOP = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.myshopify\.com")


def is_shop_domain(text: str) -> bool:
    """Whether ``text`` is the domain of a shop, e.g. ``demo.myshopify.com``."""
    return bool(_SHOP.fullmatch(text or ""))


def shop_address(text: str) -> str:
    """Turn what people type (``demo``, ``Demo.myshopify.com/admin``) into ``https://...``.

    Addresses with a scheme of their own keep it and lose their path.
    """
    text = (text or "").strip()
    if not text:
        return ""
    scheme, rest = text.split("://", 1) if "://" in text else ("https", text)
    host = rest.split("/", 1)[0].split("?", 1)[0].lower()
    admin = re.match(r"admin\.shopify\.com/store/([a-z0-9-]+)", rest.lower())
    if admin:
        host = f"{admin[1]}.myshopify.com"
    elif "." not in host and ":" not in host and host != "localhost":
        host = f"{host}.myshopify.com"
    return f"{scheme.lower()}://{host}"


def is_signed_query(parameters: dict, secrets: list[str]) -> bool:
    """Whether the query of a callback was signed by Shopify with one of ``secrets``."""
    signed = {key: value for key, value in parameters.items() if key not in ("hmac", "signature")}
    message = "&".join(f"{key}={value}" for key, value in sorted(signed.items()))
    return verify_hmac(secrets, message.encode(), parameters.get("hmac"), encoding="hex")


def refuse_foreign_host(base_url: str, sandbox: bool) -> None:
    """Refuse to send credentials to a host that is no shop.

    :param sandbox: a test backend may also talk to a simulator on any host of its own.
    :raises ConfigurationError: with the form an address has to have.
    """
    host = base_url.split("://", 1)[-1]
    if not sandbox and not is_shop_domain(host):
        raise ConfigurationError(
            f"{host} is not the address of a Shopify shop. Type the shop's own domain, such as "
            f"demo.myshopify.com: it stands in the address bar of the Shopify admin, after /store/."
        )
