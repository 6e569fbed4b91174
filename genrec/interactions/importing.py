"""From a log as it was read to a checked data set, with the account of what became of its rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from genrec.errors import DataError
from genrec.interactions.catalogue import Catalogue
from genrec.interactions.dataset import InteractionDataset, Repeats
from genrec.interactions.histories import UNKNOWN_TIME, Histories
from genrec.interactions.mapping import CatalogueMapping, ColumnMapping
from genrec.interactions.summary import ImportSummary, summarise_import
from genrec.interactions.times import MICROSECONDS_PER_SECOND
from genrec.interactions.validation import CheckedLog, check_log

__all__ = ["REPEATS_TO_IGNORE", "ImportSummary", "import_interactions"]

REPEATS_TO_IGNORE = 0.001
"""Up to this share of repeat events seen items are masked all the same: it can cost at most this
much recall, which a test of fewer than 250,000 people cannot tell from zero (half a 95 % interval
at recall .07), while every other list is spared items that the person has."""


def import_interactions(  # noqa: PLR0913 - one door, with a name for each thing asked for
    frame: pl.DataFrame,
    mapping: ColumnMapping | None = None,
    items: pl.DataFrame | None = None,
    *,
    item_mapping: CatalogueMapping | None = None,
    name: str = "log",
    repeats: Repeats | None = None,
    drop: Collection[str] = (),
    keep: Collection[str] = (),
    strip: bool = False,
) -> tuple[InteractionDataset, ImportSummary]:
    """A checked data set, and what became of the rows.

    Users keep the order of their first row. Items are numbered by a hash of their ids, so that a
    number tells nothing of when or how often an item occurs. Within a user the position orders
    where it is given, or else the time; ties keep the order of the rows. Times are cut to whole
    seconds after ordering.

    Args:
        frame: the log, see `read_table`.
        mapping: what its columns mean.
        items: the items table, in any order; without one the catalogue is the items of the log, and
            has no titles.
        item_mapping: what the columns of `items` mean.
        name: how tables and reports call the data.
        repeats: whether seen items may be recommended; None measures it: masked up to a share of
            REPEATS_TO_IGNORE repeat events, allowed above.
        drop: kinds of defects whose rows shall be left out.
        keep: kinds of defects whose rows are meant so and stay, such as `duplicate`.
        strip: takes the blanks around ids off.

    Raises:
        DataError: there are defects; it lists all of them.
        InputError: `drop` names an unknown kind, or columns cannot be what they shall be.
    """
    mapping = mapping or ColumnMapping()
    checked = check_log(frame, mapping, items, item_mapping, drop, keep, strip)
    if checked.problems:
        raise DataError(name, checked.problems)
    taken = mapping.completed(frame.columns)
    described_by = None if item_mapping is None else item_mapping.stored_text_columns
    dataset = _build(checked, taken, name, repeats, described_by)
    return dataset, summarise_import(dataset, checked, frame, taken, measured=repeats is None)


def _build(
    checked: CheckedLog,
    mapping: ColumnMapping,
    name: str,
    repeats: Repeats | None,
    text_columns: Sequence[str] | None,
) -> InteractionDataset:
    items = checked.items
    if items is None:
        items = checked.events.select(pl.col("item_id").unique())
    catalogue = Catalogue.number(items, text_columns)
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
