"""Ranks and metrics: worked by hand, and against an oracle that is written as one would say it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrec.evaluation import (
    NO_TARGET,
    NOT_FOUND,
    ndcg_at,
    recall_at,
    reciprocal_rank_at,
    target_ranks,
)
from genrec.interactions import NO_ITEM
from tests.evaluation.stubs import lists_of

LISTS = [[4, 2, 7], [1, 3, NO_ITEM], [5, 6, 8]]


def test_the_rank_counts_from_one_and_is_zero_where_the_target_is_missing() -> None:
    ranks = target_ranks(lists_of(LISTS), np.array([7, 1, 9]))
    assert ranks.tolist() == [[3], [1], [NOT_FOUND]]


def test_an_empty_place_is_never_a_hit_and_a_missing_target_never_found() -> None:
    ranks = target_ranks(lists_of([[1, NO_ITEM, NO_ITEM]]), np.array([[1, NO_ITEM]]))
    assert ranks.tolist() == [[1, NO_TARGET]]
    assert recall_at(ranks, 3).tolist() == [1.0]


def test_one_target_by_hand() -> None:
    ranks = np.array([[1], [3], [NOT_FOUND]])
    assert recall_at(ranks, 2).tolist() == [1.0, 0.0, 0.0]
    assert recall_at(ranks, 3).tolist() == [1.0, 1.0, 0.0]
    assert ndcg_at(ranks, 3).tolist() == [1.0, 0.5, 0.0]  # 1 / log2(4)
    assert reciprocal_rank_at(ranks, 3).tolist() == [1.0, 1 / 3, 0.0]
    assert reciprocal_rank_at(ranks, 2).tolist() == [1.0, 0.0, 0.0]


def test_two_targets_by_hand() -> None:
    ranks = np.array([[1, 3], [NOT_FOUND, 2]])
    assert recall_at(ranks, 3).tolist() == [1.0, 0.5]
    best = 1.0 + 1.0 / math.log2(3)
    assert ndcg_at(ranks, 3) == pytest.approx([1.5 / best, (1.0 / math.log2(3)) / best])
    assert reciprocal_rank_at(ranks, 3).tolist() == [1.0, 0.5]


def test_more_targets_than_places_still_allow_a_perfect_list() -> None:
    ranks = target_ranks(lists_of([[3, 1]]), np.array([[1, 2, 3]]))
    assert ndcg_at(ranks, 2).tolist() == [1.0]
    assert recall_at(ranks, 2) == pytest.approx([2 / 3])


def test_a_person_without_a_target_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 has no target"):
        target_ranks(lists_of([[1], [2]]), np.array([[1], [NO_ITEM]]))


def test_a_target_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="row 0 has a target twice"):
        target_ranks(lists_of([[1]]), np.array([[2, 2]]))


def test_lists_and_targets_of_different_people_are_refused() -> None:
    with pytest.raises(ValueError, match="one row a person"):
        target_ranks(lists_of([[1], [2]]), np.array([1]))


def test_a_cutoff_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        recall_at(np.array([[1]]), 0)


def _naive(items: list[int], targets: set[int], k: int) -> tuple[float, float, float]:
    hits = [item in targets for item in items[:k]]
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(targets))))
    first = next((1 / (place + 1) for place, hit in enumerate(hits) if hit), 0.0)
    return sum(hits) / len(targets), gain / ideal, first


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no timed assertions
@given(st.data())
def test_metrics_equal_the_naive_oracle(data: st.DataObject) -> None:
    num_people, num_items = data.draw(st.integers(1, 5)), 12
    length = data.draw(st.integers(1, 8))
    k = data.draw(st.integers(1, length))
    some_items = st.lists(st.integers(0, num_items - 1), unique=True)
    lists: list[list[int]] = []
    targets: list[list[int]] = []
    for _ in range(num_people):
        listed = data.draw(some_items)[:length]
        lists.append(listed + [NO_ITEM] * (length - len(listed)))
        targets.append(data.draw(some_items.filter(bool)))
    widest = max(len(row) for row in targets)
    padded = lists_of([row + [NO_ITEM] * (widest - len(row)) for row in targets])
    ranks = target_ranks(lists_of(lists), padded)
    found: npt.NDArray[np.float64] = np.stack(
        [recall_at(ranks, k), ndcg_at(ranks, k), reciprocal_rank_at(ranks, k)], axis=1
    )
    expected = [_naive(row, set(wanted), k) for row, wanted in zip(lists, targets, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
