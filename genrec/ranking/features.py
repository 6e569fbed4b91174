"""One row of numbers for each candidate: what a ranker may look at, and nothing of the future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from genrec.interactions import NO_ITEM, RequestBatch
from genrec.ranking.statistics import FeatureStatistics

__all__ = ["MAX_HISTORY", "candidate_features", "feature_names"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

MAX_HISTORY = 20
"""Events that features read, counted from the end; older ones count in the length only."""
CO_OCCURRENCE_HISTORY = 5
"""Of these, the events whose co-occurrence with the candidate is looked up."""
FADING = 0.7
"""Weight of an event relative to the one after it, in weighted means over the history."""


def feature_names(sources: Sequence[str], num_numbers: int) -> list[str]:
    """The names of the F columns that `candidate_features` gives."""
    names = [f"{kind}.{source}" for source in sources for kind in ("score", "reciprocal_rank")]
    names += ["history_length", "log_count", "log_recent_count", "recent_share"]
    for matrix in ("followed_by", "together"):
        names += [f"{matrix}.{what}" for what in ("last", "second_last", "faded_sum", "max")]
    names += [f"content.{what}" for what in ("last", "faded_mean", "max", "place_of_max")]
    names += [f"attributes.{what}" for what in ("last", "mean", "own")]
    names += ["times_had", "place_of_last_had"]
    for number in range(num_numbers):
        names += [f"number_{number}", f"number_{number}.minus_history"]
    return names


def candidate_features(
    statistics: FeatureStatistics,
    requests: RequestBatch,
    candidates: IntArray,
    source_scores: Mapping[str, FloatArray],
    sources: Sequence[str],
) -> FloatArray:
    """float32 [B, C, F]: see `feature_names`; NaN where something is not known.

    Args:
        statistics: what is known of the past.
        requests: histories; nothing else of them is read.
        candidates: int64 [B, C], NO_ITEM behind the end (features of item 0 stand there).
        source_scores: float32 [B, C] for each source, NaN where it did not list the item.
        sources: the sources in the order of the columns.
    """
    history, length = last_events(requests, statistics.num_items)
    items = np.maximum(candidates, 0)
    columns = [
        column
        for source in sources
        for column in (source_scores[source], reciprocal_ranks(source_scores[source]))
    ]
    columns.append(np.broadcast_to(np.log1p(length)[:, None], items.shape))
    columns += _popularity(statistics, items)
    columns += _co_occurrence(statistics.followed_by, history, items)
    columns += _co_occurrence(statistics.together, history, items)
    columns += _content(statistics.content, history, items)
    columns += _attributes(statistics.attributes, history, items)
    columns += _had(history, items)
    columns += _numbers(statistics.numbers, history, items)
    return np.stack(columns, axis=-1).astype(np.float32, copy=False)


def last_events(requests: RequestBatch, num_items: int) -> tuple[IntArray, IntArray]:
    """int64 [B, T] and [B]: the last events, newest first, NO_ITEM behind; events per history."""
    items = requests.item_index.numpy()
    known = (items != NO_ITEM) & (items < num_items)
    place = np.cumsum(known[:, ::-1], axis=1)[:, ::-1] - 1  # [B, T], 0 at the newest
    width = min(MAX_HISTORY, max(items.shape[1], 1))
    history = np.full((len(items), width), NO_ITEM, dtype=np.int64)
    rows, columns = np.nonzero(known & (place < width))
    history[rows, place[rows, columns]] = items[rows, columns]
    return history, known.sum(1)


def reciprocal_ranks(score: FloatArray) -> FloatArray:
    """float32 [B, C]: 1 / rank among the items that the source listed, 0 for the others."""
    listed = ~np.isnan(score)
    order = np.argsort(np.where(listed, -score, np.inf), axis=1, kind="stable")
    rank = np.empty(score.shape, dtype=np.float32)
    np.put_along_axis(rank, order, np.arange(1, score.shape[1] + 1, dtype=np.float32)[None], axis=1)
    return np.where(listed, 1.0 / rank, 0.0).astype(np.float32)


def _popularity(statistics: FeatureStatistics, items: IntArray) -> list[FloatArray]:
    count, recent = statistics.counts[items], statistics.recent_counts[items]
    return [np.log1p(count), np.log1p(recent), recent / np.maximum(count, 1.0)]


def _co_occurrence(
    matrix: sparse.csr_array, history: IntArray, items: IntArray
) -> list[FloatArray]:
    """How the candidate goes with the last event, the one before it, all, and the best of them."""
    near = history[:, :CO_OCCURRENCE_HISTORY]
    values = lookup(matrix, near, items)  # [B, C, T]
    fading = FADING ** np.arange(near.shape[1], dtype=np.float32)
    second = values[..., 1] if near.shape[1] > 1 else np.zeros_like(values[..., 0])
    return [values[..., 0], second, values @ fading, values.max(-1)]


def lookup(matrix: sparse.csr_array, history: IntArray, items: IntArray) -> FloatArray:
    """float32 [B, C, T]: the matrix' entry for each pair of history item (row) and candidate.

    0 where the history has ended. The pairs are looked up in the sorted columns of their rows.
    """
    shape = (*items.shape, history.shape[1])
    rows = np.broadcast_to(np.maximum(history, 0)[:, None], shape).ravel()
    columns = np.broadcast_to(items[..., None], shape).ravel()
    if not matrix.nnz or not rows.size:
        return np.zeros(shape, dtype=np.float32)
    values = np.asarray(matrix[rows, columns], dtype=np.float32).reshape(shape)
    values *= (history != NO_ITEM)[:, None]
    return values


def _content(content: FloatArray, history: IntArray, items: IntArray) -> list[FloatArray]:
    """Similarity to the last event, to a fading mean, to the nearest event, and its place."""
    there = history != NO_ITEM  # [B, T]
    past = content[np.maximum(history, 0)] * there[..., None]  # [B, T, Dr]
    similarity = content[items] @ past.transpose(0, 2, 1)  # [B, C, T]
    fading = FADING ** np.arange(history.shape[1], dtype=np.float32) * there  # [B, T]
    faded = np.einsum("bct,bt->bc", similarity, fading) / np.maximum(fading.sum(1), 1e-9)[:, None]
    inside = np.where(there[:, None], similarity, -np.inf)
    nearest = inside.argmax(-1)
    empty = ~there[:, :1]
    best = np.where(empty, np.nan, inside.max(-1))
    place = np.where(empty, np.nan, nearest.astype(np.float32))
    return [np.where(empty, np.nan, similarity[..., 0]), faded, best, place]


def _attributes(
    attributes: sparse.csr_array, history: IntArray, items: IntArray
) -> list[FloatArray]:
    """Values shared with the last event, with an event on average, and the candidate's number."""
    if not attributes.shape[1]:
        return [np.zeros(items.shape, dtype=np.float32)] * 3
    shared = np.empty((2, *items.shape), dtype=np.float32)
    own = np.diff(attributes.indptr).astype(np.float32)
    for row, (past, wanted) in enumerate(zip(history, items, strict=True)):
        shared[:, row] = _shared(attributes, past[past != NO_ITEM], wanted)
    return [shared[0], shared[1], own[items]]


