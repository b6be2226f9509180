"""Errors named after the recovery they need: raise the one that says what the engine shall do.

=================== ==================================== ==================================
raise               meaning                              the engine does
=================== ==================================== ==================================
RetryableError      network, timeout, 5xx                retry later with backoff, then dead
RateLimitedError    429 or cost throttle                 the flow waits, no attempt is used
NotReadyError       what we depend on is not ready       the operation waits, none is used
DependencyError     another record has to come first     as above; that record is imported
AuthError           credentials refused or expired       the backend pauses, its owner is told
AddressError        the address must not be called       the backend pauses, its owner is told
CredentialError     a credential is missing, unreadable  the backend pauses, its owner is told
KeyUnavailable      the server has no key for them       the flow waits, goes on by itself
ConfigurationError  a setting is missing or wrong        dead letter
MappingError        values without a mapping             dead letter, released by the mapping
MissingScopeError   the service does not allow it        the flow stops, its owner is told
InvalidPayloadError data that breaks the contract        dead letter with each field's path
AmbiguousMatchError several Odoo records could be meant  dead letter with the candidates
ConflictError       both sides changed                   dead letter with both values
RequestRefused      our request is refused (4xx)         dead letter
SkipRecord          not for us                           skipped, with the reason
Odoo's UserError    Odoo refuses what we write           dead letter with Odoo's reason
anything else       a bug                                dead letter with traceback
=================== ==================================== ==================================

The text of an error is read by a clerk: say what happened, to which record, and what to do next.
"""

from collections.abc import Iterable
from dataclasses import dataclass


class IntegrationError(Exception):
    """Base of all errors the engine knows.

    :param message: text for the person who reviews the failure.
    :param detail: technical text for whoever looks deeper (never shown first).
    """

    #: Stored on the operation; groups failures in the sync log.
    error_class = "error"

    def __init__(self, message: str, *, detail: str | None = None):
        super().__init__(message)
        self.message = message
        self.detail = detail


class RetryableError(IntegrationError):
    """A technical failure that may pass by itself.

    :param outcome: ``not_sent`` when the request certainly did not reach the other side,
        ``refused`` when it certainly was not carried out and takes a new idempotency key,
        ``unknown`` when it may have been carried out.
    :param retry_after: seconds the other side asked us to wait, if it did.
    """

    error_class = "retryable"

    def __init__(self, message, *, outcome="unknown", retry_after=None, detail=None):
        super().__init__(message, detail=detail)
        self.outcome = outcome
        self.retry_after = retry_after


class RateLimitedError(IntegrationError):
    """The other side asks us to slow down.

    :param retry_after: seconds until the next call may succeed.
    """

    error_class = "rate_limited"

    def __init__(self, message, *, retry_after: float = 1.0, detail=None):
        super().__init__(message, detail=detail)
        self.retry_after = retry_after


class NotReadyError(IntegrationError):
    """Something this operation needs is still being made (here or there).

    :param retry_after: seconds until it is worth looking again.
    """

    error_class = "not_ready"

    def __init__(self, message, *, retry_after: float = 30.0, detail=None):
        super().__init__(message, detail=detail)
        self.retry_after = retry_after


class DependencyError(NotReadyError):
    """The operation needs another external record that is not in Odoo yet.

    The engine imports that record where the backend has a flow for it, and goes on with the
    operation as soon as it is there.

    :param resource: code of the resource of the record needed, of the same connector.
    :param external_id: its id there.
    """

    error_class = "dependency"

    def __init__(self, message, *, resource, external_id, retry_after: float = 300.0, detail=None):
        super().__init__(message, retry_after=retry_after, detail=detail)
        self.resource = resource
        self.external_id = external_id


class VanishedError(NotReadyError):
    """So many records are gone at once that a person has to confirm it; raised by the engine."""

    error_class = "vanished"


class AuthError(IntegrationError):
    """The credentials were refused or have expired."""

    error_class = "auth"


class TokenRefused(AuthError):
    """No token can be had until a person has acted; it is not asked for a second time."""


class ConfigurationError(IntegrationError):
    """A setting is missing or contradicts another one."""

    error_class = "configuration"


class RightsError(ConfigurationError):
    """The user a backend works as lacks a right, on every record of a kind or only on one."""


class AddressError(ConfigurationError):
    """The address of the service is one that must not be called; nothing was sent.

    Every record would meet it until a person corrects the address, so the backend pauses.
    """


class CredentialError(ConfigurationError):
    """A credential is missing or cannot be used; nothing was sent.

    Every record would meet it until a person has typed it in, so the backend pauses.
    """


class KeyUnavailable(ConfigurationError):
    """The server has no key to open credentials with; nothing was sent.

    All backends meet it at once, and each of them again until the administrator has corrected it:
    the flows wait and look again, nobody has to resume them one by one.
    """

    #: Seconds until it is worth looking again.
    retry_after = 60.0


class MissingScopeError(ConfigurationError):
    """The service has not granted a right (access scope) that the work needs.

    The flow stops, its operations wait: nothing is wrong with the records.

    :param scopes: one tuple of names per missing right; one of each tuple is enough.
    """

    error_class = "scope"

    def __init__(self, message, *, scopes: list[tuple[str, ...]], detail=None):
        super().__init__(message, detail=detail)
        self.scopes = scopes


@dataclass(frozen=True)
class MissingValue:
    """A value of the external system that has no counterpart in Odoo yet.

    :param kind: mapping kind, e.g. ``tax`` (see ``integration.mapping``).
    :param value: the external value, the key of the mapping row.
    :param label: the same for people, e.g. ``VAT 19 % (included)``.
    """

    kind: str
    value: str
    label: str = ""


class MappingError(ConfigurationError):
    """Values of the external system have no counterpart in Odoo.

    The engine collects them as rows to fill in; saving the last one releases the operation.

    :param missing: every missing value of the record, not only the first.
    """

    error_class = "mapping"

    def __init__(self, message, *, missing: list[MissingValue], detail=None):
        super().__init__(message, detail=detail)
        self.missing = missing


class InvalidPayloadError(IntegrationError):
    """The data received breaks the contract.

    :param problems: ``(path, message)`` of every bad field, the path like ``lineItems.0.quantity``.
    """

    error_class = "invalid_payload"

    def __init__(self, message, *, problems: list[tuple[str, str]] | None = None, detail=None):
        super().__init__(message, detail=detail)
        self.problems = problems or []


class AmbiguousMatchError(IntegrationError):
    """Several Odoo records could be the counterpart; a person has to choose.

    :param candidates: what the message calls the records (texts): failures that differ only in
        these names are one incident.
    """

    error_class = "ambiguous"

    def __init__(self, message, *, candidates: Iterable[str] = (), detail=None):
        super().__init__(message, detail=detail)
        self.candidates = tuple(candidates)


class ConflictError(IntegrationError):
    """Odoo and the external system changed the same thing in different ways."""

    error_class = "conflict"


class RequestRefused(IntegrationError):
    """The other side answered that our request is wrong (HTTP 4xx)."""

    error_class = "refused"

    def __init__(self, message, *, status: int | None = None, detail=None):
        super().__init__(message, detail=detail)
        self.status = status


class SkipRecord(IntegrationError):
    """This record is not for us; the reason is shown in the sync log."""

    error_class = "skip"


class WebhookRefused(IntegrationError):
    """A notification is not authentic; it is answered with 401 and creates no operation."""

    error_class = "webhook_refused"


#: What everything of a backend meets until a person has acted: work waits instead of failing.
PAUSING = (AuthError, AddressError, CredentialError)
