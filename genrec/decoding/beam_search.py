"""Exact beam search: at every level the best M permitted prefixes of the catalogue, none else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from genrec.decoding.eligibility import Eligibility
from genrec.decoding.prefix_index import Edges, PrefixIndex
from genrec.decoding.tracked import TrackedItems
from genrec.errors import DeadlineExceededError, InputError
from genrec.interactions import NO_ITEM
from genrec.kernels import Backend, beam_select
from genrec.kernels.backend import choose_backend

__all__ = ["Beams", "Decoder", "beam_recall", "beam_search", "beam_widths"]


class Decoder(Protocol):
    """What generates: it holds the state of B requests and of the beams reached so far."""

    def score_children(self, level: int, edges: Edges) -> Tensor:
        """float32 [E]: the log-probability of each child given its beam's prefix.

        Edge rows number the beams of all requests through: request b, beam m is row b * M + m.
        Whatever is given for padding is ignored.
        """

    def advance(self, level: int, parents: Tensor, nodes: Tensor) -> None:
        """The beams go on: beam m of request b now stands at `nodes[b, m]` of `level`.

        Args:
            level: the level that was just chosen.
            parents: int64 [B, M]: the row each beam descends from.
            nodes: int64 [B, M]: the node each beam has reached.
        """


@dataclass(frozen=True, kw_only=True)
class Beams:
    """What the search found, best first."""

    item_index: Tensor
    """int64 [B, M]: NO_ITEM where fewer than M items are permitted."""
    log_prob: Tensor
    """float32 [B, M]: of each item under the model, falling; -inf where there is no item."""
    tracked: Tensor | None = None
    """float32 [B, C]: log p of the items that were tracked; -inf where there was none."""
    backend: Backend
    """What the selection ran by; no other ever takes over."""


def beam_search(
    decoder: Decoder,
    index: PrefixIndex,
    *,
    num_requests: int,
    num_beams: int | Sequence[int],
    eligibility: Eligibility | None = None,
    tracked: Tensor | None = None,
    deadline: float | None = None,
) -> Beams:
    """Keeps, level after level, the M best permitted prefixes by fp32 log-probability.

    Among equal scores the lowest node comes first. A prefix without a permitted item beneath it is
    never kept; the model's probabilities are not changed by what is forbidden.

    Args:
        decoder: scores the children, keeps its own state.
        index: the catalogue.
        num_requests: B.
        num_beams: M, or one M a level. With `index.num_nodes` no prefix is ever dropped, and every
            permitted item is ranked: the truth that narrower beams are measured by.
        eligibility: what each request permits; None permits all.
        tracked: int64 [B, C]: items to be scored along the way whether or not they are permitted
            or found, NO_ITEM where there are fewer; None tracks none.
        deadline: `time.perf_counter()` seconds; checked before every level.

    Raises:
        DeadlineExceededError: the time was up before the last level.
        InputError: widths that are no widths.
    """
    widths = _no_wider_than(index, beam_widths(num_beams, index.num_levels))
    nodes = torch.zeros(num_requests, 1, dtype=torch.int64, device=index.device)
    scores = torch.zeros(num_requests, 1, device=index.device)
    along = None if tracked is None else TrackedItems(index, tracked.to(index.device))
    beams = 1
    for level, width in enumerate(widths):
        _look_at_the_clock(level, deadline)
        rows = nodes.shape[1]  # of a request: the beams, and what goes along behind them
        alive = (scores > -torch.inf).flatten() if level else None
        edges = index.expand(level, nodes.flatten(), alive)
        log_probs = decoder.score_children(level, edges)
        extended = edges.spread(scores.flatten()) + log_probs
        _close(extended, level, edges, rows, eligibility)
        if along is not None:
            along.score(level, edges, log_probs, beams)
            extended = along.hide(level, edges, extended, beams)
        scores, chosen = _best(extended, edges, num_requests, rows, width)
        nodes = edges.child.take(chosen) if edges.child.numel() else torch.zeros_like(chosen)
        if level + 1 < index.num_levels:
            parents = _parents(scores, edges, chosen, rows)
            if along is not None:
                nodes, scores, parents = along.behind(level, nodes, scores, parents, beams)
            decoder.advance(level, parents, nodes)
        beams = width
    return Beams(
        item_index=index.items_at(nodes).masked_fill(scores == -torch.inf, NO_ITEM),
        log_prob=scores,
        tracked=None if along is None else along.log_prob,
        backend=choose_backend("beam_search", index.device, None),
    )


def beam_recall(found: Tensor, exact: Tensor, k: int) -> Tensor:
    """float32 [B]: the share of the k truly best items that a beam has among its k best.

    Args:
        found: int64 [B, M]: what the beam gave, best first, NO_ITEM where there is none.
        exact: int64 [B, C]: what beams as wide as the catalogue gave.
        k: length of the lists; where fewer items exist, all of them.
    """
    found, exact = found[:, :k], exact[:, :k]
    there = exact != NO_ITEM
    hits = (exact[:, :, None] == found[:, None]).any(-1) & there  # [B, k]
    return hits.sum(1) / there.sum(1).clamp(min=1)


def _no_wider_than(index: PrefixIndex, widths: list[int]) -> list[int]:
    """The widths, above the last level at most as wide as the level: rows beyond that are empty."""
    *inner, last = widths
    return [*(min(width, index.num_nodes[level]) for level, width in enumerate(inner)), last]


def _look_at_the_clock(level: int, deadline: float | None) -> None:
    if deadline is not None and time.perf_counter() > deadline:
        raise DeadlineExceededError(f"beam search stopped before level {level}")


def _close(
    scores: Tensor, level: int, edges: Edges, rows: int, eligibility: Eligibility | None
) -> None:
    """Sets `scores` [E] to -inf in padding and where nothing is permitted."""
    if not edges.is_full:
        scores.masked_fill_(~edges.is_child, -torch.inf)
    permits = None if eligibility is None else eligibility.permits(level, edges, rows)
    if permits is not None:
        scores.masked_fill_(~permits, -torch.inf)


def _parents(scores: Tensor, edges: Edges, chosen: Tensor, beams: int) -> Tensor:
    """int64 [B, M]: the row of each chosen edge; a request's first row where there is no edge."""
    if edges.row.numel() and len(scores) == 1:
        return edges.row.take(chosen)
    first = torch.arange(len(scores), device=scores.device)[:, None] * beams
    if not edges.row.numel():
        return first.expand_as(chosen)
    return torch.where(scores > -torch.inf, edges.row[chosen], first)