def _shared(attributes: sparse.csr_array, past: IntArray, items: IntArray) -> FloatArray:
    """float32 [2, C]: attribute values shared with past[0], and on average with all of past."""
    if not past.size:
        return np.zeros((2, items.size), dtype=np.float32)
    starts, ends = attributes.indptr[past], attributes.indptr[past + 1]
    profile = np.zeros((attributes.shape[1] + 1, 2), dtype=np.float32)
    profile[attributes.indices[starts[0] : ends[0]], 0] = 1.0
    every = np.concatenate([attributes.indices[a:b] for a, b in zip(starts, ends, strict=True)])
    np.add.at(profile[:, 1], every, np.float32(1.0 / past.size))
    return _row_sums(attributes, items, profile)


def _row_sums(attributes: sparse.csr_array, items: IntArray, profile: FloatArray) -> FloatArray:
    """float32 [2, C]: for each item, the sum of `profile` [A + 1, 2] over its attribute values."""
    starts = attributes.indptr[items]
    lengths = attributes.indptr[items + 1] - starts
    ends = np.cumsum(lengths)
    entries = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
    running = np.zeros((ends[-1] + 1, 2))
    np.cumsum(profile[attributes.indices[entries]], axis=0, out=running[1:])
    sums: FloatArray = (running[ends] - running[ends - lengths]).T.astype(np.float32)
    return sums


def _had(history: IntArray, items: IntArray) -> list[FloatArray]:
    """How often the candidate is among the last events, and how long ago (NaN: it is not)."""
    same = history[:, None] == items[..., None]  # [B, C, T]
    times = same.sum(-1).astype(np.float32)
    return [times, np.where(times > 0, same.argmax(-1), np.nan).astype(np.float32)]


def _numbers(numbers: FloatArray, history: IntArray, items: IntArray) -> list[FloatArray]:
    """Each numeric attribute, and its distance from the mean over the history."""
    columns = []
    for values in numbers.T:
        past = np.where(history != NO_ITEM, values[np.maximum(history, 0)], np.nan)  # [B, T]
        known = np.isfinite(past)
        total = np.where(known, past, 0.0).sum(1)
        mean = np.where(known.any(1), total / np.maximum(known.sum(1), 1), np.nan)
        columns += [values[items], values[items] - mean[:, None]]
    return columns
