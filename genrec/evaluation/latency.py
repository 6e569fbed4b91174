"""What a single request costs on one thread, and what is left of a method under a deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from genrec import console
from genrec.evaluation.metrics import target_ranks
from genrec.evaluation.offline import EvaluationTask
from genrec.funnel import Answer, DeadlineFunnel, RequestSize
from genrec.interactions import RequestBatch, Source

__all__ = ["DeadlineRun", "Latency", "measure_deadline", "measure_latency", "one_thread"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

NUM_WARM_UP = 10
"""Requests answered before the clock counts: caches, lazy set-up, running quantiles."""


@runtime_checkable
class StagedSource(Protocol):
    """A source that can say how long each stage of an answer took."""

    def answer(self, requests: RequestBatch, k: int) -> Answer:
        """What `recommend` gives, with its times."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of single requests."""

    total_ms: FloatArray
    """float [n]: one a request."""
    stage_ms: dict[str, FloatArray] = field(default_factory=dict)
    """The same by stage, for methods that time their stages."""


@dataclass(frozen=True, kw_only=True)
class DeadlineRun:
    """One method behind an enforced deadline, request by request."""

    ranks: IntArray
    """int64 [n, 1]: where the target stands in the answer, however late it came."""
    total_ms: FloatArray
    """float [n]."""
    served_by: list[str]
    """Whose list each person got."""
    budget_ms: float

    @property
    def in_time(self) -> npt.NDArray[np.bool_]:
        """bool [n]: answered within the budget."""
        return self.total_ms <= self.budget_ms


@contextmanager
def one_thread() -> Iterator[None]:
    """Every native library that is loaded (PyTorch, OpenMP, BLAS, FAISS, LightGBM) on one thread.

    What was set before comes back, also after an error.
    """
    before = torch.get_num_threads()
    with threadpool_limits(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def measure_latency(sources: Mapping[str, Source], task: EvaluationTask) -> dict[str, Latency]:
    """Each person of the task asked of every source in turn, on one thread.

    The sources take turns at each request and who comes first moves on by one, so that warm
    caches and a busy machine meet all alike. Making the request is not counted.
    """
    names = list(sources)
    total: dict[str, list[float]] = {name: [] for name in names}
    stages: dict[str, list[Mapping[str, float]]] = {name: [] for name in names}
    with one_thread(), torch.inference_mode():
        _warm_up(list(sources.values()), task)
        with console.progress("timing single requests", len(task)) as advance:
            for row in range(len(task)):
                request = task.requests(row, row + 1)
                first = row % len(names)
                for name in names[first:] + names[:first]:
                    elapsed, by_stage = _time_one(sources[name], request, task.k)
                    total[name].append(elapsed)
                    stages[name].append(by_stage)
                advance()
    return {
        name: Latency(total_ms=np.array(total[name]), stage_ms=_by_stage(stages[name]))
        for name in names
    }


def measure_deadline(funnel: DeadlineFunnel, task: EvaluationTask, budget_ms: float) -> DeadlineRun:
    """Each person of the task answered once under the budget, one at a time on one thread.

    Before, the funnel learns how long its stages take for histories of every length that occurs.
    """
    answers = []
    with one_thread(), torch.inference_mode():
        for row in _one_row_a_size(funnel, task):
            funnel.warm_up(task.requests(row, row + 1), task.k)
        with console.progress(f"{funnel.name} within {budget_ms:g} ms", len(task)) as advance:
            for row in range(len(task)):
                answers.append(funnel.answer(task.requests(row, row + 1), task.k, budget_ms))
                advance()
    items = np.concatenate([answer.recommendations.item_index.cpu().numpy() for answer in answers])
    return DeadlineRun(
        ranks=target_ranks(items, task.questions.target),
        total_ms=np.array([answer.total_ms for answer in answers]),
        served_by=[answer.served_by for answer in answers],
        budget_ms=budget_ms,
    )


def _one_row_a_size(funnel: DeadlineFunnel, task: EvaluationTask) -> list[int]:
    """For each size of request that the funnel tells apart, the first person who has it."""
    longest = funnel.predictor.config.longest_history
    rows: dict[RequestSize, int] = {}
    for row in range(len(task)):
        rows.setdefault(RequestSize.of(task.requests(row, row + 1), longest), row)
    return list(rows.values())


def _time_one(source: Source, request: RequestBatch, k: int) -> tuple[float, Mapping[str, float]]:
    started = time.perf_counter()
    if isinstance(source, StagedSource):
        by_stage = source.answer(request, k).stage_ms
    else:
        source.recommend(request, k)
        by_stage = {}
    return (time.perf_counter() - started) * 1000.0, by_stage


def _warm_up(sources: list[Source], task: EvaluationTask) -> None:
    for row in range(min(NUM_WARM_UP, len(task))):
        for source in sources:
            source.recommend(task.requests(row, row + 1), task.k)


def _by_stage(requests: list[Mapping[str, float]]) -> dict[str, FloatArray]:
    """float [n] a stage, 0 where a request did without it; stages in the order of their first."""
    names = dict.fromkeys(name for request in requests for name in request)
    return {name: np.array([request.get(name, 0.0) for request in requests]) for name in names}
