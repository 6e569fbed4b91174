"""The funnel answers in time, whatever its stages do."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import pytest
import torch

from genrec.errors import DeadlineExceededError, InputError
from genrec.funnel import DeadlineConfig, DeadlineFunnel, LastResort, RankedSource
from genrec.funnel.latency import REFUSALS_BEFORE_PROBE
from genrec.interactions import NO_ITEM, Histories, Recommendations, RequestBatch
from tests.funnel.stubs import NUM_ITEMS, FakeClock, SteppingSource, StubScorer, StubSource

K = 3


class Funnel:
    """A funnel of stubs with its parts at hand: 20 ms primary, 8 ms ranked, 1 ms two-tower."""

    def __init__(self, clock: FakeClock, primary_ms: float = 20.0) -> None:
        self.clock = clock
        self.primary = SteppingSource("generative", clock, primary_ms)
        self.ranked = StubSource("ranked", clock, 8.0)
        self.two_tower = StubSource("two_tower", clock, 1.0)
        last_resort = LastResort("popularity", torch.arange(NUM_ITEMS).float())
        self.funnel = DeadlineFunnel(
            self.primary, [self.ranked, self.two_tower], last_resort, clock=clock
        )

    def warm(self, request: RequestBatch) -> DeadlineFunnel:
        self.funnel.warm_up(request, K)
        return self.funnel


@pytest.fixture
def parts(clock: FakeClock) -> Funnel:
    """The stub funnel on the fake clock."""
    return Funnel(clock)


def test_the_primary_serves_where_it_fits(parts: Funnel, one_request: RequestBatch) -> None:
    answer = parts.warm(one_request).answer(one_request, K, budget_ms=50)
    assert answer.served_by == answer.recommendations.source == "generative"
    assert list(answer.stage_ms) == ["two_tower", "generative"]
    assert answer.stage_ms["generative"] == pytest.approx(20.0)
    assert answer.total_ms == pytest.approx(21.0)


def test_a_primary_that_does_not_fit_is_not_started(
    parts: Funnel, one_request: RequestBatch
) -> None:
    funnel = parts.warm(one_request)
    calls = parts.primary.calls
    answer = funnel.answer(one_request, K, budget_ms=15)
    assert parts.primary.calls == calls
    assert answer.served_by == "ranked"
    assert answer.total_ms <= 15
    assert funnel.counts["refused:generative"] == 1


@pytest.mark.parametrize(
    ("budget_ms", "served_by"),
    [(0.5, "popularity"), (5, "two_tower"), (15, "ranked"), (30, "generative")],
)
def test_less_time_gives_a_cheaper_answer_within_it(
    parts: Funnel, one_request: RequestBatch, budget_ms: float, served_by: str
) -> None:
    answer = parts.warm(one_request).answer(one_request, K, budget_ms)
    assert answer.served_by == served_by
    assert answer.total_ms <= budget_ms


def test_the_cheap_answer_may_take_its_share_of_the_budget_and_no_more(
    parts: Funnel, one_request: RequestBatch
) -> None:
    funnel = parts.warm(one_request)
    assert next(iter(funnel.answer(one_request, K, budget_ms=30).stage_ms)) == "two_tower"
    assert next(iter(funnel.answer(one_request, K, budget_ms=15).stage_ms)) == "popularity"


def test_a_primary_that_turns_slow_is_interrupted_and_the_answer_is_in_time(
    parts: Funnel, one_request: RequestBatch
) -> None:
    funnel = parts.warm(one_request)
    parts.primary.takes_ms = 60.0
    for _ in range(5):
        answer = funnel.answer(one_request, K, budget_ms=50)
        assert answer.served_by != "generative"
        assert answer.total_ms <= 50
    assert funnel.counts["interrupted:generative"] >= 1
    assert funnel.counts["refused:generative"] >= 1
    assert "late" not in funnel.counts


def test_the_primary_is_stopped_one_step_before_the_deadline(
    parts: Funnel, one_request: RequestBatch
) -> None:
    funnel = parts.warm(one_request)
    parts.primary.takes_ms = 57.0  # its last look at the clock would still be within the budget
    answer = funnel.answer(one_request, K, budget_ms=50)
    assert answer.served_by == "two_tower"
    assert answer.total_ms <= 50


def test_the_first_run_of_a_warm_up_is_not_remembered(
    parts: Funnel, one_request: RequestBatch
) -> None:
    class SlowAtFirst(StubSource):
        def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
            self.takes_ms = 2.0 if self.calls else 900.0
            return super().recommend(requests, k)

    last_resort = LastResort("popularity", torch.zeros(NUM_ITEMS))
    lazy = SlowAtFirst("lazy", parts.clock, 0.0)
    funnel = DeadlineFunnel(lazy, [], last_resort, clock=parts.clock)
    assert funnel.warm_up(one_request, K) == {"lazy": pytest.approx(2.0)}


def test_one_pause_does_not_shut_the_primary_out(parts: Funnel, one_request: RequestBatch) -> None:
    parts.primary.takes_ms = 35.0
    funnel = parts.warm(one_request)
    for _ in range(30):
        assert funnel.answer(one_request, K, budget_ms=50).served_by == "generative"
    parts.primary.pause_ms = 60.0
    assert funnel.answer(one_request, K, budget_ms=50).served_by != "generative"
    served = [funnel.answer(one_request, K, budget_ms=50).served_by for _ in range(100)]
    assert set(served) == {"generative"}


def test_few_answers_are_late_wherever_in_a_step_the_deadline_falls(
    parts: Funnel, one_request: RequestBatch
) -> None:
    funnel = parts.warm(one_request)
    num_late = num_stopped = 0
    for call in range(2000):
        # Steps of 4 ms; in every fortieth call of 12 to 20.
        parts.primary.takes_ms = 20.0 if call % 40 else 60.0 + 0.7 * call % 40
        before = funnel.counts.get("interrupted:generative", 0)
        answer = funnel.answer(one_request, K, budget_ms=50)
        num_stopped += funnel.counts.get("interrupted:generative", 0) - before
        num_late += answer.total_ms > 50
    assert num_stopped >= 10
    assert num_late <= 0.2 * num_stopped


def test_a_primary_that_recovers_is_admitted_again(
    parts: Funnel, one_request: RequestBatch
) -> None:
    funnel = parts.warm(one_request)
    parts.primary.takes_ms = 60.0
    for _ in range(3):
        funnel.answer(one_request, K, budget_ms=50)
    parts.primary.takes_ms = 20.0
    served = [funnel.answer(one_request, K, budget_ms=50).served_by for _ in range(50)]
    assert served[0] == "ranked"
    assert set(served[REFUSALS_BEFORE_PROBE + 1 :]) == {"generative"}
    assert funnel.counts["probe:generative"] >= 1


def test_an_error_of_any_stage_is_logged_counted_and_another_answers(
    parts: Funnel, one_request: RequestBatch, caplog: pytest.LogCaptureFixture
) -> None:
    funnel = parts.warm(one_request)
    for stage, next_one in ((parts.primary, "ranked"), (parts.ranked, "two_tower")):
        stage.error = RuntimeError("a planted failure")
        stage.recommend = StubSource.recommend.__get__(stage)  # type: ignore[method-assign]
        with caplog.at_level(logging.ERROR):
            answer = funnel.answer(one_request, K, budget_ms=50)
        assert answer.served_by == next_one
        assert funnel.counts[f"error:{stage.name}"] >= 1
    parts.two_tower.error = MemoryError("another")
    answer = funnel.answer(one_request, K, budget_ms=50)
    assert answer.served_by == "popularity"
    assert answer.recommendations.item_index.tolist() == [[7, 6, 5]]
    assert "a planted failure" in caplog.text


def test_errors_leave_an_answer_without_a_deadline_too(
    parts: Funnel, one_request: RequestBatch
) -> None:
    parts.primary.error = parts.ranked.error = parts.two_tower.error = ValueError("planted")
    parts.primary.recommend = StubSource.recommend.__get__(parts.primary)  # type: ignore[method-assign]
    assert parts.funnel.answer(one_request, K).served_by == "popularity"


def test_without_a_budget_the_primary_serves_however_slow(
    clock: FakeClock, one_request: RequestBatch
) -> None:
    parts = Funnel(clock, primary_ms=10_000.0)
    assert parts.funnel.answer(one_request, K).served_by == "generative"


def test_before_any_warm_up_nothing_slow_is_started(
    parts: Funnel, one_request: RequestBatch
) -> None:
    answer = parts.funnel.answer(one_request, K, budget_ms=50)
    assert answer.served_by == "popularity"
    assert parts.primary.calls == 0


def test_a_late_answer_is_counted(parts: Funnel, one_request: RequestBatch) -> None:
    funnel = parts.warm(one_request)
    parts.two_tower.takes_ms = 80.0
    assert funnel.answer(one_request, K, budget_ms=50).total_ms > 50
    assert funnel.counts["late"] == 1
    assert funnel.answer(one_request, K, budget_ms=50).total_ms <= 50


def test_an_interruption_without_a_deadline_is_an_answer_by_another(
    parts: Funnel, one_request: RequestBatch
) -> None:
    parts.two_tower.error = DeadlineExceededError("out of the blue")
    parts.ranked.error = parts.two_tower.error
    parts.primary.error = parts.two_tower.error
    parts.primary.recommend = StubSource.recommend.__get__(parts.primary)  # type: ignore[method-assign]
    assert parts.funnel.answer(one_request, K).served_by == "popularity"


def test_the_real_clock_keeps_a_deadline_too(one_request: RequestBatch) -> None:
    class Sleeper:
        name = "sleeper"
        step_ms = 1.0

        def recommend(
            self, requests: RequestBatch, k: int, *, deadline: float | None = None
        ) -> Recommendations:
            for _ in range(4):
                if deadline is not None and time.perf_counter() > deadline:
                    raise DeadlineExceededError("stopped")
                time.sleep(self.step_ms / 1000)
            return LastResort(self.name, torch.arange(NUM_ITEMS).float()).recommend(requests, k)

    sleeper = Sleeper()
    funnel = DeadlineFunnel(sleeper, [], LastResort("popularity", torch.zeros(NUM_ITEMS)))
    funnel.warm_up(one_request, K)
    assert funnel.answer(one_request, K, budget_ms=60_000).served_by == "sleeper"
    sleeper.step_ms = 60.0
    assert funnel.answer(one_request, K, budget_ms=100).served_by == "popularity"


def test_stages_within_a_stage_are_reported(clock: FakeClock, one_request: RequestBatch) -> None:
    ranked = RankedSource(
        "ranked", [StubSource("two_tower", clock, 2.0)], StubScorer(range(NUM_ITEMS)), clock=clock
    )
    funnel = DeadlineFunnel(ranked, [], LastResort("popularity", torch.zeros(8)), clock=clock)
    stage_ms = funnel.answer(one_request, K).stage_ms
    assert list(stage_ms)[:3] == ["ranked.two_tower", "ranked.filter", "ranked.rank"]
    assert stage_ms["ranked"] == pytest.approx(2.0)


@pytest.mark.parametrize(("k", "budget_ms"), [(0, 50), (1, 0), (1, -1), (1, float("nan"))])
def test_a_senseless_k_or_budget_is_refused(
    parts: Funnel, one_request: RequestBatch, k: int, budget_ms: float
) -> None:
    with pytest.raises(InputError):
        parts.funnel.answer(one_request, k, budget_ms)


@pytest.mark.parametrize(
    "config", [{"cheap_share": 0.0}, {"reserve_ms": -1.0}, {"step_share": 2.0}]
)
def test_a_senseless_configuration_is_refused(config: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(config))):
        DeadlineConfig(**config)


def test_the_last_resort_skips_what_is_not_permitted_and_pads() -> None:
    requests = RequestBatch.from_histories(Histories.from_lists([[0], [1]]))
    permitted = torch.zeros(2, NUM_ITEMS, dtype=torch.bool)
    permitted[0, [1, 6]] = True
    best = LastResort("popularity", torch.arange(NUM_ITEMS).float()).recommend(
        replace(requests, allowed=permitted), K
    )
    assert best.item_index.tolist() == [[6, 1, NO_ITEM], [NO_ITEM] * 3]
    assert best.score.tolist() == [[6.0, 1.0, -torch.inf], [-torch.inf] * 3]


def test_the_last_resort_keeps_the_order_of_the_source_it_is_made_of(clock: FakeClock) -> None:
    source = StubSource("popularity", clock, 0.0, scores=[0, 3, 1, 5, 5, 2, 0, 0])
    kept = LastResort.of(source, NUM_ITEMS)
    requests = RequestBatch.from_histories(Histories.from_lists([[], [2]]))
    mine, theirs = kept.recommend(requests, NUM_ITEMS), source.recommend(requests, NUM_ITEMS)
    assert torch.equal(mine.item_index, theirs.item_index)
    assert torch.equal(mine.score, theirs.score)
