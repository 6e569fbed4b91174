"""What orders the events of each person, where columns disagree, and what decides among equals."""

from __future__ import annotations

import polars as pl

from genrec.interactions.mapping import ColumnMapping
from genrec.interactions.times import MICROSECONDS_PER_SECOND, SMALLEST_DATE

__all__ = ["measure_ties", "tell_order"]

MOSTLY = 0.5
"""A file in which more than this share of each person's steps goes back in time runs backwards."""


def measure_ties(events: pl.DataFrame, order: str) -> float:
    """Share of events that have the same place in the order as the person's one before.

    Args:
        events: `user_id` and the column that orders.
        order: that column; events without a value tie with nothing.
    """
    steps = _measure_steps(events.select("user_id", order).sort("user_id", order), order)
    return float((steps == 0).sum()) / max(steps.len(), 1)


def tell_order(
    events: pl.DataFrame, asked: ColumnMapping, taken: ColumnMapping, *, has_position: bool
) -> list[str]:
    """Sentences on how the events are ordered, where a person may have meant it otherwise.

    Args:
        events: `user_id`, `microseconds` and `position` of the rows that are kept, as in the file.
        asked: the mapping as it was given.
        taken: the same after what is taken unasked.
        has_position: whether the log has a column `position`.
    """
    notes = []
    if taken.position is None and has_position and "position" not in taken.kept.values():
        notes.append(
            "the column 'position' orders nothing, for the time does; if it is the place in the "
            "person's history, say --position position"
        )
    if asked.position is None and taken.position is not None:
        notes.append("the column 'position' orders, for there is no time")
    if taken.position is not None and taken.time is not None:
        notes += _tell_contradictions(events, taken)
    if taken.position is None:
        notes += _tell_direction(events)
    largest = events["microseconds"].max()
    if isinstance(largest, int) and 0 <= largest < SMALLEST_DATE * MICROSECONDS_PER_SECOND:
        notes.append(
            f"the numbers of column {taken.time!r} are too small for dates of our time; they order "
            "the events, and what asks for dates should not be trusted"
        )
    return notes


def _measure_steps(ordered: pl.DataFrame, column: str) -> pl.Series:
    """Int64: from each event to the same person's next one, in rows as they stand."""
    same_user = pl.col("user_id") == pl.col("user_id").shift(1)
    return ordered.select(pl.col(column).diff().filter(same_user)).to_series().drop_nulls()


def _tell_contradictions(events: pl.DataFrame, mapping: ColumnMapping) -> list[str]:
    ordered = events.sort("user_id", "position", maintain_order=True)
    steps = _measure_steps(ordered, "microseconds")
    against = int((steps < 0).sum())
    if not against:
        return []
    return [
        f"{mapping.time!r} contradicts {mapping.position!r}: in {against / steps.len():.1%} of the "
        f"neighbouring pairs ({against:,} of {steps.len():,}) the later event has the earlier "
        "time; the position orders"
    ]


def _tell_direction(events: pl.DataFrame) -> list[str]:
    steps = _measure_steps(events.sort("user_id", maintain_order=True), "microseconds")
    ties, moves = int((steps == 0).sum()), int((steps != 0).sum())
    if not ties or (steps < 0).sum() <= MOSTLY * moves:
        return []
    return [
        "the file runs from new to old, so events of one time, which keep the order of the rows, "
        "probably stand backwards; turn the file round, or give finer times"
    ]
