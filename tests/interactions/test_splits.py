"""Both protocols on logs whose splits are known."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import InputError
from genrec.interactions import (
    UNKNOWN_TIME,
    EvaluationSet,
    Histories,
    Protocol,
    Split,
    find_shortfalls,
    split_histories,
)

LEAVE_LAST_OUT, GLOBAL_TEMPORAL = Protocol.LEAVE_LAST_OUT, Protocol.GLOBAL_TEMPORAL


def lists(histories: Histories) -> list[list[int]]:
    return [items.tolist() for items in histories]


def questions(evaluation: EvaluationSet) -> dict[int, tuple[list[int], int, int]]:
    """User -> (input, target, its time)."""
    return {
        int(user): (history.tolist(), int(target), int(time))
        for user, history, target, time in zip(
            evaluation.user_index,
            evaluation.histories,
            evaluation.target,
            evaluation.target_time,
            strict=True,
        )
    }


def test_leave_last_out_asks_for_the_last_two_events_of_who_has_three() -> None:
    histories = Histories.from_lists(
        [[], [1], [2, 3], [4, 5, 6], [7, 8, 7, 9]],
        [[], [10], [20, 30], [40, 50, 60], [70, 80, 90, 100]],
    )
    split = split_histories(histories, LEAVE_LAST_OUT)
    assert lists(split.train) == [[], [1], [2, 3], [4], [7, 8]]
    assert questions(split.validation) == {3: ([4], 5, 50), 4: ([7, 8], 7, 90)}
    assert questions(split.test) == {3: ([4, 5], 6, 60), 4: ([7, 8, 7], 9, 100)}
    assert split.num_excluded == 0


def test_leave_last_out_needs_no_times() -> None:
    split = split_histories(Histories.from_lists([[0, 1, 2]]), LEAVE_LAST_OUT)
    assert questions(split.test) == {0: ([0, 1], 2, UNKNOWN_TIME)}


@pytest.mark.parametrize("items", [[], [[]], [[1]], [[1, 2], [3]]])
def test_leave_last_out_says_when_nobody_can_be_evaluated(items: list[list[int]]) -> None:
    with pytest.raises(InputError, match="at least one person with 3 events"):
        split_histories(Histories.from_lists(items), LEAVE_LAST_OUT)


def temporal() -> Histories:
    """Times 0, 10, … 100 over four users: the quantiles are 80 and 90."""
    return Histories.from_lists(
        [[0, 1, 2, 3], [4, 5, 6], [7, 8], [9, 10]],
        [[0, 10, 20, 30], [40, 50, 80], [60, 90], [70, 100]],
    )


def test_global_temporal_cuts_at_the_80_and_90_percent_quantiles() -> None:
    split = split_histories(temporal(), GLOBAL_TEMPORAL)
    assert lists(split.train) == [[0, 1, 2, 3], [4, 5], [7], [9]]
    assert questions(split.validation) == {1: ([4, 5], 6, 80)}
    assert questions(split.test) == {2: ([7], 8, 90), 3: ([9], 10, 100)}


def test_a_global_temporal_input_is_all_that_came_before_the_target() -> None:
    histories = Histories.from_lists(
        [list(range(8)), [8, 9, 10]],
        [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10]],
    )
    split = split_histories(histories, GLOBAL_TEMPORAL)  # cuts at 8 and 9
    assert lists(split.train) == [list(range(8)), []]
    assert questions(split.validation) == {1: ([], 8, 8)}
    assert questions(split.test) == {1: ([8, 9], 10, 10)}


def test_people_with_an_event_of_unknown_time_are_left_out_and_counted() -> None:
    plain = temporal()
    histories = Histories(
        item_index=np.concatenate([plain.item_index, [11, 12, 13]]),
        event_time=np.concatenate([plain.event_time, [UNKNOWN_TIME, 95, UNKNOWN_TIME]]),
        offsets=np.concatenate([plain.offsets, [13, 14]]),
    )
    split, without = (split_histories(h, GLOBAL_TEMPORAL) for h in (histories, plain))
    assert split.num_excluded == 2
    assert lists(split.train) == [*lists(without.train), [], []]
    assert questions(split.validation) == questions(without.validation)
    assert questions(split.test) == questions(without.test)


@pytest.mark.parametrize("histories", [[[0, 1, 2]], [[]], []])
def test_global_temporal_says_when_there_are_no_times(histories: list[list[int]]) -> None:
    with pytest.raises(InputError, match="use leave-last-out, or import the log with a time"):
        split_histories(Histories.from_lists(histories), GLOBAL_TEMPORAL)


def test_global_temporal_says_when_all_events_have_one_time() -> None:
    with pytest.raises(InputError, match="0 people can be validated on"):
        split_histories(Histories.from_lists([[0], [1]], [[5], [5]]), GLOBAL_TEMPORAL)


EVENTS = st.lists(st.lists(st.integers(0, 50), max_size=6), min_size=1, max_size=6).filter(
    lambda users: len({time for user in users for time in user}) > 1
)


@settings(max_examples=50, deadline=None)
@given(EVENTS)
def test_no_training_event_is_from_behind_the_boundary_whatever_the_order(
    times: list[list[int]],
) -> None:
    items = [[0] * len(user) for user in times]  # a given order may run against the times
    try:
        split = split_histories(Histories.from_lists(items, times), GLOBAL_TEMPORAL)
    except InputError:
        return
    train_end = np.quantile([time for user in times for time in user], 0.8)
    assert (split.train.event_time < train_end).all()
    for user, row in enumerate(times):
        inside = next((n for n, time in enumerate(row) if time >= train_end), len(row))
        assert split.train.lengths[user] == inside


def test_a_sample_keeps_questions_and_inputs_together() -> None:
    histories = Histories.from_lists([[user, user + 100, user + 200] for user in range(50)])
    test = split_histories(histories, LEAVE_LAST_OUT).test
    sample = test.sample(10, seed=1)
    assert len(sample) == 10
    assert questions(sample).items() <= questions(test).items()
    assert (np.diff(sample.user_index) > 0).all()
    assert questions(test.sample(10, seed=1)) == questions(sample)
    assert questions(test.sample(10, seed=2)) != questions(sample)
    assert test.sample(50, seed=1) is test


def test_a_split_says_nothing_of_the_future_in_either_protocol() -> None:
    histories = temporal()
    for protocol in Protocol:
        split: Split = split_histories(histories, protocol)
        for user, (inputs, target, _) in questions(split.test).items():
            whole = histories.items_of(user).tolist()
            assert whole[: len(inputs) + 1] == [*inputs, target]
            assert whole[: split.train.lengths[user]] == split.train.items_of(user).tolist()
            assert split.train.lengths[user] <= len(inputs)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([[0, 1]] * 40, "nothing can be trained or judged.*longest history has 2"),
        ([[0, 0, 0, 0, 0]] * 3, "nothing can be recommended.*1 item"),
        ([[0, 1, 2]] * 9, "the generator and the ranker cannot be trained"),
    ],
)
def test_what_cannot_be_trained_is_found_before_it_is_tried(
    items: list[list[int]], message: str
) -> None:
    [shortfall] = find_shortfalls(Histories.from_lists(items))
    assert re.search(message, shortfall)


@pytest.mark.parametrize("items", [[[0, 1, 2, 3]], [[0, 1, 2], [2, 1]]])
def test_the_smallest_data_that_can_be_trained_have_no_shortfall(items: list[list[int]]) -> None:
    assert find_shortfalls(Histories.from_lists(items)) == []
