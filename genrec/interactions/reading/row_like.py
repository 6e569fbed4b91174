"""Whether a line inside of a quoted value looks like a row that the quote swallowed."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["RowLike"]

NUMBER = re.compile(rb"\s*[-+.\d:/TZ ]+\s*")


class RowLike:
    """Tells whether a line, read without quotes, could be a row as the others are.

    A text with line breaks rarely has as many separators in a line as a row has. Where it does,
    the columns of ids, numbers and times tell: what stands there must be of their kind. In doubt
    a line is a row: then it is said, and nothing is lost.
    """

    def __init__(self, rows: Sequence[Sequence[bytes]], separator: bytes) -> None:
        self._separator = separator
        self._kinds = [_common_kinds(column) for column in zip(*rows, strict=True)]

    def matches(self, line: bytes) -> bool:
        """Whether it has a field a column, of the kind that the column's values have."""
        fields = line.replace(b'"', b"").split(self._separator)
        if len(fields) != len(self._kinds):
            return False
        return all(
            kinds <= _kinds_of(value) for kinds, value in zip(self._kinds, fields, strict=True)
        )


def _common_kinds(column: tuple[bytes, ...]) -> set[str]:
    """What all values have in common; of a text with blanks the digits say nothing."""
    kinds = set.intersection(*(_kinds_of(value) for value in column))
    return kinds if "word" in kinds or "number" in kinds else kinds & {"filled"}


def _kinds_of(value: bytes) -> set[str]:
    tests = {
        "filled": bool(value.strip()),
        "word": len(value.split()) == 1,
        "digits": any(48 <= byte < 58 for byte in value),
        "number": NUMBER.fullmatch(value) is not None,
    }
    return {name for name, holds in tests.items() if holds}
