"""Item-to-item sources against sums that a person can check, and EASE against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from genrec.errors import InputError
from genrec.interactions import Histories, RequestBatch
from genrec.retrieval import ItemItemSource, ease_weights, followed_by, item_cosines

WEIGHTS = np.array([[0, 4, 1, 0], [0, 0, 3, 1], [0, 0, 0, 2], [1, 0, 0, 0]], dtype=np.float32)


def _asked(*histories: list[int]) -> RequestBatch:
    return RequestBatch.from_histories(Histories.from_lists(list(histories)))


@pytest.mark.parametrize("weights", [WEIGHTS, sparse.csr_array(WEIGHTS)], ids=["dense", "sparse"])
def test_the_history_votes_and_older_events_count_less(
    weights: np.ndarray | sparse.csr_array,
) -> None:
    found = ItemItemSource("votes", weights, fading=0.5).recommend(_asked([0, 1], [3]), 4)
    assert found.item_index[0].tolist() == [2, 1, 3, 0]
    assert found.score[0].tolist() == [3.5, 2.0, 1.0, 0.0]  # 0 counts a half beside 1
    assert found.item_index[1, 0] == 0
    assert found.source == "votes"


def test_an_item_that_comes_twice_votes_twice() -> None:
    found = ItemItemSource("votes", WEIGHTS).recommend(_asked([2, 2]), 1)
    assert (found.item_index.item(), found.score.item()) == (3, 4.0)


def test_cosines_are_those_of_the_sets_of_people() -> None:
    histories = Histories.from_lists([[0, 1, 0], [0, 1], [0, 2], [2]])
    expected = np.array([[0, 2 / np.sqrt(6), 1 / np.sqrt(6)], [2 / np.sqrt(6), 0, 0]])
    assert np.allclose(item_cosines(histories, 3).toarray()[:2], expected)


def test_what_followed_is_not_what_came_before() -> None:
    followed = followed_by(Histories.from_lists([[0, 1], [0, 1]]), 2).toarray()
    assert np.allclose(followed, [[0, 1], [0, 0]])


def test_ease_is_the_best_linear_model_with_a_zero_diagonal() -> None:
    """Each column is the ridge regression of one item on all others."""
    random = np.random.default_rng(0)
    people = (random.random((40, 6)) < 0.4).astype(np.float64)
    histories = Histories.from_lists([np.flatnonzero(row).tolist() for row in people])
    weights = ease_weights(histories, 6, l2=2.0)
    assert (weights.diagonal() == 0).all()
    for item in range(6):
        others = np.delete(people, item, axis=1)
        ridge = np.linalg.solve(others.T @ others + 2.0 * np.eye(5), others.T @ people[:, item])
        assert np.allclose(np.delete(weights[:, item], item), ridge, atol=1e-5)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match=r"\[N, N\]"):
        ItemItemSource("votes", WEIGHTS[:2])
    with pytest.raises(InputError, match=r"fading.*\(0, 1\]"):
        ItemItemSource("votes", WEIGHTS, fading=0.0)
    with pytest.raises(InputError, match="l2 must be above 0"):
        ease_weights(Histories.from_lists([[0]]), 1, l2=0.0)
