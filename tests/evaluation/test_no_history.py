"""What a person of whom nothing is known is given, and how often it is right."""

from __future__ import annotations

import torch

from genrec.evaluation import EvaluationTask, no_history_lists, no_history_ranks
from genrec.interactions import Repeats, RequestBatch
from tests.evaluation.stubs import NUM_ITEMS, ScoringSource, circle_split, constant

TASK = EvaluationTask(questions=circle_split().test, num_items=NUM_ITEMS, repeats=Repeats.MASK)


def test_nobody_is_asked_about_and_nothing_is_forbidden() -> None:
    asked: list[RequestBatch] = []

    def scoring(requests: RequestBatch) -> torch.Tensor:
        asked.append(requests)
        return torch.arange(NUM_ITEMS, dtype=torch.float32).expand(len(requests), -1)

    lists = no_history_lists({"one": ScoringSource("one", scoring)}, 3)
    assert lists["one"].tolist() == [NUM_ITEMS - 1, NUM_ITEMS - 2, NUM_ITEMS - 3]
    [requests] = asked
    assert requests.lengths.tolist() == [0]
    assert requests.user_index.tolist() == [-1]
    assert requests.permitted(NUM_ITEMS) is None


def test_the_one_list_is_judged_on_every_question() -> None:
    items = no_history_lists({"popularity": constant("popularity")}, 10)["popularity"]
    ranks = no_history_ranks(items, TASK)
    expected = [target + 1 if target < 10 else 0 for target in TASK.questions.target.tolist()]
    assert ranks[:, 0].tolist() == expected
