"""Questions and the choice of the best items, at their boundaries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.interactions import (
    NO_ITEM,
    UNKNOWN_TIME,
    Histories,
    Recommendations,
    RequestBatch,
    is_among,
    latest_events,
    select_top_k,
)


def batch() -> RequestBatch:
    histories = Histories.from_lists([[3, 1], [], [2, 2, 0]], [[5, 6], [], [7, 8, 9]])
    return RequestBatch.from_histories(histories, np.array([4, -1, 6]))


def test_histories_become_padded_rows() -> None:
    requests = batch()
    assert requests.item_index.tolist() == [
        [3, 1, NO_ITEM],
        [NO_ITEM, NO_ITEM, NO_ITEM],
        [2, 2, 0],
    ]
    assert requests.event_time.tolist() == [
        [5, 6, UNKNOWN_TIME],
        [UNKNOWN_TIME] * 3,
        [7, 8, 9],
    ]
    assert requests.user_index.tolist() == [4, -1, 6]
    assert requests.lengths.tolist() == [2, 0, 3]
    assert len(requests) == 3


def test_histories_without_events_still_have_a_column() -> None:
    requests = RequestBatch.from_histories(Histories.from_lists([[], []]))
    assert requests.item_index.tolist() == [[NO_ITEM], [NO_ITEM]]
    assert requests.user_index.tolist() == [-1, -1]


def test_rows_are_cut_to_their_longest_history() -> None:
    requests = batch().without_seen()
    head = requests.rows(0, 2)
    assert head.item_index.tolist() == [[3, 1], [NO_ITEM, NO_ITEM]]
    permitted = head.permitted(5)
    assert permitted is not None
    assert permitted.tolist() == [[True, False, True, False, True], [True] * 5]
    assert requests.rows(1, 2).item_index.shape == (1, 1)
    assert len(requests.rows(1, 1)) == 0


def test_rows_keep_a_shared_mask_and_their_own_now() -> None:
    shared = torch.tensor([[True, False]])
    requests = batch()
    requests = RequestBatch(
        item_index=requests.item_index,
        event_time=requests.event_time,
        user_index=requests.user_index,
        allowed=shared,
        now=torch.tensor([1, 2, 3]),
        seed=7,
    )
    part = requests.rows(1, 3)
    assert part.allowed is shared
    assert part.now is not None
    assert part.now.tolist() == [2, 3]
    assert part.seed == 7


def test_without_seen_forbids_the_history_and_what_was_forbidden_before() -> None:
    requests = batch().without_seen()
    permitted = requests.permitted(4)
    assert permitted is not None
    assert permitted.tolist() == [
        [True, False, True, False],
        [True, True, True, True],
        [False, True, False, True],
    ]
    shared = replace(batch(), allowed=torch.tensor([[True, True, True, False]]))
    both = shared.without_seen().permitted(4)
    assert both is not None
    assert both[:, 3].tolist() == [False] * 3
    assert both[1].tolist() == [True, True, True, False]


def test_without_seen_adds_to_what_was_left_out() -> None:
    requests = replace(batch(), excluded=torch.tensor([[0], [1], [NO_ITEM]])).without_seen()
    permitted = requests.permitted(4)
    assert permitted is not None
    assert permitted.tolist() == [
        [False, False, True, False],
        [True, False, True, True],
        [False, True, False, True],
    ]


def test_the_latest_events_are_kept_in_their_order() -> None:
    ended = [NO_ITEM] * 4
    events = torch.tensor([[1, 2, 3, 4], [5, 6, *ended[2:]], ended, [7, 8, 9, NO_ITEM]])
    assert latest_events(events, 2).tolist() == [[3, 4], [5, 6], [NO_ITEM] * 2, [8, 9]]
    assert latest_events(events, 3)[1].tolist() == [5, 6, NO_ITEM]
    assert torch.equal(latest_events(events, 9), events)
    assert latest_events(events[:0], 2).shape == (0, 2)


def test_who_knows_few_items_is_told_of_no_others() -> None:
    requests = replace(batch(), allowed=torch.ones(1, 9, dtype=torch.bool))
    few = requests.within(2)
    assert few.item_index.tolist() == [[1, NO_ITEM, NO_ITEM], [NO_ITEM] * 3, [0, NO_ITEM, NO_ITEM]]
    assert few.event_time.tolist() == [
        [6, UNKNOWN_TIME, UNKNOWN_TIME],
        [UNKNOWN_TIME] * 3,
        [9, UNKNOWN_TIME, UNKNOWN_TIME],
    ]
    assert few.allowed is not None and few.allowed.shape == (1, 2)
    assert requests.within(9) is requests
    assert torch.equal(requests.within(5).item_index, requests.item_index)


def test_what_is_no_item_may_be_left_out() -> None:
    requests = replace(batch(), excluded=torch.tensor([[1, 9], [4, 5], [NO_ITEM, 8]]))
    permitted = requests.permitted(4)
    assert permitted is not None
    assert permitted.tolist() == [[True, False, True, True], [True] * 4, [True] * 4]


def test_what_is_permitted_of_some_items_is_what_the_whole_mask_says() -> None:
    requests = replace(batch(), allowed=torch.tensor([[True, True, False, True]])).without_seen()
    mask = requests.permitted(4)
    assert mask is not None
    items = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0], [2, 2, 0, 1]])
    assert torch.equal(requests.permits(items), mask.gather(1, items))
    assert batch().permitted(4) is None
    assert batch().permits(items).all()


def test_among_equal_scores_the_lowest_index_comes_first() -> None:
    scores = torch.tensor([[1.0, 2.0, 2.0, 1.0, 2.0], [0.0, -0.0, 0.0, -1.0, -1.0]])
    chosen = select_top_k(scores, None, 4, "test")
    assert chosen.item_index.tolist() == [[1, 2, 4, 0], [0, 1, 2, 3]]
    assert chosen.score.tolist() == [[2.0, 2.0, 2.0, 1.0], [0.0, 0.0, 0.0, -1.0]]


def test_more_items_than_there_are_leave_empty_places() -> None:
    chosen = select_top_k(torch.tensor([[1.0, 3.0]]), None, 4, "test")
    assert chosen.item_index.tolist() == [[1, 0, NO_ITEM, NO_ITEM]]
    assert chosen.score.tolist() == [[3.0, 1.0, -torch.inf, -torch.inf]]


def test_nothing_permitted_gives_no_items() -> None:
    chosen = select_top_k(
        torch.tensor([[1.0, 3.0]]), torch.zeros(1, 2, dtype=torch.bool), 2, "test"
    )
    assert chosen.item_index.tolist() == [[NO_ITEM, NO_ITEM]]
    assert chosen.score.tolist() == [[-torch.inf, -torch.inf]]


def test_a_mask_of_one_row_counts_for_all() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    chosen = select_top_k(scores, torch.tensor([[True, True, False]]), 1, "test")
    assert chosen.item_index.tolist() == [[1], [0]]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([0.0, -0.0, 1.5, -1.5]),
            st.floats(width=32, allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 35),
)
def test_the_choice_equals_a_stable_sort(scores: list[float], k: int) -> None:
    permitted = [bool((index * 7919 + k) % 3) for index in range(len(scores))]
    order = sorted(
        (index for index in range(len(scores)) if permitted[index]),
        key=lambda index: -np.float32(scores[index]),
    )[:k]
    chosen = select_top_k(torch.tensor([scores]), torch.tensor([permitted]), k, "test")
    assert chosen.item_index[0].tolist() == order + [NO_ITEM] * (k - len(order))
    assert chosen.source == "test"


def test_items_and_scores_must_have_one_shape() -> None:
    with pytest.raises(ValueError, match="scores"):
        Recommendations(item_index=torch.zeros(1, 2), score=torch.zeros(1, 3), source="test")


@pytest.mark.parametrize("width", [3, 3000])  # compared one by one, and found in a sorted row
def test_items_are_found_among_others_in_their_own_row(width: int) -> None:
    others = torch.full((2, width), NO_ITEM)
    others[0, -1], others[1, 0] = 7, 8
    items = torch.tensor([[7, 8, 9], [7, 8, 9]]).repeat(1, 100)
    expected = torch.tensor([[True, False, False], [False, True, False]]).repeat(1, 100)
    assert torch.equal(is_among(items, others), expected)


def test_nothing_is_among_none() -> None:
    items = torch.tensor([[1, 2]])
    assert not is_among(items, torch.empty(1, 0, dtype=torch.int64)).any()
