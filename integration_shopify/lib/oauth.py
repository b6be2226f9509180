"""Shopify's OAuth: addresses, scopes, and the checks of what comes back."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from odoo.addons.integration_base.lib.errors import AuthError, ConfigurationError, RequestRefused
from odoo.addons.integration_base.lib.signature import verify_hmac

#: What the features of this addon need, and nothing more. Orders older than 60 days need
#: read_all_orders, which Shopify grants on request.
SCOPES = ("read_orders", "read_customers", "read_products", "read_locations")
#: Tokens are replaced this long before they expire.
RENEW_EARLY = timedelta(minutes=5)
TOKEN_PATH = "/admin/oauth/access_token"
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


def authorize_url(base_url: str, client_id: str, redirect_uri: str, state: str) -> str:
    """Return the page on which the owner of the shop grants access."""
    query = urlencode(
        {
            "client_id": client_id,
            "scope": ",".join(SCOPES),
            "redirect_uri": redirect_uri,
            "state": state,
        }
    )
    return f"{base_url}/admin/oauth/authorize?{query}"


def is_signed_query(parameters: dict, secrets: list[str]) -> bool:
    """Whether the query of a callback was signed by Shopify with one of ``secrets``."""
    signed = {key: value for key, value in parameters.items() if key not in ("hmac", "signature")}
    message = "&".join(f"{key}={value}" for key, value in sorted(signed.items()))
    return verify_hmac(secrets, message.encode(), parameters.get("hmac"), encoding="hex")


def request_token(http, form: dict) -> dict:
    """Ask for an access token.

    :param http: HTTP client of the shop that sends no token.
    :param form: ``client_id``, ``client_secret`` and what the kind of grant needs.
    :returns: ``{"access_token", "expires_at", "refresh_token", "refresh_expires_at", "scope"}``;
        times are naive UTC or None.
    :raises AuthError: when Shopify refuses.
    """
    refused = "Check client id and client secret, and that the app is installed in this shop."
    try:
        answer = http.post(TOKEN_PATH, data=form, label="get an access token").json()
    except (AuthError, RequestRefused) as error:
        raise AuthError(
            f"Shopify issued no access token. {refused}", detail=error.message
        ) from error
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not token:
        raise AuthError(f"Shopify issued no access token. {refused}")
    return {
        "access_token": token,
        "expires_at": _expiry(answer.get("expires_in")),
        "refresh_token": answer.get("refresh_token"),
        "refresh_expires_at": _expiry(answer.get("refresh_token_expires_in")),
        "scope": answer.get("scope") or "",
    }


def _expiry(seconds) -> datetime | None:
    if not isinstance(seconds, int | float) or seconds <= 0:
        return None
    life = timedelta(seconds=seconds)
    now = datetime.now(UTC).replace(tzinfo=None)
    return now + max(life - RENEW_EARLY, life / 2)


def missing_scopes(granted) -> list[str]:
    """Return which of :data:`SCOPES` are not granted; a write scope includes reading."""
    have = set(granted) | {name.replace("write_", "read_", 1) for name in granted}
    return [scope for scope in SCOPES if scope not in have]


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
