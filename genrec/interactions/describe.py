"""What a data set is like, in figures: sizes, order, repeats, popularity, cold shares."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.table import Table

from genrec.errors import InputError
from genrec.interactions.catalogue import Catalogue
from genrec.interactions.dataset import InteractionDataset
from genrec.interactions.histories import UNKNOWN_TIME, Histories
from genrec.interactions.shards import EventLog
from genrec.interactions.splits import MIN_EVENTS_TO_EVALUATE, Protocol, split_histories

__all__ = ["cumulative_share", "describe", "describe_log", "description_table", "item_counts"]

SECONDS_PER_DAY = 86_400
QUANTILES = {"p10": 0.1, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9, "p99": 0.99}
HEADS = {"top_1_percent": 0.01, "top_10_percent": 0.1}

Description = dict[str, Any]
"""JSON values; shares are 0…1, times ISO 8601 (UTC)."""


def describe(dataset: InteractionDataset) -> Description:
    """Everything about a data set that changes what a result on it means; JSON values."""
    histories = dataset.histories
    return {
        "name": dataset.name,
        "num_users": len(dataset.user_ids),
        "num_items": dataset.num_items,
        "num_events": int(histories.item_index.size),
        "density": _density(dataset),
        "repeats": {"share": dataset.repeat_share, "policy": str(dataset.repeats)},
        "history_length": _lengths(histories.lengths),
        "time": _times(histories),
        "popularity": _popularity(item_counts(dataset)),
        "catalogue": _coverage(dataset.catalogue),
        "splits": {str(protocol): _split(dataset, protocol) for protocol in Protocol},
    }


def describe_log(log: EventLog) -> Description:
    """What of `describe` can be told of a log block by block: for one larger than memory."""
    counts = np.zeros(log.num_items, dtype=np.int64)
    ends: list[int] = []  # the first and the last time of every block
    repeated = 0
    for _, block in log.blocks():
        counts += np.bincount(block.item_index, minlength=log.num_items)
        known = block.event_time[block.event_time != UNKNOWN_TIME]
        ends += [int(known.min()), int(known.max())] if known.size else []
        user = np.repeat(np.arange(len(block)), block.lengths)
        pairs = user * log.num_items + block.item_index
        repeated += pairs.size - np.unique(pairs).size
    num_events, is_tested = int(counts.sum()), log.lengths >= MIN_EVENTS_TO_EVALUATE
    split = {
        "num_training_events": num_events - 2 * int(is_tested.sum()),
        "num_test_users": int(is_tested.sum()),
    }
    return {
        "name": log.name,
        "num_users": len(log.lengths),
        "num_items": log.num_items,
        "num_events": num_events,
        "repeats": {"share": repeated / max(num_events, 1), "policy": str(log.repeats)},
        "history_length": _lengths(log.lengths),
        "time": {
            "first": _iso(min(ends)) if ends else None,
            "last": _iso(max(ends)) if ends else None,
        },
        "popularity": _popularity(np.sort(counts)[::-1]),
        "splits": {str(Protocol.LEAVE_LAST_OUT): split},
    }


def item_counts(dataset: InteractionDataset) -> npt.NDArray[np.int64]:
    """int64 [N]: events per item, most first."""
    counts = np.bincount(dataset.histories.item_index, minlength=dataset.num_items)
    return np.sort(counts)[::-1].astype(np.int64)


def cumulative_share(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """float64 [N]: share of all events that fall on the first items up to each."""
    return np.cumsum(counts) / max(int(counts.sum()), 1)


def _density(dataset: InteractionDataset) -> float:
    histories = dataset.histories
    distinct = round(histories.item_index.size * (1.0 - dataset.repeat_share))
    return distinct / max(len(histories) * dataset.num_items, 1)


def _lengths(lengths: npt.NDArray[np.int64]) -> Description:
    if not lengths.size:
        return {"mean": 0.0, "min": 0, "max": 0} | dict.fromkeys(QUANTILES, 0.0)
    quantiles = np.quantile(lengths, list(QUANTILES.values()))
    return {
        "mean": float(lengths.mean()),
        "min": int(lengths.min()),
        **{name: float(value) for name, value in zip(QUANTILES, quantiles, strict=True)},
        "max": int(lengths.max()),
    }


def _times(histories: Histories) -> Description:
    times = histories.event_time
    known = times[times != UNKNOWN_TIME]
    users = np.repeat(np.arange(len(histories)), histories.lengths)
    follows = (users[1:] == users[:-1]) & (times[1:] != UNKNOWN_TIME) & (times[:-1] != UNKNOWN_TIME)
    tied = follows & (times[1:] == times[:-1])
    backwards = follows & (times[1:] < times[:-1])
    is_last = np.ones(users[1:].size, dtype=bool)
    is_last[:-1] = users[2:] != users[1:-1]
    return {
        "first": _iso(int(known.min())) if known.size else None,
        "last": _iso(int(known.max())) if known.size else None,
        "span_days": float(known.max() - known.min()) / SECONDS_PER_DAY if known.size else None,
        "num_events_without_time": int(times.size - known.size),
        "tied_share": _share(tied, follows),
        "last_two_tied_share": _share(tied & is_last, follows & is_last),
        "num_events_against_time": int(backwards.sum()),
    }


def _share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    return float(part.sum()) / max(int(whole.sum()), 1)


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _popularity(counts: npt.NDArray[np.int64]) -> Description:
    share = cumulative_share(counts)
    heads = {name: max(round(part * counts.size), 1) for name, part in HEADS.items()}
    return {
        **{name: float(share[size - 1]) for name, size in heads.items()},
        "most_events_of_an_item": int(counts[0]),
        "median_events_of_an_item": float(np.median(counts)),
        "num_items_without_events": int((counts == 0).sum()),
    }


def _coverage(catalogue: Catalogue) -> Description:
    """Share of items that have a title, and each attribute."""
    table = catalogue.table
    return {"title": 0.0} | {name: _filled(table[name]) for name in table.columns[1:]}


def _filled(column: pl.Series) -> float:
    filled = column.is_not_null()
    if column.dtype == pl.String:
        filled &= column != ""
    if isinstance(column.dtype, pl.List):
        filled &= column.list.len() > 0
    return float(filled.fill_null(False).mean() or 0.0)  # type: ignore[arg-type]


def _split(dataset: InteractionDataset, protocol: Protocol) -> Description:
    """Sizes, and the shares of test targets and test people that training has not seen."""
    try:
        split = split_histories(dataset.histories, protocol)
    except InputError as error:
        return {"impossible": str(error)}
    in_training = np.zeros(dataset.num_items, dtype=bool)
    in_training[split.train.item_index] = True
    return {
        "num_training_events": int(split.train.item_index.size),
        "num_validation_users": len(split.validation),
        "num_test_users": len(split.test),
        "num_excluded_users": split.num_excluded,
        "cold_item_share": float((~in_training[split.test.target]).mean()),
        "cold_user_share": float((split.train.lengths[split.test.user_index] == 0).mean()),
    }


def description_table(description: Description) -> Table:
    """The figures of `describe` as a table for a terminal."""
    table = Table("figure", "value", title=f"data set {description['name']}", title_justify="left")
    table.columns[1].justify = "right"
    for name, value in _rows(description):
        table.add_row(name, value)
    return table


def _rows(description: Description) -> list[tuple[str, str]]:
    lengths, time = description["history_length"], description["time"]
    popularity, repeats = description["popularity"], description["repeats"]
    low, middle, high = (f"{lengths[name]:.0f}" for name in ("p10", "median", "p90"))
    rows = [
        ("users", f"{description['num_users']:,}"),
        ("items", f"{description['num_items']:,}"),
        ("  without events", f"{popularity['num_items_without_events']:,}"),
        ("events", f"{description['num_events']:,}"),
        ("density", f"{description['density']:.3%}"),
        ("repeat events", f"{repeats['share']:.2%}"),
        ("seen items in answers", repeats["policy"]),
        ("history length, mean", f"{lengths['mean']:.1f}"),
        ("  10% / median / 90%", f"{low} / {middle} / {high}"),
        ("  shortest / longest", f"{lengths['min']:,} / {lengths['max']:,}"),
        ("first event", time["first"] or "no times"),
        ("last event", time["last"] or "no times"),
        ("events without time", f"{time['num_events_without_time']:,}"),
        ("same time as the event before", f"{time['tied_share']:.1%}"),
        ("  of a user's last two", f"{time['last_two_tied_share']:.1%}"),
        ("earlier than the event before", f"{time['num_events_against_time']:,}"),
        ("events on the top 1% of items", f"{popularity['top_1_percent']:.1%}"),
        ("events on the top 10% of items", f"{popularity['top_10_percent']:.1%}"),
    ]
    rows += [(f"items with {name}", f"{v:.1%}") for name, v in description["catalogue"].items()]
    for protocol, split in description["splits"].items():
        rows += [(protocol, ""), *_split_rows(split)]
    return rows


def _split_rows(split: Description) -> list[tuple[str, str]]:
    if "impossible" in split:
        return [("  impossible", split["impossible"])]
    users = f"{split['num_validation_users']:,} / {split['num_test_users']:,}"
    return [
        ("  training events", f"{split['num_training_events']:,}"),
        ("  validation / test users", users),
        ("  users left out, no times", f"{split['num_excluded_users']:,}"),
        ("  test targets not in training", f"{split['cold_item_share']:.2%}"),
        ("  test users not in training", f"{split['cold_user_share']:.2%}"),
    ]
