"""What every recommender is asked and what it answers, whatever it is inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from genrec.interactions.histories import UNKNOWN_TIME, Histories
from genrec.kernels import beam_select

__all__ = [
    "NO_ITEM",
    "Recommendations",
    "RequestBatch",
    "Source",
    "answer_in_parts",
    "is_among",
    "select_top_k",
]

PAIRS_TO_COMPARE = 2**16
"""Of two short lists, so many pairs are compared faster than one of them is sorted."""
NO_ITEM = -1
"""Stands behind the end of a history, and where fewer items are permitted than asked for."""


@dataclass(frozen=True, kw_only=True)
class RequestBatch:
    """B questions: given this history, what comes next?"""

    item_index: Tensor
    """int64 [B, T]: histories, oldest first, NO_ITEM behind the end."""
    event_time: Tensor
    """int64 [B, T]: seconds since 1970 (UTC), UNKNOWN_TIME where not known and behind the end."""
    user_index: Tensor
    """int64 [B]: the person, or -1 where they were not in the data."""
    allowed: Tensor | None = None
    """bool [B, N] or [1, N]: the items that may be recommended at all; None allows all."""
    excluded: Tensor | None = None
    """int64 [B, S]: items left out beside it for each person, NO_ITEM where there are fewer."""
    now: Tensor | None = None
    """int64 [B]: the time of the question, seconds since 1970 (UTC); None where unknown."""
    seed: int = 0
    """For recommenders that draw."""

    def __len__(self) -> int:
        return int(self.item_index.shape[0])

    @property
    def lengths(self) -> Tensor:
        """int64 [B]: events per history."""
        return (self.item_index != NO_ITEM).sum(1)

    def rows(self, start: int, stop: int) -> RequestBatch:
        """The questions `start` to `stop`, their histories cut to the longest among them."""
        longest = max(int(self.lengths[start:stop].max()), 1) if stop > start else 1
        shared = self.allowed is None or self.allowed.shape[0] == 1
        return replace(
            self,
            item_index=self.item_index[start:stop, :longest],
            event_time=self.event_time[start:stop, :longest],
            user_index=self.user_index[start:stop],
            allowed=self.allowed if shared else self.allowed[start:stop],  # type: ignore[index]
            excluded=None if self.excluded is None else self.excluded[start:stop],
            now=None if self.now is None else self.now[start:stop],
        )

    def without_seen(self) -> RequestBatch:
        """The same questions, the items of each history left out of its answer."""
        if self.excluded is None:
            return replace(self, excluded=self.item_index)
        return replace(self, excluded=torch.cat([self.excluded, self.item_index], dim=1))

    def permits(self, item_index: Tensor) -> Tensor:
        """bool [B, C]: whether each of these items, int64 [B, C], may be recommended to its person.

        NO_ITEM may stand among them; what is said of it means nothing.
        """
        items = item_index.clamp(min=0)
        permits = torch.ones_like(items, dtype=torch.bool)
        if self.allowed is not None:
            permits &= self.allowed.to(items.device).expand(len(self), -1).gather(1, items)
        if self.excluded is not None:
            excluded = self.excluded.to(items.device)
            permits &= ~is_among(items, excluded)
        return permits

    def within(self, num_items: int) -> RequestBatch:
        """The same questions to one who knows the first N items alone: of others nothing is told.

        Args:
            num_items: N.
        """
        allowed = self.allowed
        if allowed is not None and allowed.shape[1] > num_items:
            allowed = allowed[:, :num_items]
        later = self.item_index >= num_items
        if not bool(later.any()):
            return self if allowed is self.allowed else replace(self, allowed=allowed)
        order = later.to(torch.int8).argsort(dim=1, stable=True)  # what is known comes first
        return replace(
            self,
            item_index=self.item_index.masked_fill(later, NO_ITEM).gather(1, order),
            event_time=self.event_time.masked_fill(later, UNKNOWN_TIME).gather(1, order),
            allowed=allowed,
        )

    def permitted(self, num_items: int) -> Tensor | None:
        """bool [B, N] or [1, N]: what may be recommended; None where that is everything.

        Args:
            num_items: N.
        """
        if self.excluded is None:
            return self.allowed
        left_out = torch.zeros(
            len(self), num_items + 1, dtype=torch.bool, device=self.excluded.device
        )
        unknown = (self.excluded == NO_ITEM) | (self.excluded >= num_items)
        places = torch.where(unknown, num_items, self.excluded)
        permitted = ~left_out.scatter_(1, places, True)[:, :num_items]
        return permitted if self.allowed is None else permitted & self.allowed

    @classmethod
    def from_histories(
        cls,
        histories: Histories,
        user_index: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None,
    ) -> RequestBatch:
        """One question a history; users are unknown (-1) unless given."""
        lengths = histories.lengths
        longest = max(int(lengths.max(initial=0)), 1)
        inside = np.arange(longest) < lengths[:, None]  # [B, T]
        items = np.full(inside.shape, NO_ITEM, dtype=np.int64)
        times = np.full(inside.shape, UNKNOWN_TIME, dtype=np.int64)
        items[inside] = histories.item_index
        times[inside] = histories.event_time
        users = np.full(len(histories), -1, dtype=np.int64) if user_index is None else user_index
        return cls(
            item_index=torch.from_numpy(items),
            event_time=torch.from_numpy(times),
            user_index=torch.from_numpy(users),
        )


@dataclass(frozen=True, kw_only=True)
class Recommendations:
    """B lists of k items, best first."""

    item_index: Tensor
    """int64 [B, k]: NO_ITEM where fewer than k items are permitted."""
    score: Tensor
    """float32 [B, k]: falling; -inf where there is no item. Comparable within one source only."""
    source: str
    """The name of the recommender that made them."""
    backend: str | None = None
    """By what its kernels ran; None where the recommender does not say."""

    def __post_init__(self) -> None:
        if self.item_index.shape != self.score.shape:
            raise ValueError(f"{self.item_index.shape} items, but {self.score.shape} scores")


def answer_in_parts(
    requests: RequestBatch, size: int, answer: Callable[[RequestBatch], Recommendations]
) -> Recommendations:
    """One answer to many questions, of which `size` are asked at a time; no question is one part.

    Args:
        requests: the questions.
        size: of a part.
        answer: gives lists of the same length for every part.
    """
    starts = range(0, max(len(requests), 1), size)
    parts = [answer(requests.rows(start, min(start + size, len(requests)))) for start in starts]
    return Recommendations(
        item_index=torch.cat([part.item_index for part in parts]),
        score=torch.cat([part.score for part in parts]),
        source=parts[0].source,
        backend=", ".join(dict.fromkeys(part.backend for part in parts if part.backend)) or None,
    )


def is_among(item_index: Tensor, others: Tensor) -> Tensor:
    """bool [B, C]: whether each of these items, int64 [B, C], stands in its row of `others`.

    Few pairs are compared one by one; where there are many, the memory stays linear in both.

    Args:
        item_index: the items.
        others: int64 [B, S], in any order.
    """
    if item_index.shape[1] * others.shape[1] <= PAIRS_TO_COMPARE:
        return (item_index[:, :, None] == others[:, None]).any(-1)  # [B, C, S]
    ordered = others.sort(dim=1).values
    place = torch.searchsorted(ordered, item_index.contiguous())
    return ordered.gather(1, place.clamp(max=ordered.shape[1] - 1)) == item_index


@runtime_checkable
class Source(Protocol):
    """Anything that recommends: generative, retrieving, ranking or a whole funnel."""

    @property
    def name(self) -> str:
        """As tables and `served_by` show it."""

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        """The k best permitted items of each question, unique, best first.

        Beyond the size of the catalogue lists may be padded to k, or end.
        """


def latest_events(item_index: Tensor, count: int) -> Tensor:
    """int64 [B, T]: the last events of each history, T at most `count`.

    Args:
        item_index: int64 [B, S], oldest first, NO_ITEM behind the end.
        count: events kept at most.
    """
    if item_index.shape[1] <= count:
        return item_index
    lengths = (item_index != NO_ITEM).sum(1, keepdim=True)
    columns = torch.arange(count, device=item_index.device)
    columns = (lengths - count).clamp(min=0) + columns  # [B, T]
    kept = item_index.gather(1, columns)
    return kept.masked_fill(columns >= lengths, NO_ITEM)


def select_top_k(scores: Tensor, permitted: Tensor | None, k: int, source: str) -> Recommendations:
    """The k best permitted items by score; among equals, the lowest item_index first.

    Args:
        scores: float [B, N].
        permitted: bool [B, N] or [1, N]; None permits all.
        k: items asked for; may exceed N.
        source: the recommender's name.
    """
    scores = scores.float()
    if permitted is not None:
        scores = scores.masked_fill(~permitted, -torch.inf)
    columns = torch.arange(scores.shape[1], device=scores.device)
    score, chosen = beam_select(scores, columns, k)
    item_index = chosen.masked_fill(score == -torch.inf, NO_ITEM)
    return Recommendations(item_index=item_index, score=score, source=source)
