"""Popularity against counts that a person can read."""

from __future__ import annotations

import numpy as np
import pytest

from genrec.errors import InputError
from genrec.interactions import Histories, RequestBatch
from genrec.retrieval import PopularitySource, count_items


def test_items_come_by_their_count_and_equal_counts_by_their_index() -> None:
    counts = count_items(Histories.from_lists([[2, 1, 2], [3, 1], [4]]), 6)
    requests = RequestBatch.from_histories(Histories.from_lists([[], [0]]))
    found = PopularitySource(counts).recommend(requests, 6)
    assert found.item_index.tolist() == [[1, 2, 3, 4, 0, 5]] * 2
    assert found.score[0].tolist() == [2, 2, 1, 1, 0, 0]


def test_forbidden_items_are_left_out_and_the_list_is_padded() -> None:
    requests = RequestBatch.from_histories(Histories.from_lists([[1], [0]])).without_seen()
    found = PopularitySource(np.array([5, 4, 3])).recommend(requests, 3)
    assert found.item_index.tolist() == [[0, 2, -1], [1, 2, -1]]
    assert found.score[0, 2] == -np.inf


@pytest.mark.parametrize("counts", [np.array([], dtype=np.int64), np.array([1, -1])])
def test_counts_that_are_none_are_refused(counts: np.ndarray) -> None:
    with pytest.raises(InputError, match="count"):
        PopularitySource(counts)
