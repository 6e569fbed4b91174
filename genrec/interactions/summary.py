"""What became of a log's rows, told so that a person can check it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from genrec.interactions.dataset import InteractionDataset, Repeats
from genrec.interactions.histories import UNKNOWN_TIME
from genrec.interactions.mapping import ColumnMapping
from genrec.interactions.ordering import measure_ties
from genrec.interactions.splits import MIN_EVENTS_TO_EVALUATE, find_shortfalls
from genrec.interactions.times import SMALLEST_DATE
from genrec.interactions.validation import CheckedLog

__all__ = ["ImportSummary", "summarise_import", "tell_import"]

PEOPLE_SHOWN = 3
EVENTS_SHOWN = 3
"""Of either end of a history."""
ITEMS_SHOWN = 3
LONGEST_TEXT = 200
PAIRS_SHOWN = 3
FEW_PEOPLE = 30
"""To be tested on: a recall of 0.1 then has a 95 % interval as wide as itself, and wider."""


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
    left_out: dict[str, int]
    """Rows that were left out by choice: why, and how many. They are no defects."""
    num_events_without_time: int
    first_time: str | None
    """Of the first event: a date and a time (UTC), or a number that only orders."""
    last_time: str | None
    repeat_share: float
    """Share of events whose item the same person had before."""
    repeats: Repeats
    repeats_measured: bool
    """Whether the policy follows from the share; False where it was given."""
    order: str
    """What orders a history: the columns, and how times were read."""
    tied_share: float
    """Share of events that nothing but the order of the rows tells from the person's one before."""
    unused_columns: tuple[str, ...]
    """Columns of the log that were not kept."""
    notes: tuple[str, ...]
    """What is no defect, and may be meant otherwise."""
    shortfalls: tuple[str, ...]
    """What cannot be trained or judged on this data, and why."""
    histories: tuple[str, ...]
    """Three people and what they had, oldest first, in words."""
    item_texts: tuple[str, ...]
    """What a text encoder reads of three items."""


def summarise_import(
    dataset: InteractionDataset,
    checked: CheckedLog,
    frame: pl.DataFrame,
    mapping: ColumnMapping,
    *,
    measured: bool,
) -> ImportSummary:
    """The account of an import.

    Args:
        dataset: what was made.
        checked: the log after its checks.
        frame: the log as it was read.
        mapping: what its columns mean, with what was taken unasked.
        measured: whether the policy on repeats was measured.
    """
    used = {mapping.user, mapping.item, mapping.time, mapping.position, *mapping.kept.values()}
    order = [f"position from {mapping.position!r}"] if mapping.position else []
    order += [f"time from {mapping.time!r} ({checked.time_reading})"] if mapping.time else []
    times = dataset.histories.event_time
    known = times[times != UNKNOWN_TIME]
    return ImportSummary(
        name=dataset.name,
        num_rows=frame.height,
        num_users=len(dataset.user_ids),
        num_items=dataset.num_items,
        num_events=checked.events.height,
        num_dropped_rows=checked.num_dropped_rows,
        dropped=checked.dropped,
        left_out=checked.left_out,
        num_events_without_time=checked.events["microseconds"].null_count(),
        first_time=_tell_time(int(known.min())) if known.size else None,
        last_time=_tell_time(int(known.max())) if known.size else None,
        repeat_share=dataset.repeat_share,
        repeats=dataset.repeats,
        repeats_measured=measured,
        order=", ".join(order),
        tied_share=measure_ties(checked.events, "position" if mapping.position else "microseconds"),
        unused_columns=tuple(column for column in frame.columns if column not in used),
        notes=(
            *checked.notes,
            *_tell_look_alikes("user", dataset.user_ids),
            *_tell_look_alikes("item", dataset.catalogue.item_ids),
            *_tell_uncertainty(dataset),
        ),
        shortfalls=tuple(find_shortfalls(dataset.histories)),
        histories=tuple(_tell_histories(dataset)),
        item_texts=tuple(_tell_items(dataset)),
    )


