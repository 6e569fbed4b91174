"""The defects that a log or a catalogue can have, by the names that `--drop` takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from genrec.errors import DataError, InputError, Problem

__all__ = [
    "Defect",
    "ProblemKind",
    "missing_column",
    "naming",
    "no_rows",
    "parse_policies",
]

ROWS_SHOWN = 5
VALUES_SHOWN = 3
LONGEST_VALUE = 60
"""Characters of a value that a message shows."""


class ProblemKind(StrEnum):
    """Every defect that is looked for, by the name that `--drop` takes."""

    EMPTY = "empty"
    UNREADABLE_ROW = "unreadable-row"
    """Found and left out by `read_table_counted`, before there is a frame."""
    MISSING_COLUMN = "missing-column"
    NULL_USER = "null-user"
    NULL_ITEM = "null-item"
    NULL_LIKE_ID = "null-like-id"
    BLANK_AROUND_ID = "blank-around-id"
    INEXACT_ID = "inexact-id"
    CONTROL_CHARACTER_ID = "control-character-id"
    NULL_TIME = "null-time"
    UNPARSABLE_TIME = "unparsable-time"
    IMPLAUSIBLE_TIME = "implausible-time"
    NULL_POSITION = "null-position"
    UNPARSABLE_POSITION = "unparsable-position"
    UNKNOWN_ITEM = "unknown-item"
    UNPARSABLE_VALUE = "unparsable-value"
    DUPLICATE = "duplicate"
    CONFLICTING_POSITION = "conflicting-position"
    NULL_CATALOGUE = "null-catalogue"
    DUPLICATE_CATALOGUE = "duplicate-catalogue"

    @property
    def droppable(self) -> bool:
        """Whether rows that have it can be left out."""
        return self not in (ProblemKind.EMPTY, ProblemKind.MISSING_COLUMN)


KEEPABLE = (
    *(ProblemKind.DUPLICATE, ProblemKind.IMPLAUSIBLE_TIME),
    *(ProblemKind.NULL_LIKE_ID, ProblemKind.BLANK_AROUND_ID),
)
"""Kinds whose rows may be meant as they are: two equal purchases, a log of the eighties."""


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One kind of defect, with every row of a table that has it."""

    kind: ProblemKind
    rows: pl.Series
    """Boolean: which rows of its table have it."""
    detail: str
    is_problem: bool = True
    """False where the rows may stay, but `--drop` can still remove them."""
    values: pl.Series | None = None
    """The column whose values are shown, as it stands in the file; None shows the whole row."""

    @property
    def count(self) -> int:
        """Rows that have it."""
        return int(self.rows.sum())

    def problem(self, frame: pl.DataFrame, numbers: pl.Series | None = None) -> Problem:
        """As a person is told of it: the count, the first rows and the first different values.

        Args:
            frame: the table, or those of its columns that tell what a row is.
            numbers: the number of each row in the file; None where they count from 0.
        """
        rows = self.rows.arg_true()
        known = self.values if self.values is not None else frame.to_struct("row")
        first = rows.filter(known.gather(rows).is_first_distinct()).head(VALUES_SHOWN)
        shown = [show_value(value) for value in known.gather(first).to_list()]
        told = rows.head(ROWS_SHOWN)
        if numbers is not None:
            first, told = numbers.gather(first), numbers.gather(told)
        return Problem(
            kind=self.kind,
            count=self.count,
            rows=tuple(told.to_list()),
            detail=self.detail,
            keepable=self.kind in KEEPABLE,
            values=tuple(zip(first.to_list(), shown, strict=True)),
        )


def show_value(value: object) -> str:
    """A value, or a row as `name=value, …`, cut where it is long."""
    if isinstance(value, dict):
        return ", ".join(f"{name}={show_value(part)}" for name, part in value.items())
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def parse_policies(
    drop: Collection[str], keep: Collection[str]
) -> tuple[tuple[ProblemKind, ...], tuple[ProblemKind, ...]]:
    """The kinds whose rows are left out, and those whose rows stay; each once.

    Raises:
        InputError: a name is not a kind, or not one for this, or stands in both.
    """
    droppable = [str(kind) for kind in ProblemKind if kind.droppable]
    kinds = _parse(drop, droppable, "drop", "dropped")
    kept = _parse(keep, [str(kind) for kind in KEEPABLE], "keep", "kept")
    both = [str(kind) for kind in kinds if kind in kept]
    if both:
        raise InputError(f"rows with {', '.join(both)} cannot be both dropped and kept; choose one")
    return kinds, kept


def _parse(
    names: Collection[str], possible: Collection[str], verb: str, done: str
) -> tuple[ProblemKind, ...]:
    unknown = [name for name in names if name not in possible]
    if unknown:
        raise InputError(f"cannot {verb} {unknown}; what can be {done}: {', '.join(possible)}")
    return tuple(dict.fromkeys(ProblemKind(name) for name in names))


@contextmanager
def naming(source: object) -> Iterator[None]:
    """Inside it, what is wrong with a table is told with the name of its file."""
    try:
        yield
    except DataError as error:
        raise DataError(str(source), error.problems) from error
    except InputError as error:
        if str(source) in str(error):
            raise
        raise type(error)(f"{source}: {error}") from error


def missing_column(frame: pl.DataFrame, detail: str) -> Problem:
    """A column that is not there; every row lacks it."""
    return Problem(
        kind=ProblemKind.MISSING_COLUMN,
        count=frame.height,
        rows=(),
        detail=detail,
        droppable=False,
    )


def no_rows(detail: str) -> Problem:
    """A table without rows."""
    return Problem(kind=ProblemKind.EMPTY, count=0, rows=(), detail=detail, droppable=False)
