"""From a log as it was read to a checked data set, with the account of what became of its rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from genrec.errors import DataError
from genrec.interactions.catalogue import Catalogue
from genrec.interactions.dataset import InteractionDataset, Repeats
from genrec.interactions.histories import UNKNOWN_TIME, Histories
from genrec.interactions.mapping import CatalogueMapping, ColumnMapping
from genrec.interactions.times import MICROSECONDS_PER_SECOND
from genrec.interactions.validation import CheckedLog, check_log

__all__ = ["REPEATS_TO_IGNORE", "ImportSummary", "import_interactions"]

REPEATS_TO_IGNORE = 0.001
"""Up to this share of repeat events seen items are masked all the same: it can cost at most this
much recall, which a test of fewer than 250,000 people cannot tell from zero (half a 95 % interval
at recall .07), while every other list is spared items that the person has."""


@dataclass(frozen=True, kw_only=True)
class ImportSummary:
    """What became of a log's rows."""

    name: str
    num_rows: int
    """Rows read."""
    num_users: int
    num_items: int
    """Items in the catalogue."""
    num_events: int
    """Rows kept."""
    num_dropped_rows: int
    dropped: dict[str, int]
    """Rows per kind that was dropped on purpose; a row may have several kinds."""
    num_events_without_time: int
    repeat_share: float
    """Share of events whose item the same person had before."""
    repeats: Repeats
    repeats_measured: bool
    """Whether the policy follows from the share; False where it was given."""
    order: str
    """What orders a history: the columns, and how times were read."""
    unused_columns: tuple[str, ...]
    """Columns of the log that were not kept."""


def import_interactions(
    frame: pl.DataFrame,
    mapping: ColumnMapping | None = None,
    items: pl.DataFrame | None = None,
    *,
    item_mapping: CatalogueMapping | None = None,
    name: str = "log",
    repeats: Repeats | None = None,
    drop: Collection[str] = (),
    keep: Collection[str] = (),
) -> tuple[InteractionDataset, ImportSummary]:
    """A checked data set, and what became of the rows.

    Users keep the order of their first row. Within a user the position orders, or else the time;
    ties keep the order of the rows. Times are cut to whole seconds after ordering.

    Args:
        frame: the log, see `read_table`.
        mapping: what its columns mean.
        items: the items table, in the order that item_index shall have; without one the catalogue
            is the items of the log in order of first appearance, and has no titles.
        item_mapping: what the columns of `items` mean.
        name: how tables and reports call the data.
        repeats: whether seen items may be recommended; None measures it: masked up to a share of
            REPEATS_TO_IGNORE repeat events, allowed above.
        drop: kinds of defects whose rows shall be left out.
        keep: kinds of defects whose rows are meant so and stay, such as `duplicate`.

    Raises:
        DataError: there are defects; it lists all of them.
        InputError: `drop` names an unknown kind, or columns cannot be what they shall be.
    """
    mapping = (mapping or ColumnMapping()).completed(frame.columns)
    checked = check_log(frame, mapping, items, item_mapping, drop, keep)
    if checked.problems:
        raise DataError(name, checked.problems)
    dataset = _build(checked, mapping, name, repeats)
    return dataset, _summarise(dataset, checked, frame, mapping, measured=repeats is None)


def _build(
    checked: CheckedLog, mapping: ColumnMapping, name: str, repeats: Repeats | None
) -> InteractionDataset:
    items = checked.items
    if items is None:
        items = checked.events.select(pl.col("item_id").unique(maintain_order=True))
    catalogue = Catalogue(items)
    users = checked.events["user_id"].unique(maintain_order=True)
    row = _ordered_rows(checked.events, users, by_position=mapping.position is not None)
    ordered = checked.events[row]
    lengths = ordered["user_id"].rle().struct.field("len").to_numpy()
    seconds = (ordered["microseconds"] // MICROSECONDS_PER_SECOND).fill_null(UNKNOWN_TIME)
    dataset = InteractionDataset(
        name=name,
        catalogue=catalogue,
        user_ids=users.to_list(),
        histories=Histories(
            item_index=catalogue.index(ordered["item_id"]),
            event_time=seconds.to_numpy().astype(np.int64),
            offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]),
        ),
        repeats=repeats or Repeats.MASK,
        extra=checked.extra[row] if checked.extra.width else checked.extra,
    )
    if repeats is None and dataset.repeat_share > REPEATS_TO_IGNORE:
        return replace(dataset, repeats=Repeats.ALLOW)
    return dataset


def _ordered_rows(events: pl.DataFrame, users: pl.Series, *, by_position: bool) -> pl.Series:
    """UInt32 [E]: the rows by user, in order of first appearance, oldest first."""
    place = pl.DataFrame({"user_id": users}).with_row_index("place")
    order = "position" if by_position else "microseconds"
    return (
        events.select("user_id", order)
        .with_row_index("row")
        .join(place, on="user_id", maintain_order="left")
        .sort("place", order, maintain_order=True)["row"]
    )


def _summarise(
    dataset: InteractionDataset,
    checked: CheckedLog,
    frame: pl.DataFrame,
    mapping: ColumnMapping,
    *,
    measured: bool,
) -> ImportSummary:
    used = {mapping.user, mapping.item, mapping.time, mapping.position, *mapping.kept.values()}
    order = [f"position from {mapping.position!r}"] if mapping.position else []
    order += [f"time from {mapping.time!r} ({checked.time_reading})"] if mapping.time else []
    return ImportSummary(
        name=dataset.name,
        num_rows=frame.height,
        num_users=len(dataset.user_ids),
        num_items=dataset.num_items,
        num_events=checked.events.height,
        num_dropped_rows=checked.num_dropped_rows,
        dropped=checked.dropped,
        num_events_without_time=checked.events["microseconds"].null_count(),
        repeat_share=dataset.repeat_share,
        repeats=dataset.repeats,
        repeats_measured=measured,
        order=", ".join(order),
        unused_columns=tuple(column for column in frame.columns if column not in used),
    )
