"""The names of the columns of delimited text, and whether its first line holds any."""

from __future__ import annotations

import re
from collections.abc import Sequence

from genrec.errors import InputError

__all__ = ["check_names", "clean_names", "refuse_data_as_names"]

KNOWN_NAMES = """
user userid uid customer customerid session sessionid item itemid product productid movie
movieid asin parentasin sku article articleid timestamp time datetime date title name
rating event price id category description value text position
"""
"""What columns of logs and catalogues are called, in small letters without anything else."""
RECBOLE = re.compile(r"(.+):(?:token|token_seq|float|float_seq)")
NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?")
TIME = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?")
VALUES_SHOWN = 6
CHARACTERS_SHOWN = 80


def clean_names(cells: Sequence[str]) -> list[str]:
    """Names without blanks around them; RecBole's types are taken off, empty ones get a name."""
    names = [cell.strip() for cell in cells]
    typed = [RECBOLE.fullmatch(name) for name in names]
    if all(typed):
        names = [match[1] for match in typed if match is not None]
    return [name or f"Unnamed: {place}" for place, name in enumerate(names)]


def check_names(names: Sequence[str], source: str, line: int) -> None:
    """Refuses a header in which a name stands twice.

    Raises:
        InputError: it does.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{source} line {line} names {', '.join(map(repr, twice))} more than once; give the "
            f"columns other names: --columns with {len(names)} names, in order"
        )


def refuse_data_as_names(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    text_columns: Sequence[str],
    source: str,
    line: int,
) -> None:
    """Refuses a first line that looks like the rows below it: it would be lost as names.

    Args:
        names: the first line.
        rows: some rows below it.
        text_columns: names that the caller expects.
        source: how messages call the table.
        line: of the header, 1-based.

    Raises:
        InputError: no name is a known one, and at least one is a number, a time, or a value like
            those below it.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    like_values = [_is_value(name, column) for name, column in zip(names, columns, strict=True)]
    for name, is_value in zip(names, like_values, strict=True):
        bare = re.sub(r"[^a-z0-9]", "", name.lower())
        if bare in KNOWN_NAMES.split() or (name in text_columns and not is_value):
            return
    if not any(like_values):
        return
    shown = ", ".join(name[:CHARACTERS_SHOWN] for name in names[:VALUES_SHOWN])
    raise InputError(
        f"{source} has no names in line {line}, it looks like a row: {shown}. If it is one, say "
        f"--no-header and name all {len(names)} columns: --columns user_id,item_id,…; if it is a "
        "header all the same, replace its names with --columns alone"
    )


def _is_value(name: str, column: Sequence[str]) -> bool:
    if NUMBER.fullmatch(name) or TIME.fullmatch(name):
        return True
    if name in column:
        return True
    shape = _shape(name)
    alike = sum(_shape(value) == shape for value in column)
    return "9" in shape and 2 * alike >= len(column) > 0


def _shape(value: str) -> str:
    """Letters as `a`, digits as `9`, whatever their number: `U17` and `U2` are alike."""
    return re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+", "a", value))
