"""Payload contracts: pydantic models of what a service promises to send."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InvalidPayloadError


class Payload(BaseModel):
    """Base of payload contracts.

    Names follow the service (``lineItems``). Values are not coerced across types (a number is not
    taken for a text), and unknown fields are kept so that :func:`drift` can report them.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=False)


def validate(contract: type[BaseModel], payload: Any, label: str) -> BaseModel:
    """Check ``payload`` against ``contract``.

    :param label: what people call the record, used in the error.
    :raises InvalidPayloadError: with the path and the reason of every bad field.
    """
    try:
        return contract.model_validate(payload)
    except ValidationError as error:
        problems = [
            (".".join(str(part) for part in item["loc"]) or "(whole record)", item["msg"])
            for item in error.errors(include_url=False, include_input=False)
        ]
        listed = "; ".join(f"{path}: {message}" for path, message in problems[:20])
        raise InvalidPayloadError(
            f"{label}: the data received does not have the agreed form, so nothing was changed in "
            f"Odoo. {listed}. Correct the record in the external system and press Retry; if it "
            f"looks right there, its interface has changed: show this to your integrator.",
            problems=problems,
        ) from error


def drift(data: BaseModel, prefix: str = "") -> list[str]:
    """Paths of the fields of ``data`` that its contract does not know.

    :returns: sorted dotted paths; list positions are written ``[]`` so that equal drifts group.
    """
    paths = {f"{prefix}{name}" for name in (data.model_extra or {})}
    for name in type(data).model_fields:
        value = getattr(data, name)
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, BaseModel):
                step = "[]" if isinstance(value, (list, tuple)) else ""
                paths.update(drift(item, f"{prefix}{name}{step}."))
    return sorted(paths)