def beam_widths(num_beams: int | Sequence[int], num_levels: int) -> list[int]:
    """One width for each level, from one number for all or one for each.

    Raises:
        InputError: there are not as many widths as levels, or one is below 1.
    """
    widths = [num_beams] * num_levels if isinstance(num_beams, int) else list(num_beams)
    if len(widths) != num_levels or min(widths) < 1:
        raise InputError(
            f"num_beams must be at least 1, one number or one for each of {num_levels} levels, "
            f"got {num_beams}"
        )
    return widths


def _best(
    scores: Tensor, edges: Edges, num_requests: int, beams: int, width: int
) -> tuple[Tensor, Tensor]:
    """The best edges of every request: scores [B, M] and positions in the edge list [B, M]."""
    if num_requests <= 1 or edges.width is not None:
        shape = (num_requests, scores.numel() // max(num_requests, 1))
        places, child, begin = scores.view(shape), edges.child.view(shape), None
    else:
        per_request = edges.degree.view(num_requests, beams).sum(1)
        begin = per_request.cumsum(0) - per_request
        request = edges.row // beams
        column = torch.arange(scores.numel(), device=scores.device) - begin[request]
        longest = int(per_request.max())
        places = torch.full((num_requests, longest), -torch.inf, device=scores.device)
        places[request, column] = scores
        child = torch.zeros(num_requests, longest, dtype=torch.int64, device=scores.device)
        child[request, column] = edges.child
    score, best = beam_select(places, child, width)
    if num_requests == 1:
        return score, best
    if begin is None:
        begin = torch.arange(num_requests, device=scores.device) * places.shape[1]
    chosen = begin[:, None] + best
    return score, chosen.clamp(max=max(scores.numel() - 1, 0))
