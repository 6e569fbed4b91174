"""What the columns of a table mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from genrec.errors import InputError
from genrec.interactions.times import TimeUnit

__all__ = ["CatalogueMapping", "ColumnMapping"]

RESERVED = frozenset({"user_index", "item_index", "timestamp", "event", "value"})
"""Names that a stored log gives to its own columns."""


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """Which column of a log means what."""

    user: str = "user_id"
    item: str = "item_id"
    time: str | None = None
    """When it happened; with `position` None as well, columns `timestamp` and `position` are
    taken where there are any."""
    position: str | None = None
    """Place within the user's history; the order where both are given."""
    event: str | None = None
    """What was done (view, buy, …)."""
    value: str | None = None
    """A rating or an amount."""
    context: tuple[str, ...] = ()
    """Further columns to keep, under their own names."""
    time_unit: TimeUnit = TimeUnit.AUTO
    """How numbers in `time` count."""
    time_format: str | None = None
    """How `time` is written: a pattern of strptime, `excel`, `yyyymmdd` or `yyyymmddhhmmss`; None
    finds out where that is no guess."""

    def __post_init__(self) -> None:
        columns = [self.user, self.item, *self.kept.values()]
        columns += [name for name in (self.time, self.position) if name is not None]
        if not all(columns):
            raise InputError(f"a column name is empty in {self}")
        reserved = [name for name in self.context if name in RESERVED]
        if reserved:
            raise InputError(
                f"context columns {reserved} have names that genrec uses itself; "
                "rename them in the file, or map them with --time, --event or --value"
            )
        if len(set(self.context)) < len(self.context):
            raise InputError(f"a context column is named twice: {list(self.context)}")

    @property
    def kept(self) -> dict[str, str]:
        """What is kept beside user, item and order: stored name -> column of the file."""
        named = {"event": self.event, "value": self.value}
        given = {name: column for name, column in named.items() if column is not None}
        return given | {name: name for name in self.context}

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns that a reader must not guess the type of: ids, times and positions."""
        order = (self.time, self.position)
        if order == (None, None):
            order = ("timestamp", "position")
        return (self.user, self.item, *(name for name in order if name is not None))

    def completed(self, columns: Sequence[str]) -> ColumnMapping:
        """The same mapping; without an order, the columns `timestamp` and `position` give it."""
        if self.time is not None or self.position is not None:
            return self
        return replace(
            self,
            time="timestamp" if "timestamp" in columns else None,
            position="position" if "position" in columns else None,
        )


@dataclass(frozen=True, kw_only=True)
class CatalogueMapping:
    """Which column of an items table means what; all others become attributes."""

    item_id: str = "item_id"
    title: str | None = None
    """None takes a column `title` where there is one."""
