"""Which requests share a graph: sizes are rounded up, beams are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genrec.generator import GraphConfig
from genrec.generator.buckets import Bucket
from genrec.generator.combination import FOLLOWER_CANDIDATES
from genrec.interactions import RequestBatch

CONFIG = GraphConfig(shortest=4, fewest_excluded=8)


def bucket(
    batch: int,
    length: int,
    *,
    excluded: int | None = None,
    filter_rows: int | None = None,
    history: int = 50,
) -> Bucket:
    events = torch.zeros(batch, length, dtype=torch.int64)
    requests = RequestBatch(item_index=events, event_time=events, user_index=events[:, 0])
    if excluded is not None:
        requests = replace(requests, excluded=torch.zeros(batch, excluded, dtype=torch.int64))
    if filter_rows is not None:
        requests = replace(requests, allowed=torch.ones(filter_rows, 9, dtype=torch.bool))
    return Bucket.of(requests, events, num_beams=[3, 5], history=history, config=CONFIG)


@pytest.mark.parametrize(
    ("batch", "rounded"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (128, 128)]
)
def test_batches_are_powers_of_two(batch: int, rounded: int) -> None:
    assert bucket(batch, 4).batch == rounded


@pytest.mark.parametrize(
    ("length", "rounded"), [(1, 4), (4, 4), (5, 8), (8, 8), (9, 16), (33, 50), (50, 50)]
)
def test_windows_are_powers_of_two_up_to_the_longest(length: int, rounded: int) -> None:
    assert bucket(1, length).length == rounded


def test_a_window_is_never_longer_than_the_model_reads() -> None:
    assert bucket(1, 2, history=2).length == 2


@pytest.mark.parametrize(("excluded", "rounded"), [(None, 0), (0, 0), (1, 8), (8, 8), (9, 16)])
def test_left_out_items_are_powers_of_two_where_there_are_any(
    excluded: int | None, rounded: int
) -> None:
    assert bucket(1, 4, excluded=excluded).excluded == rounded


@pytest.mark.parametrize(
    ("batch", "rows", "rounded"), [(3, None, 0), (3, 1, 1), (3, 3, 4), (1, 1, 1)]
)
def test_a_filter_for_all_stays_one_row(batch: int, rows: int | None, rounded: int) -> None:
    assert bucket(batch, 4, filter_rows=rows).filter_rows == rounded


def test_beams_are_never_padded() -> None:
    assert bucket(1, 4).num_beams == (3, 5)


def test_places_are_those_of_the_widest_level() -> None:
    """Behind the 3 beams above the last level go, in `combined`, 5 candidates and followers."""
    rows = 3 + 5 + FOLLOWER_CANDIDATES
    assert bucket(4, 4).num_places([100, 2]) == 4 * 100
    assert bucket(4, 4).num_places([10, 2]) == 4 * rows * 2
    assert bucket(4, 4).num_places([1, 7]) == 4 * rows * 7
    assert bucket(4, 4, excluded=16).num_places([10, 2]) == 4 * 16 * 16


@pytest.mark.parametrize(
    "wrong", [{"shortest": 0}, {"max_graphs": 0}, {"max_places": 0}, {"max_buffer_bytes": -1}]
)
def test_sizes_that_are_no_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="sizes must be at least 1"):
        GraphConfig(**wrong)
