"""The order control: what the shuffle keeps, and what it must not find where there is nothing."""

from __future__ import annotations

import numpy as np

from genrec.evaluation import (
    BootstrapConfig,
    EvaluationTask,
    choose_example,
    compare_paired,
    evaluate_source,
    num_changed,
    num_shared,
    recall_at,
    shuffled_task,
)
from genrec.interactions import NO_ITEM, EvaluationSet, Histories, Repeats
from tests.evaluation.stubs import (
    NUM_ITEMS,
    circle_split,
    lists_of,
    next_in_circle,
    order_blind,
)

TASK = EvaluationTask(questions=circle_split().test, num_items=NUM_ITEMS, repeats=Repeats.MASK)


def test_the_shuffle_keeps_everything_but_the_order() -> None:
    shuffled = shuffled_task(TASK, 0, 50)
    before, after = TASK.questions, shuffled.questions
    assert np.array_equal(before.target, after.target)
    assert np.array_equal(before.histories.offsets, after.histories.offsets)
    assert np.array_equal(before.histories.event_time, after.histories.event_time)
    for row in range(len(TASK)):
        assert sorted(before.histories.items_of(row)) == sorted(after.histories.items_of(row))
    assert not np.array_equal(before.histories.item_index, after.histories.item_index)


def test_what_lies_before_the_window_keeps_its_place() -> None:
    """Nine events and a window of four: the generator reads the last three, from place 6 on."""
    history = Histories.from_lists([list(range(9))])
    questions = EvaluationSet(
        user_index=np.array([0]),
        histories=history,
        target=np.array([9]),
        target_time=np.array([0]),
    )
    task = EvaluationTask(questions=questions, num_items=NUM_ITEMS, repeats=Repeats.MASK)
    drawn = [shuffled_task(task, seed, 4).questions.histories.item_index for seed in range(9)]
    for items in drawn:
        assert items[:6].tolist() == [0, 1, 2, 3, 4, 5]
        assert sorted(items[6:].tolist()) == [6, 7, 8]
    assert len({tuple(items.tolist()) for items in drawn}) > 2


def test_the_shuffle_is_repeated_by_its_seed() -> None:
    first, again, other = (shuffled_task(TASK, seed, 50).questions.histories for seed in (4, 4, 5))
    assert np.array_equal(first.item_index, again.item_index)
    assert not np.array_equal(first.item_index, other.item_index)


def test_a_source_that_is_blind_to_order_differs_by_exactly_nothing() -> None:
    true = evaluate_source(order_blind("blind"), TASK)
    control = evaluate_source(order_blind("blind"), shuffled_task(TASK, 0, 50))
    assert np.array_equal(true.items, control.items)
    paired = compare_paired(
        recall_at(true.ranks, 10), recall_at(control.ranks, 10), BootstrapConfig(num_resamples=100)
    )
    assert paired.difference.mean == paired.difference.low == paired.difference.high == 0.0
    assert choose_example(TASK, shuffled_task(TASK, 0, 50), true, control) is None


def test_a_source_that_lives_on_order_loses_and_gives_an_example() -> None:
    shuffled = shuffled_task(TASK, 0, 50)
    true = evaluate_source(next_in_circle("next"), TASK)
    control = evaluate_source(next_in_circle("next"), shuffled)
    assert recall_at(true.ranks, 1).mean() == 1.0
    assert recall_at(control.ranks, 1).mean() < 0.5
    example = choose_example(TASK, shuffled, true, control)
    assert example is not None
    assert not np.array_equal(example.history, example.shuffled)
    assert sorted(example.history) == sorted(example.shuffled)
    assert not np.array_equal(example.answer, example.answer_shuffled)
    shared = num_shared(true.items, control.items)
    assert example.num_shared == shared[example.row] == min(shared)


def test_where_all_histories_are_long_the_example_has_the_shortest() -> None:
    walks = Histories.from_lists(
        [
            [(start + t) % NUM_ITEMS for t in range(length)]
            for start, length in ((3, 14), (5, 12), (9, 13))
        ]
    )
    questions = EvaluationSet(
        user_index=np.arange(3),
        histories=walks,
        target=np.array([1, 2, 3]),
        target_time=np.zeros(3, np.int64),
    )
    task = EvaluationTask(questions=questions, num_items=NUM_ITEMS, repeats=Repeats.ALLOW, k=1)
    shuffled = shuffled_task(task, 0, 50)
    source = next_in_circle("next")
    example = choose_example(
        task, shuffled, evaluate_source(source, task), evaluate_source(source, shuffled)
    )
    assert example is not None
    assert example.row == 1


def test_changed_places_are_counted_by_person() -> None:
    before = Histories.from_lists([[1, 2, 3], [], [4, 5]])
    after = Histories.from_lists([[2, 1, 3], [], [4, 5]])
    assert num_changed(before, after).tolist() == [2, 0, 0]


def test_shared_items_are_counted_wherever_they_stand_and_empty_places_never() -> None:
    first = lists_of([[1, 2, NO_ITEM], [4, 5, 6]])
    second = lists_of([[2, NO_ITEM, NO_ITEM], [6, 4, 5]])
    assert num_shared(first, second).tolist() == [1, 3]
