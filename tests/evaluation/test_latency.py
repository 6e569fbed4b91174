"""Timing on one thread, and a method behind a deadline; nothing here depends on the machine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pytest
import torch
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]
from torch import Tensor

from genrec.errors import GenrecError
from genrec.evaluation import (
    DeadlineRun,
    EvaluationTask,
    measure_deadline,
    measure_latency,
    one_thread,
    recall_at,
)
from genrec.funnel import DeadlineFunnel, LastResort, RankedSource
from genrec.interactions import Repeats, RequestBatch, Source
from tests.evaluation.stubs import (
    NUM_ITEMS,
    NUM_PEOPLE,
    ScoringSource,
    all_methods,
    circle_split,
    constant,
    lists_of,
    next_in_circle,
)

TASK = EvaluationTask(questions=circle_split().test, num_items=NUM_ITEMS, repeats=Repeats.MASK)
AMPLE_MS = 1e9
TINY_MS = 1e-6


class OrderOfCandidates:
    """A ranker that prefers what was proposed last."""

    def score(
        self, requests: RequestBatch, candidates: Tensor, source_scores: Mapping[str, Tensor]
    ) -> Tensor:
        return torch.arange(candidates.shape[1]).expand(candidates.shape).float()


def funnel_of(source: Source) -> DeadlineFunnel:
    last_resort = LastResort.of(constant("popularity"), NUM_ITEMS)
    return DeadlineFunnel(source, [], last_resort)


def test_every_library_runs_on_one_thread_inside_and_as_before_outside() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
            assert {library["num_threads"] for library in threadpool_info()} <= {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_threads_come_back_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with suppress(GenrecError), one_thread():
            raise GenrecError("a defect")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_every_request_of_every_method_is_timed() -> None:
    found = measure_latency(all_methods(), TASK)
    assert list(found) == list(all_methods())
    assert all(each.total_ms.shape == (NUM_PEOPLE,) for each in found.values())
    assert all((each.total_ms > 0).all() for each in found.values())


def test_the_methods_take_turns_at_being_first() -> None:
    calls: list[str] = []

    def recorded(name: str) -> ScoringSource:
        def scoring(requests: RequestBatch) -> Tensor:
            calls.append(name)
            return torch.zeros(len(requests), NUM_ITEMS)

        return ScoringSource(name, scoring)

    measure_latency({name: recorded(name) for name in "abc"}, TASK)
    timed = calls[-3 * NUM_PEOPLE :]
    rounds = ["".join(timed[start : start + 3]) for start in range(0, len(timed), 3)]
    assert rounds[:4] == ["abc", "bca", "cab", "abc"]


def test_the_stages_of_a_funnel_are_timed_within_its_total() -> None:
    ranked = RankedSource(
        "ranked", [next_in_circle("near"), constant("popularity")], OrderOfCandidates()
    )
    found = measure_latency({"ranked": ranked}, TASK)["ranked"]
    assert {"near", "popularity", "filter", "rank"} <= set(found.stage_ms)
    stages = sum(found.stage_ms.values())
    assert (stages <= found.total_ms).all()


def test_a_method_keeps_its_accuracy_where_the_budget_is_ample() -> None:
    run = measure_deadline(funnel_of(next_in_circle("next")), TASK, AMPLE_MS)
    assert set(run.served_by) == {"next"}
    assert run.in_time.all()
    assert recall_at(run.ranks, 1).mean() == 1.0


def test_the_last_resort_answers_where_no_time_is_left() -> None:
    run = measure_deadline(funnel_of(next_in_circle("next")), TASK, TINY_MS)
    assert set(run.served_by) == {"popularity"}
    assert not run.in_time.any()


def test_in_time_means_at_most_the_budget() -> None:
    run = DeadlineRun(
        ranks=lists_of([[1], [1], [1]]),
        total_ms=torch.tensor([49.0, 50.0, 50.1]).double().numpy(),
        served_by=["a", "a", "a"],
        budget_ms=50.0,
    )
    assert run.in_time.tolist() == [True, True, False]


@pytest.mark.parametrize("num_people", [1, 2])
def test_fewer_people_than_warm_up_requests_are_enough(num_people: int) -> None:
    few = TASK.select(TASK.draw(num_people, 0))
    assert measure_latency(all_methods(), few)["dense"].total_ms.shape == (num_people,)
