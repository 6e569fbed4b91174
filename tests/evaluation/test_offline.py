"""Accuracy without a deadline: known answers, and lists that break the rules are counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrec.errors import InputError
from genrec.evaluation import EvaluationTask, evaluate_source, ndcg_at, recall_at
from genrec.interactions import NO_ITEM, EvaluationSet, Histories, Repeats
from tests.evaluation.stubs import (
    NUM_ITEMS,
    NUM_PEOPLE,
    circle_split,
    constant,
    fixed_lists,
    next_in_circle,
    perfect,
)


def circle_task(repeats: Repeats = Repeats.MASK) -> EvaluationTask:
    return EvaluationTask(questions=circle_split().test, num_items=NUM_ITEMS, repeats=repeats)


def one_question(history: list[int], target: int, repeats: Repeats) -> EvaluationTask:
    questions = EvaluationSet(
        user_index=np.array([0]),
        histories=Histories.from_lists([history]),
        target=np.array([target]),
        target_time=np.array([0]),
    )
    return EvaluationTask(questions=questions, num_items=4, repeats=repeats, k=3)


def test_a_perfect_source_finds_everything_first() -> None:
    result = evaluate_source(perfect("perfect", circle_split()), circle_task(), batch_size=7)
    assert recall_at(result.ranks, 10).mean() == 1.0
    assert ndcg_at(result.ranks, 10).mean() == 1.0
    assert result.faults.total == 0
    assert result.items.shape == (NUM_PEOPLE, 10)


@pytest.mark.parametrize("batch_size", [1, 39, 40, 41])
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    whole = evaluate_source(constant("constant"), circle_task())
    parts = evaluate_source(constant("constant"), circle_task(), batch_size=batch_size)
    assert np.array_equal(whole.items, parts.items)


def test_who_walks_in_circles_is_found_by_the_next_item() -> None:
    result = evaluate_source(next_in_circle("next"), circle_task())
    assert recall_at(result.ranks, 1).mean() == 1.0


def test_seen_items_are_forbidden_where_the_data_has_no_repeats() -> None:
    task = circle_task()
    result = evaluate_source(constant("constant"), task)
    for row, items in enumerate(result.items):
        assert not set(items) & set(task.questions.histories.items_of(row))


def test_seen_items_are_allowed_where_the_data_has_repeats() -> None:
    result = evaluate_source(constant("constant"), circle_task(Repeats.ALLOW))
    assert result.items.tolist() == [list(range(10))] * NUM_PEOPLE


def test_every_kind_of_fault_is_counted() -> None:
    task = one_question([0], 1, Repeats.MASK)
    source = fixed_lists("broken", [[0, 9, 2]])
    assert evaluate_source(source, task).faults.not_permitted == 1
    assert evaluate_source(source, task).faults.not_in_catalogue == 1
    assert evaluate_source(fixed_lists("twice", [[2, 2, 3]]), task).faults.repeated == 1
    assert evaluate_source(fixed_lists("short", [[2, 3, NO_ITEM]]), task).faults.missing == 1
    assert evaluate_source(fixed_lists("negative", [[-2, 3, 1]]), task).faults.not_in_catalogue == 1


def test_a_short_list_is_no_fault_where_no_more_is_permitted() -> None:
    task = one_question([0, 2], 1, Repeats.MASK)
    assert evaluate_source(fixed_lists("short", [[1, 3, NO_ITEM]]), task).faults.total == 0


def test_an_empty_history_is_a_question_like_any_other() -> None:
    task = one_question([], 1, Repeats.MASK)
    assert task.requests(0, 1).permits(torch.arange(task.num_items)[None]).all()
    assert evaluate_source(fixed_lists("any", [[1, 2, 3]]), task).ranks.tolist() == [[1]]


def test_the_sample_is_drawn_by_its_seed_without_replacement() -> None:
    task = circle_task()
    rows = task.draw(10, seed=1)
    assert np.array_equal(rows, task.draw(10, seed=1))
    assert not np.array_equal(rows, task.draw(10, seed=2))
    assert np.unique(rows).size == 10
    assert task.draw(1000, seed=0).tolist() == list(range(NUM_PEOPLE))
    assert task.select(rows).questions.target.tolist() == task.questions.target[rows].tolist()


def test_requests_carry_the_user_and_the_history() -> None:
    request = circle_task().requests(3, 4)
    assert request.user_index.tolist() == [3]
    assert torch.equal(request.item_index[0, :2], torch.tensor([3, 4]))


def test_nobody_to_evaluate_is_refused() -> None:
    nobody = EvaluationSet(
        user_index=np.zeros(0, np.int64),
        histories=Histories.from_lists([]),
        target=np.zeros(0, np.int64),
        target_time=np.zeros(0, np.int64),
    )
    with pytest.raises(InputError, match="nobody to evaluate"):
        EvaluationTask(questions=nobody, num_items=3, repeats=Repeats.MASK)
