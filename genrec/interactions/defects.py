"""The defects that a log or a catalogue can have, by the names that `--drop` takes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from genrec.errors import InputError, Problem

__all__ = ["Defect", "ProblemKind", "missing_column", "no_rows", "parse_kept", "parse_kinds"]

ROWS_SHOWN = 5


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
    NULL_TIME = "null-time"
    UNPARSABLE_TIME = "unparsable-time"
    IMPLAUSIBLE_TIME = "implausible-time"
    NULL_POSITION = "null-position"
    UNPARSABLE_POSITION = "unparsable-position"
    UNKNOWN_ITEM = "unknown-item"
    DUPLICATE = "duplicate"
    CONFLICTING_POSITION = "conflicting-position"
    NULL_CATALOGUE = "null-catalogue"
    DUPLICATE_CATALOGUE = "duplicate-catalogue"

    @property
    def droppable(self) -> bool:
        """Whether rows that have it can be left out."""
        return self not in (ProblemKind.EMPTY, ProblemKind.MISSING_COLUMN)


KEEPABLE = ("duplicate", "implausible-time", "null-like-id", "blank-around-id")
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

    @property
    def count(self) -> int:
        """Rows that have it."""
        return int(self.rows.sum())

    def problem(self) -> Problem:
        """As a person is told of it: the count and the first rows."""
        rows = self.rows.arg_true().head(ROWS_SHOWN).to_list()
        return Problem(kind=self.kind, count=self.count, rows=tuple(rows), detail=self.detail)


def parse_kinds(names: Collection[str]) -> tuple[ProblemKind, ...]:
    """The kinds of these names, each once.

    Raises:
        InputError: a name is not a kind, or is one that cannot be dropped.
    """
    droppable = [str(kind) for kind in ProblemKind if kind.droppable]
    unknown = [name for name in names if name not in droppable]
    if unknown:
        raise InputError(f"cannot drop {unknown}; what can be dropped: {', '.join(droppable)}")
    return tuple(dict.fromkeys(ProblemKind(name) for name in names))


def parse_kept(names: Collection[str]) -> tuple[ProblemKind, ...]:
    """The kinds of these names, whose rows stay although they look like a defect.

    Raises:
        InputError: a name is not a kind, or its rows cannot stay.
    """
    unknown = [name for name in names if name not in KEEPABLE]
    if unknown:
        raise InputError(f"cannot keep {unknown}; what can be kept: {', '.join(KEEPABLE)}")
    return tuple(dict.fromkeys(ProblemKind(name) for name in names))


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
