"""Exact money: decimals in, decimals out, every cent accounted for.

Wrong input raises ``ValueError``, which a pydantic contract turns into an error with its path.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext

#: ISO 4217 currencies by their number of decimals, where that is not two.
_NOT_TWO = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS = {code: number for number, codes in _NOT_TWO.items() for code in codes.split()}
_NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?", re.ASCII)
_CODE = re.compile(r"[A-Z]{3}", re.ASCII)
#: More digits than any product of two accepted numbers, so no operation here ever rounds.
_PRECISION = 200


def minor_units(currency: str) -> int:
    """Decimals of a currency by ISO 4217: 2 for EUR, 0 for JPY, 3 for KWD.

    :raises ValueError: when ``currency`` is not three capital letters.
    """
    if not isinstance(currency, str) or not _CODE.fullmatch(currency):
        raise ValueError("a currency is three capital letters, such as EUR")
    return _DECIMALS.get(currency, 2)


def to_decimal(value: str | int | Decimal) -> Decimal:
    """An amount from outside, taken literally (``"10.00"`` keeps its two decimals).

    :raises ValueError: for floats (they have lost the cents already), booleans, NaN, infinity,
        exponents, signs other than a leading minus, spaces, separators and other scripts' digits.
    """
    if isinstance(value, Decimal):
        value = format(value, "f") if _is_ordinary(value) else "not a number"
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**30 else "too long"
    if not isinstance(value, str):
        raise ValueError(f"an amount must be a text such as 10.00, not {type(value).__name__}")
    if not _NUMBER.fullmatch(value):
        raise ValueError("an amount must be plain digits with a point, such as 10.00")
    amount = Decimal(value)
    # No negative zero: it prints as -0.00.
    return amount.copy_abs() if amount == 0 else amount


def round_to(amount: Decimal, currency: str) -> Decimal:
    """``amount`` in whole minor units, halves away from zero as Odoo rounds."""
    with localcontext() as context:
        context.prec = _PRECISION
        rounded = amount.quantize(_unit(currency), rounding=ROUND_HALF_UP)
        return rounded.copy_abs() if rounded == 0 else rounded


def allocate(total: Decimal, weights: Sequence[Decimal | int], currency: str) -> list[Decimal]:
    """Split ``total`` by ``weights`` so that the parts add up to it exactly.

    Every part is cut to whole minor units; what is left goes out one minor unit at a time from the
    first (Shopify's rule for discounts over lines). A weight of 0 gets nothing, unless all are 0:
    then all count the same.

    :param total: whole minor units of ``currency``, any sign.
    :raises ValueError: no weights, a negative weight, or a total finer than the minor unit.
    """
    total = to_decimal(total)
    shares = [to_decimal(weight) for weight in weights]
    if not shares or min(shares) < 0:
        raise ValueError("an amount is split by one or more weights, none of them negative")
    unit = _unit(currency)
    with localcontext() as context:
        context.prec = _PRECISION
        if total != total.quantize(unit, rounding=ROUND_DOWN):
            raise ValueError(f"{total} is finer than the smallest unit of {currency}")
        if not any(shares):
            shares = [Decimal(1)] * len(shares)
        whole = sum(shares)
        units = int(abs(total) / unit)
        parts = [int(units * share // whole) for share in shares]
        left = units - sum(parts)
        for index, share in enumerate(shares):
            if left and share:
                parts[index] += 1
                left -= 1
        sign = -1 if total < 0 else 1
        return [sign * part * unit if part else unit * 0 for part in parts]


def _unit(currency: str) -> Decimal:
    return Decimal(1).scaleb(-minor_units(currency))


def _is_ordinary(value: Decimal) -> bool:
    return value.is_finite() and abs(value.adjusted()) < 30 and abs(value.as_tuple().exponent) <= 30
