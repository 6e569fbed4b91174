"""The classic funnel as one source: several sources propose, a filter permits, a ranker orders."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.funnel.candidates import Candidates, merge_candidates
from genrec.funnel.stages import Answer, Clock, StageTimes
from genrec.interactions import NO_ITEM, Recommendations, RequestBatch, Source

__all__ = ["RankedSource", "Scorer"]


CANDIDATES_AT_ONCE = 2**15
"""Of several questions, so many are scored together: the features of more fill the memory."""


class Scorer(Protocol):
    """Whatever orders candidates; `genrec.ranking.Ranker` is one."""

    def score(
        self, requests: RequestBatch, candidates: Tensor, source_scores: Mapping[str, Tensor]
    ) -> Tensor:
        """float32 [B, C]: higher is better; columns of NO_ITEM are ignored."""


class RankedSource:
    """Sources -> filter -> rank.

    Each source is asked for at least k items. One that lists every permitted item (popularity)
    among the sources makes sure that an answer is as long as the permission allows.

    Args:
        name: as tables and `served_by` show it.
        sources: who proposes; their names must differ.
        ranker: who orders the union of what they propose.
        num_candidates: items asked of each source, unless k is larger.
        clock: seconds that never run backwards.
    """

    def __init__(
        self,
        name: str,
        sources: Sequence[Source],
        ranker: Scorer,
        *,
        num_candidates: int = 100,
        clock: Clock = time.perf_counter,
    ) -> None:
        names = [source.name for source in sources]
        if not names or len(set(names)) != len(names):
            raise InputError(f"a ranked source needs sources of different names, got {names}")
        if num_candidates < 1:
            raise InputError(f"num_candidates must be at least 1, got {num_candidates}")
        self._name = name
        self._sources = tuple(sources)
        self._ranker = ranker
        self._num_candidates = num_candidates
        self._clock = clock

    @property
    def name(self) -> str:
        """As tables and `served_by` show it."""
        return self._name

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        """The k best permitted candidates of each question, unique, best first."""
        return self.answer(requests, k).recommendations

    def answer(self, requests: RequestBatch, k: int) -> Answer:
        """The same list, with the time that every source, the filter and the ranker took."""
        times = StageTimes(self._clock)
        found = []
        for source in self._sources:
            with times.stage(source.name):
                found.append(source.recommend(requests, max(k, self._num_candidates)))
        with times.stage("filter"):
            candidates = merge_candidates(found).permitted_by(requests)
        with times.stage("rank"):
            best = self._rank(requests, candidates, k)
        return times.answer(best, self.name)

    def _rank(self, requests: RequestBatch, candidates: Candidates, k: int) -> Recommendations:
        item_index = candidates.item_index  # [B, C]
        if not item_index.shape[1]:
            return best_candidates(item_index, torch.zeros(item_index.shape), k, self.name)
        score = torch.cat(
            [
                self._ranker.score(
                    requests.rows(start, start + size),
                    item_index[start : start + size],
                    {
                        name: scores[start : start + size]
                        for name, scores in candidates.source_scores.items()
                    },
                )
                for size in [max(1, CANDIDATES_AT_ONCE // item_index.shape[1])]
                for start in range(0, len(requests), size)
            ]
        )
        return best_candidates(item_index, score, k, self.name)


def best_candidates(item_index: Tensor, score: Tensor, k: int, source: str) -> Recommendations:
    """The k best-scored candidates; among equals, the one that was proposed first.

    Args:
        item_index: int64 [B, C], NO_ITEM behind the end.
        score: float [B, C].
        k: items asked for; may exceed C.
        source: the recommender's name.
    """
    there = item_index != NO_ITEM
    score = score.float().masked_fill(~there, -torch.inf)
    score, order = score.sort(dim=1, descending=True, stable=True)
    item_index = item_index.gather(1, order)
    missing = max(k - item_index.shape[1], 0)
    if missing:
        item_index = torch.nn.functional.pad(item_index, (0, missing), value=NO_ITEM)
        score = torch.nn.functional.pad(score, (0, missing), value=-torch.inf)
    return Recommendations(item_index=item_index[:, :k], score=score[:, :k], source=source)
