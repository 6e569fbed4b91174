"""Stand-ins for sources whose answers, times and failures are known by construction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genrec.errors import DeadlineExceededError
from genrec.interactions import Recommendations, RequestBatch, select_top_k

NUM_ITEMS = 8


class FakeClock:
    """Time that passes only when somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, milliseconds: float) -> None:
        self.now += milliseconds / 1000.0


class StubSource:
    """Ranks the items by fixed scores, and takes so many milliseconds of the fake clock."""

    def __init__(
        self, name: str, clock: FakeClock, takes_ms: float, scores: Sequence[float] | None = None
    ) -> None:
        self._name = name
        self._clock = clock
        self.takes_ms = takes_ms
        self.error: Exception | None = None
        self.calls = 0
        self._scores = torch.tensor([list(scores or range(NUM_ITEMS))], dtype=torch.float32)

    @property
    def name(self) -> str:
        return self._name

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        self.calls += 1
        self._clock.sleep(self.takes_ms)
        if self.error is not None:
            raise self.error
        return self._best(requests, k)

    def _best(self, requests: RequestBatch, k: int) -> Recommendations:
        scores = self._scores.expand(len(requests), -1)
        return select_top_k(scores, requests.permitted(scores.shape[1]), k, self._name)


class SteppingSource(StubSource):
    """Takes its time in five equal steps and looks at the clock before each."""

    pause_ms = 0.0
    """What the third step of the next call takes longer."""

    def recommend(
        self, requests: RequestBatch, k: int, *, deadline: float | None = None
    ) -> Recommendations:
        self.calls += 1
        for step in range(5):
            if deadline is not None and self._clock() > deadline:
                raise DeadlineExceededError(f"stopped before step {step}")
            self._clock.sleep(self.takes_ms / 5)
            if step == 2:
                self._clock.sleep(self.pause_ms)
                self.pause_ms = 0.0
        return self._best(requests, k)


class StubScorer:
    """Scores each candidate by a table [N]."""

    def __init__(self, scores: Sequence[float]) -> None:
        self._scores = torch.tensor(list(scores), dtype=torch.float32)

    def score(self, requests: RequestBatch, candidates: Tensor, source_scores: object) -> Tensor:
        return self._scores[candidates.clamp(min=0)]