def tell_import(summary: ImportSummary) -> list[str]:
    """The lines that a program prints of an import."""
    lines = [
        f"{summary.name}: {summary.num_users:,} users, {summary.num_items:,} items, "
        f"{summary.num_events:,} events of {summary.num_rows:,} rows"
    ]
    lines += [f"  dropped {count:,} row(s) with {kind}" for kind, count in summary.dropped.items()]
    lines += [f"  left out by choice: {n:,} row(s), {why}" for why, n in summary.left_out.items()]
    lines.append(f"  order: {summary.order}; ties by row")
    if summary.tied_share:
        lines.append(
            f"  ties: {summary.tied_share:.1%} of the events that follow another stand at the same "
            "place in that order; the order of the rows in the file decides"
        )
    if summary.first_time is not None:
        lines.append(f"  from {summary.first_time} to {summary.last_time}")
    if summary.num_events_without_time:
        lines.append(
            f"  {summary.num_events_without_time:,} events have no time: a global-temporal split "
            "leaves their users out, leave-last-out does not need it"
        )
    reason = "measured" if summary.repeats_measured else "given"
    lines.append(f"  repeats: {summary.repeat_share:.2%} of events; {summary.repeats} ({reason})")
    if summary.unused_columns:
        lines.append(f"  columns not kept: {', '.join(summary.unused_columns)} (see --context)")
    lines += [f"  note: {note}" for note in summary.notes]
    lines += ["  histories, oldest first:", *(f"    {history}" for history in summary.histories)]
    lines += ["  texts of items:", *(f"    {text}" for text in summary.item_texts)]
    return lines + [f"  warning: {shortfall}" for shortfall in summary.shortfalls]


def _tell_time(seconds: int) -> str:
    if abs(seconds) < SMALLEST_DATE:
        return str(seconds)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")


def _tell_histories(dataset: InteractionDataset) -> list[str]:
    """The first person, one with a history of median length, and the last."""
    lengths = dataset.histories.lengths
    if not lengths.size:
        return []
    middle = int(np.argsort(lengths, kind="stable")[lengths.size // 2])
    people = sorted({0, middle, lengths.size - 1})[:PEOPLE_SHOWN]
    return [_tell_history(dataset, user) for user in people]


def _tell_history(dataset: InteractionDataset, user: int) -> str:
    items, times = dataset.histories.items_of(user), dataset.histories.times_of(user)
    ids, titles = dataset.catalogue.ids(items), dataset.catalogue.titles(items)
    places = list(range(items.size))
    cut = len(places) > 2 * EVENTS_SHOWN
    events = []
    for place in [*places[:EVENTS_SHOWN], *places[-EVENTS_SHOWN:]] if cut else places:
        when = "" if times[place] == UNKNOWN_TIME else f" ({_tell_time(int(times[place]))})"
        title = f" {_cut(titles[place] or '', 60)}" if titles[place] else ""
        events.append(f"{ids[place]}{title}{when}")
    if cut:
        events.insert(EVENTS_SHOWN, f"… {items.size - 2 * EVENTS_SHOWN:,} more …")
    return f"{dataset.user_ids[user]}: {', '.join(events)}"


def _tell_items(dataset: InteractionDataset) -> list[str]:
    """The texts of the first, the middle and the last item; their numbers tell nothing."""
    last = dataset.num_items - 1
    chosen = sorted({0, last // 2, last})[:ITEMS_SHOWN]
    few = dataset.catalogue.with_table(dataset.catalogue.table[chosen])
    texts = zip(few.item_ids, few.texts(), strict=True)
    return [f"{item_id}: {_cut(text, LONGEST_TEXT)}" for item_id, text in texts]


def _tell_uncertainty(dataset: InteractionDataset) -> list[str]:
    """Says where too few people can be asked about for figures that mean anything."""
    num = int((dataset.histories.lengths >= MIN_EVENTS_TO_EVALUATE).sum())
    if not 0 < num < FEW_PEOPLE:
        return []
    return [
        f"people with {MIN_EVENTS_TO_EVALUATE} events, who can be tested on: only {num:,}; figures "
        "of a comparison will tell little"
    ]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _tell_look_alikes(what: str, ids: Sequence[str]) -> list[str]:
    """Says which ids differ in nothing but case, blanks and leading zeros."""
    column = pl.Series("id", ids, dtype=pl.String)
    plain = column.str.to_lowercase().str.replace_all(r"\s+", "").str.replace(r"^0+(.)", "$1")
    if plain.n_unique() == column.len():
        return []
    alike = pl.DataFrame({"plain": plain, "id": column}).group_by("plain", maintain_order=True)
    groups = alike.agg("id").filter(pl.col("id").list.len() > 1)["id"]
    shown = ", ".join(" and ".join(map(repr, group[:2])) for group in groups[:PAIRS_SHOWN])
    return [
        f"{len(groups):,} {what} id(s) have others like them that differ only in case, blanks or "
        f"leading zeros: {shown}"
    ]
