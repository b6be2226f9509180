"""Shopify's Admin GraphQL API on top of the integration HTTP client.

The client never waits and never tries again: it raises the error that says what the engine has to
do. Shopify reports failures in three layers:

1. HTTP (network, 401, 429, 5xx): handled by the ``HttpClient`` of integration_base.
2. ``errors`` beside or instead of ``data``, nearly always with HTTP 200. ``execute`` raises when
   nothing usable came; partial data is kept, with its errors in :attr:`Answer.errors`.
3. ``userErrors`` of a mutation: :meth:`GraphqlClient.mutate` and :func:`refuse_user_errors` raise
   :class:`UserErrors`, which keeps path, code and message of each.

What became of a mutation can be read off its error (``outcome_of`` in ``lib/intents.py`` of
integration_base): refused for sure, certainly not carried out, or unknown.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from odoo.addons.integration_base.lib.errors import (
    AuthError,
    ConfigurationError,
    ConflictError,
    IntegrationError,
    InvalidPayloadError,
    MissingScopeError,
    NotReadyError,
    RateLimitedError,
    RequestRefused,
    RetryableError,
)
from odoo.addons.integration_base.lib.intents import outcome_of
from odoo.addons.integration_base.lib.token_bucket import RateLimit, RateState

from .cost import estimate
from .versions import API_VERSION, may_write

ENDPOINT = f"/admin/api/{API_VERSION}/graphql.json"
#: Points of a shop on the standard plan; every answer tells the real size of its bucket.
POINTS = RateLimit("points", per_second=100, capacity=2000)
#: What queries cost that were asked before, by their text and sizes.
_known_costs: dict[tuple, float] = {}

_FOLDER = Path(__file__).parent.parent / "graphql"
_SPREAD = re.compile(r"\.\.\.\s*([A-Z]\w*)")
_FRAGMENT = re.compile(r"^fragment\s+(\w+)\s+on\b.*?^\}", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"^\s*#.*\n", re.MULTILINE)
_SCOPE = re.compile(r"`((?:read|write)_[a-z_]+)`")
#: Refused before anything was run, even where a shell of data comes along.
_REFUSALS = frozenset({"THROTTLED", "MAX_COST_EXCEEDED"})
#: Codes of top-level errors by which a mutation certainly was not run: its document, its variables
#: or the access to it were refused. The first part is how those of GraphQL's static checks begin.
#: https://shopify.dev/docs/api/admin-graphql#status_and_error_codes
_NOT_RUN = re.compile(
    r"(argument|missingRequired|variable)\w*"
    r"|undefinedField|INVALID_VARIABLE|INVALID_FIELD_ARGUMENTS|BAD_REQUEST|ACCESS_DENIED|THROTTLED"
    r"|MAX_COST_EXCEEDED|MAX_INPUT_SIZE_EXCEEDED|RESOURCE_NOT_FOUND|IDEMPOTENCY_\w+"
)
#: Seconds after which the same mutation, still being carried out, is worth asking for again.
_CONCURRENT_SECONDS = 5.0
#: What Shopify says about idempotency keys in userErrors that have no code (``refundCreate``): the
#: descriptions of the codes in its schema, which other mutations do send.
_KEY_TEXTS = {
    "currently in progress": "IDEMPOTENCY_CONCURRENT_REQUEST",
    "different operation parameters": "IDEMPOTENCY_KEY_PARAMETER_MISMATCH",
    "idempotency key failed": "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED",
}


class QueryTooExpensive(RequestRefused):
    """The query would cost more than one query may; ask for less at once."""


class Problem(NamedTuple):
    """One of the ``userErrors`` of a mutation.

    ``path`` is dotted (``input.quantities.0``) and empty where Shopify names no field; ``code`` is
    empty where the mutation's errors have none.
    """

    path: str
    code: str
    message: str


class UserErrors(RequestRefused):
    """A mutation was refused for what it asks; nothing of it was carried out.

    :param problems: every :class:`Problem`.
    :param payload: the mutation's field of ``data``, as far as Shopify filled it.
    """

    def __init__(self, message, *, problems: list[Problem], payload: dict):
        super().__init__(message, status=200)
        self.problems = problems
        self.payload = payload

    @property
    def codes(self) -> set[str]:
        """The codes of the problems, to react to one of them."""
        return {problem.code for problem in self.problems if problem.code}

    def only(self, *codes: str) -> bool:
        """Whether every problem has one of these codes."""
        return all(problem.code in codes for problem in self.problems)


class Payload(dict):
    """What a mutation returned.

    :param errors: top-level errors of parts of it that could not be read. The mutation was carried
        out nevertheless.
    """

    def __init__(self, values: dict, errors: list[dict]):
        super().__init__(values)
        self.errors = errors


@dataclass
class Answer:
    """What a document returned.

    :param data: the ``data`` object.
    :param errors: top-level errors of parts that could not be read (the rest of ``data`` is good).
    :param api_version: the version that answered; another one than asked for means that ours is
        no longer supported.
    :param deprecated: what Shopify says about deprecated parts of the document.
    :param cost: ``extensions.cost``.
    """

    data: dict
    errors: list[dict] = field(default_factory=list)
    api_version: str = ""
    deprecated: str = ""
    cost: dict = field(default_factory=dict)


@cache
def document(name: str, money: str = "presentment") -> str:
    """Return the GraphQL document ``graphql/<name>.graphql`` with the fragments it uses.

    :param money: ``presentment`` (the buyer's currency) or ``shop``: which side of Shopify's pairs
        of amounts is asked for. Asking for both would cost half as much again.
    """
    fragments = {}
    for path in ("company_fields", "order_fields", "product_fields", f"money_{money}"):
        for match in _FRAGMENT.finditer(_read(path)):
            fragments[match[1]] = match[0]
    text, used = _read(name), []
    pending = _SPREAD.findall(text)
    while pending:
        spread = pending.pop(0)
        if spread not in used and spread in fragments:
            used.append(spread)
            pending += _SPREAD.findall(fragments[spread])
    return "\n".join([text.strip(), *(fragments[name] for name in used)])


def _read(name):
    return _COMMENT.sub("", (_FOLDER / f"{name}.graphql").read_text(encoding="utf-8"))


class GraphqlClient:
    """Runs documents of ``graphql/`` for one shop.

    :param http: :class:`~odoo.addons.integration_base.lib.http.HttpClient` of the shop.
    :param on_answer: called with every :class:`Answer`, to note versions and deprecations.
    :param answering: the version that answered last, as far as it is known. Mutations are refused
        while it is one our documents were never tested against; reading goes on.
    """

    def __init__(self, http, on_answer=None, answering=""):
        self._http = http
        self._on_answer = on_answer
        self._answering = answering or ""

    def execute(self, name: str, variables: dict | None = None, *, money="presentment") -> Answer:
        """Run the document ``name``.

        :raises RateLimitedError: with the seconds until the bucket holds enough for this query.
        :raises QueryTooExpensive: when it can never run in one piece.
        :raises MissingScopeError: when the app lacks an access scope for all of it.
        :raises RequestRefused: when Shopify refuses the document or its variables.
        """
        answer = self._ask(name, variables, money)
        if answer.errors and not any(value is not None for value in answer.data.values()):
            raise _error_of(answer)
        for error in answer.errors:
            # these concern the whole request
            if _code(error) in {*_REFUSALS, "INTERNAL_SERVER_ERROR"}:
                raise _error_of(answer)
        return answer

    def mutate(
        self,
        name: str,
        variables: dict | None = None,
        *,
        idempotency_key: str | None = None,
        action: str = "",
        money="presentment",
    ) -> Payload:
        """Run the mutation ``name`` and return its payload (the field of ``data``).

        Top-level errors of single leaves do not make it fail: it was carried out, so its payload
        is returned, with those errors in :attr:`Payload.errors`.

        :param idempotency_key: sent as ``$idempotencyKey`` where the document declares it, i.e.
            where Shopify knows ``@idempotent``; other mutations have to be guarded by an intent
            that reads before it sends again.
        :param action: what is tried, for the person who reads it: ``refund #1001``.
        :raises UserErrors: when Shopify refuses it.
        :raises NotReadyError: when the same mutation (by its key) is still being carried out.
        :raises ConflictError: when the key was used before, with other variables.
        :raises RetryableError: with ``outcome`` ``refused`` when the last try under this key
            failed, so that it takes a new key (an intent takes one by itself); else when it is not
            known whether it was carried out.
        """
        variables = dict(variables or {})
        if "$idempotencyKey" in document(name, money):
            if not idempotency_key:
                raise ValueError(f"{name} needs an idempotency key")
            variables["idempotencyKey"] = idempotency_key
        answer = self._ask(name, variables, money)
        payload = next(iter(answer.data.values()), None)
        if payload is None:
            if any(len(error.get("path") or ()) > 1 for error in answer.errors):
                # a part that may not be empty could not be read, and took the payload with it
                raise RetryableError(
                    f"{_sentence(action)}, but its answer could not be read. It is looked up "
                    f"before anything is sent again.",
                    detail=_detail(answer.errors),
                )
            if not answer.errors:
                raise RetryableError(
                    "Shopify did not say what became of the request.", detail=str(answer.data)[:500]
                )
            raise _error_of_mutation(answer, action)
        if not any(payload.values()) and _REFUSALS & {_code(error) for error in answer.errors}:
            raise _error_of(answer)
        refuse_user_errors(payload, action, keyed="idempotencyKey" in variables)
        return Payload(payload, answer.errors)

    def _ask(self, name, variables, money) -> Answer:
        """Send a document and return what came, however useful."""
        query = {"query": document(name, money), "variables": variables or {}}
        if query["query"].startswith("mutation"):
            self._refuse_unknown_version()
        response = self._http.post(ENDPOINT, json=query, label=name.replace("_", " "))
        try:
            body = response.json()
        except InvalidPayloadError as error:
            # nobody's data is wrong: a document always gets JSON, unless something cut it
            raise RetryableError(
                "Shopify's answer arrived damaged. It is asked again later.", detail=error.message
            ) from error
        if not isinstance(body, dict):
            raise RetryableError(
                "Shopify answered with something that is not a GraphQL answer.",
                detail=str(body)[:500],
            )
        answer = Answer(
            data=body.get("data") or {},
            errors=_errors(body),
            api_version=response.headers.get("X-Shopify-API-Version", ""),
            deprecated=response.headers.get("X-Shopify-API-Deprecated-Reason", ""),
            cost=(body.get("extensions") or {}).get("cost") or {},
        )
        learn_cost(query, answer.cost)
        self._answering = answer.api_version or self._answering
        if self._on_answer:
            self._on_answer(answer)
        if not answer.errors and not answer.data:
            raise RetryableError("Shopify sent an empty answer.", detail=str(body)[:500])
        return answer

    def _refuse_unknown_version(self):
        """:raises ConfigurationError: while a version answers whose rules we do not know."""
        if may_write(self._answering):
            return
        # it may be another one by now, after an update of this module for example
        self._ask("shop", {}, "presentment")
        if not may_write(self._answering):
            raise ConfigurationError(
                f"Shopify ended version {API_VERSION} of its interface and answers with "
                f"{self._answering}, which this module does not know. Reading goes on; nothing was "
                f"sent, because Shopify might do something else than meant. Update the module, "
                f"then press Retry."
            )


def _errors(body) -> list[dict]:
    errors = body.get("errors") or []
    if isinstance(errors, str):
        # Shopify's gateway answers {"errors": "Not Found"} outside of GraphQL
        errors = [{"message": errors}]
    return [error if isinstance(error, dict) else {"message": str(error)} for error in errors]


def _code(error) -> str:
    return str((error.get("extensions") or {}).get("code") or "")


def _path(error) -> str:
    return ".".join(str(part) for part in error.get("path") or [])


def _sentence(action: str) -> str:
    return f"Shopify was asked to {action}" if action else "The request was sent to Shopify"


def _detail(errors) -> str:
    return "; ".join(
        f"[{_code(error) or 'no code'}] {_path(error)}: {error.get('message', '')}"
        for error in errors
    )[:4000]


def _error_of(answer: Answer) -> IntegrationError:
    codes = {_code(error) for error in answer.errors}
    detail = _detail(answer.errors)
    if "THROTTLED" in codes:
        return RateLimitedError(
            "Shopify asks to slow down; the work goes on by itself.",
            retry_after=throttle_wait(answer.cost),
            detail=detail,
        )
    if "MAX_COST_EXCEEDED" in codes:
        return QueryTooExpensive(
            "Shopify refuses the query as too large. This should not happen: show it to your "
            "integrator.",
            detail=detail,
        )
    if "ACCESS_DENIED" in codes:
        return access_denied(answer.errors)
    for code in codes:
        if found := _key_error(code, "", detail):
            return found
    if "INTERNAL_SERVER_ERROR" in codes or "TIMEOUT" in codes:
        return RetryableError("Shopify had an internal error.", detail=detail)
    if any("access token" in str(error.get("message", "")).lower() for error in answer.errors):
        return AuthError("Shopify refuses the access token.", detail=detail)
    first = answer.errors[0]
    return RequestRefused(
        f"Shopify refuses the request: {first.get('message', 'no reason given')} Show this to your "
        f"integrator.",
        status=200,
        detail=detail,
    )


def _error_of_mutation(answer: Answer, action: str) -> IntegrationError:
    """Return the error for a mutation without a payload, refused only if it certainly was not run.

    Codes that are new, or none at all, say nothing about that.
    """
    error = _error_of(answer)
    if (
        outcome_of(error) != "unknown"
        and not isinstance(error, AuthError)
        and not all(_NOT_RUN.fullmatch(_code(problem)) for problem in answer.errors)
    ):
        return RetryableError(
            f"{_sentence(action)} and answered with an error that does not say whether it was "
            f"done: {answer.errors[0].get('message', 'no reason given')}",
            detail=error.detail,
        )
    return error


def missing_scopes(errors: list[dict]) -> list[tuple[str, ...]]:
    """Return the access scopes that top-level errors ask for: of each tuple, one is enough.

    Data that Shopify protects for privacy is denied by the same code, without naming a scope.
    """
    found = (tuple(_SCOPE.findall(text)) for text in _denials(errors))
    return sorted({scopes for scopes in found if scopes})


def _denials(errors) -> list[str]:
    return [
        str((error.get("extensions") or {}).get("requiredAccess") or error.get("message", ""))
        for error in errors
        if _code(error) == "ACCESS_DENIED"
    ]


def access_denied(errors: list[dict]) -> ConfigurationError:
    """Return the error that says what the app may not read, from top-level errors.

    A :class:`MissingScopeError` where Shopify names the access scopes.
    """
    scopes = missing_scopes(errors)
    paths = ", ".join(sorted({_path(error) for error in errors if _path(error)}))
    detail = f"denied: {paths}"
    if scopes:
        needed = ", ".join(" or ".join(names) for names in scopes)
        return MissingScopeError(
            f"The Shopify app may not read what is needed: {needed}. The page Access of the "
            f"backend says how it is granted. The work waits and goes on by itself.",
            scopes=scopes,
            detail=detail,
        )
    return ConfigurationError(
        f"The Shopify app may not read what is needed: {'; '.join(_denials(errors))} Ask for "
        f"access to this data in the Shopify Dev Dashboard, then press Retry.",
        detail=detail,
    )


def expected_cost(query: dict) -> float:
    """Return the points a query has to find in the bucket.

    :param query: ``query`` and ``variables`` as they are sent.
    """
    key = _cost_key(query)
    if key not in _known_costs:
        # until Shopify's first answer tells
        return estimate(query["query"], query["variables"])
    return _known_costs[key]


def learn_cost(query: dict, cost: dict) -> None:
    """Remember what Shopify wanted for a query.

    :param cost: ``extensions.cost`` of the answer.
    """
    requested = cost.get("requestedQueryCost")
    if isinstance(requested, int | float):
        if len(_known_costs) >= 1000:
            _known_costs.clear()
        _known_costs[_cost_key(query)] = float(requested)


def _cost_key(query: dict) -> tuple:
    """Return the text and the sizes of a query: what its cost depends on."""
    sizes = {
        name: len(value) if isinstance(value, list) else value
        for name, value in query["variables"].items()
        if isinstance(value, int | list)
    }
    return (query["query"], *sorted(sizes.items()))


def bucket_state(cost: dict) -> RateState | None:
    """Return what an answer tells about the bucket, None when it tells nothing.

    :param cost: ``extensions.cost``. A query that was refused as too fast has cost nothing.
    """
    status = cost.get("throttleStatus") or {}
    try:
        return RateState(
            POINTS.name,
            available=float(status["currentlyAvailable"]),
            capacity=float(status["maximumAvailable"]),
            per_second=float(status["restoreRate"]),
            cost=float(cost.get("actualQueryCost") or 0),
        )
    except (KeyError, TypeError, ValueError):
        return None


def throttle_wait(cost: dict) -> float:
    """Return the seconds until the bucket holds what the query asked for.

    :param cost: ``extensions.cost`` of the throttled answer; without it 1 second is a fair guess.
    """
    status = cost.get("throttleStatus") or {}
    try:
        missing = float(cost["requestedQueryCost"]) - float(status["currentlyAvailable"])
        rate = float(status["restoreRate"])
    except (KeyError, TypeError, ValueError):
        return 1.0
    return max(0.5, missing / rate) if rate > 0 else 1.0


def denied_leaves(answer: Answer) -> list[tuple]:
    """Return the paths (tuples) that Shopify left empty because access was denied.

    :raises IntegrationError: when a part of the answer is missing for any other reason.
    """
    others = [error for error in answer.errors if _code(error) != "ACCESS_DENIED"]
    if others:
        raise _error_of(Answer(data={}, errors=others, cost=answer.cost))
    return [tuple(error.get("path") or ()) for error in answer.errors]


def user_errors(payload: dict | None) -> list[Problem]:
    """Return the problems a mutation reports, under ``userErrors`` or, as ``orderCancel`` does,
    under a name of its own (``orderCancelUserErrors``)."""
    found = {}
    for name, errors in (payload or {}).items():
        if name != "userErrors" and not name.endswith("UserErrors"):
            continue
        for error in errors or []:
            path = ".".join(str(step) for step in error.get("field") or [])
            problem = Problem(path, str(error.get("code") or ""), str(error.get("message") or ""))
            # the same error once more under its old name has no code
            key = (problem.path, problem.message)
            if problem.code or key not in found:
                found[key] = problem
    return list(found.values())


def refuse_user_errors(payload: dict | None, action: str, *, keyed: bool = False) -> None:
    """Raise when a mutation reports ``userErrors``.

    :param payload: the mutation's field of ``data``.
    :param action: what was tried, for the person who reads it: ``subscribe to orders/create``.
    :param keyed: whether an idempotency key was sent.
    :raises UserErrors: with path, code and message of each error. What is raised for the codes of
        idempotency keys: see :meth:`GraphqlClient.mutate`.
    """
    problems = user_errors(payload)
    if not problems:
        return
    text = "; ".join(
        f"{problem.path + ': ' if problem.path else ''}{problem.message}"
        f"{f' [{problem.code}]' if problem.code else ''}"
        for problem in problems
    )
    for problem in problems:
        code = problem.code
        if keyed and not code:
            said = problem.message.lower()
            code = next((code for part, code in _KEY_TEXTS.items() if part in said), "")
        if error := _key_error(code, action, text):
            raise error
    refused = f"Shopify refused to {action}" if action else "Shopify refused the request"
    raise UserErrors(f"{refused}: {text}", problems=problems, payload=payload or {})


def _key_error(code: str, action: str, detail: str) -> IntegrationError | None:
    """Return the error for a code that is about the idempotency key, None for any other."""
    if code == "IDEMPOTENCY_CONCURRENT_REQUEST":
        return NotReadyError(
            f"{_sentence(action)} and is still at it; the outcome is looked up in a moment.",
            retry_after=_CONCURRENT_SECONDS,
            detail=detail,
        )
    if code == "IDEMPOTENCY_KEY_PARAMETER_MISMATCH":
        return ConflictError(
            f"{_sentence(action)} before, with other contents; this time nothing was done. Compare "
            f"what Shopify shows with Odoo, then press Retry.",
            detail=detail,
        )
    if code == "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED":
        return RetryableError(
            f"{_sentence(action)} and failed. It is tried again as a new request.",
            outcome="refused",
            detail=detail,
        )
    return None
