"""The one rule for ids: whole numbers are their digits, everything else is text as it stands."""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Integral, Real

from genrec.errors import InputError

__all__ = ["as_id"]

LARGEST_EXACT = 2**53
"""Beyond it a float no longer tells neighbouring whole numbers apart."""


def as_id(value: object) -> str:
    """An id of Python as text: 50, 50.0, `Decimal("50.00")` and numpy's are all `50`.

    Raises:
        InputError: it is no text and no number, or a number that is no id (NaN, infinite, or too
            large for a float to be exact).
    """
    if isinstance(value, str):
        return value
    plain = value.item() if hasattr(value, "item") and not isinstance(value, Real) else value
    if isinstance(plain, str):
        return plain
    if isinstance(plain, bool) or not isinstance(plain, Real | Decimal):
        raise InputError(f"an id is text or a number, got {value!r}")
    if isinstance(plain, Integral):
        return str(int(plain))
    number = float(plain)
    if not math.isfinite(number):
        raise InputError(f"{value!r} is no id; leave it out, or write the id as text")
    if not isinstance(plain, Decimal) and abs(number) >= LARGEST_EXACT:
        raise InputError(
            f"{value!r} is too large for a float to be exact; write the id as text or an integer"
        )
    return str(int(number)) if number.is_integer() else str(plain)
