"""What the columns of a table mean."""

from __future__ import annotations

import math
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
    """When it happened; None takes a column `timestamp` where there is one."""
    position: str | None = None
    """Place within the user's history; the order where it is given. None takes a column `position`
    only where nothing else orders: it may be a place on a page."""
    event: str | None = None
    """What was done (view, buy, …)."""
    event_in: tuple[str, ...] = ()
    """Keep only events of these kinds; empty keeps all."""
    value: str | None = None
    """A rating or an amount."""
    min_value: float | None = None
    """Keep only rows whose value is at least this; None keeps all."""
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
        if self.event_in and self.event is None:
            raise InputError(
                f"events are to be among {', '.join(self.event_in)}, but no column says what was "
                "done; name it with --event"
            )
        if not all(self.event_in):
            raise InputError(f"a kind of event is empty in {list(self.event_in)}")
        if self.min_value is not None and self.value is None:
            raise InputError(
                f"values are to be at least {self.min_value:g}, but no column holds them; name it "
                "with --value"
            )
        if self.min_value is not None and not math.isfinite(self.min_value):
            raise InputError(f"the least value must be a number, got {self.min_value}")
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
        order = (self.time or "timestamp", self.position or "position")
        kept = self.kept.values()
        return (self.user, self.item, *(name for name in order if name not in kept))

    def completed(self, columns: Sequence[str]) -> ColumnMapping:
        """The same mapping with what is taken unasked: `timestamp`, or else `position`."""
        time, position = self.time, self.position
        if time is None and "timestamp" in columns:
            time = "timestamp"
        if time is None and position is None and "position" in columns:
            position = "position"
        return replace(self, time=time, position=position)


@dataclass(frozen=True, kw_only=True)
class CatalogueMapping:
    """Which column of an items table means what; all others become attributes."""

    item_id: str = "item_id"
    title: str | None = None
    """None takes a column `title` where there is one."""
    text_columns: tuple[str, ...] | None = None
    """Columns that describe an item to the text encoder, by their names in the items table; None
    takes all."""

    def __post_init__(self) -> None:
        if self.text_columns is not None and not (self.text_columns and all(self.text_columns)):
            raise InputError(
                f"a text column is empty in {list(self.text_columns)}; name those of --text-columns"
            )

    @property
    def stored_names(self) -> dict[str, str]:
        """Column of the items table -> what a catalogue calls it, where that is another name."""
        titled = {} if self.title is None else {self.title: "title"}
        return {self.item_id: "item_id"} | titled

    @property
    def stored_text_columns(self) -> tuple[str, ...] | None:
        """`text_columns` by the names that a catalogue gives to its columns."""
        if self.text_columns is None:
            return None
        return tuple(self.stored_names.get(name, name) for name in self.text_columns)
