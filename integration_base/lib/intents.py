"""Rules of calls that must not be repeated: their keys, and what an error says about them."""

from .digest import digest
from .errors import (
    AddressError,
    AuthError,
    ConfigurationError,
    RateLimitedError,
    RequestRefused,
    RetryableError,
    SkipRecord,
)

#: Seconds after its start within which a call whose answer was lost may still be carried out:
#: longer than our client and usual gateways keep a request alive.
LATE_SECONDS = 60
#: Characters of :func:`intent_key`.
KEY_LENGTH = 32
_HTTP_CONFLICT = 409


def intent_key(
    database: str, backend_id: int, action: str, model: str, record_id: int, key: str | None = None
) -> str:
    """The name of one effect, equal in every try to bring it about.

    :param database: identity of this Odoo: two of them may use one account of a service.
    :param key: tells repetitions of one action on one record apart, e.g. two partial refunds.
    """
    return digest([database, backend_id, action, model, record_id, key])[:KEY_LENGTH]


def service_key(key: str, try_number: int) -> str:
    """The idempotency key to send.

    Services keep their answer under it, refusals included (Stripe: also a 500, for a day), so a
    corrected try has to use another one.
    """
    return key if try_number == 1 else f"{key}-{try_number}"


def intent_of(sent_key: str) -> str:
    """The key of the intent whose :func:`service_key` this is."""
    return sent_key[:KEY_LENGTH]


def outcome_of(error: BaseException) -> str:
    """What became of the call that raised this.

    ``not_sent``: certainly not carried out; the same may be sent again. ``refused``: certainly not
    carried out, and not as it stands. ``unknown``: everything else. Bad data in an answer
    (:class:`.InvalidPayloadError`) says nothing about the effect, and HTTP 409 mostly means that
    the same request was or is being carried out.
    """
    if isinstance(error, RetryableError):
        return error.outcome if error.outcome in ("not_sent", "refused") else "unknown"
    if isinstance(error, (RateLimitedError, AuthError, AddressError)):
        return "not_sent"
    if isinstance(error, RequestRefused):
        return "unknown" if error.status == _HTTP_CONFLICT else "refused"
    if isinstance(error, (ConfigurationError, SkipRecord)):
        return "refused"
    return "unknown"


def needs_fresh_key(outcome: str, repeated: bool) -> bool:
    """Whether the next call has to use another key than the last one.

    :param repeated: whether the last call had repeated its key after a lost answer. One repetition
        with the same key cannot double anything where keys are honoured; if it fails as well, the
        service may be replaying an error it keeps.
    """
    return outcome in ("refused", "void") or (outcome in ("new", "unknown") and repeated)


def seconds_to_wait(elapsed: float, late_seconds: float, fresh_key: bool, default: float) -> float:
    """How long a call whose answer was lost may still arrive, 0 when it no longer can.

    :param elapsed: seconds since that call began.
    :param late_seconds: what the connector says; 0 where keys are honoured.
    :param default: holds at least when the next call uses another key.
    """
    limit = max(late_seconds, default) if fresh_key else late_seconds
    return max(0.0, limit - elapsed)
