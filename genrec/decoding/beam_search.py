"""Exact beam search: at every level the best M permitted prefixes of the catalogue, none else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from genrec.decoding.trie import Edges, PrefixTrie
from genrec.errors import DeadlineExceededError
from genrec.interactions import NO_ITEM, descending_keys

__all__ = ["Beams", "Decoder", "beam_search"]


class Decoder(Protocol):
    """What generates: it holds the state of B requests and of the beams reached so far."""

    def score_children(self, level: int, edges: Edges) -> Tensor:
        """float32 [E]: the log-probability of each child given its beam's prefix.

        The log-probabilities of one beam's children sum to one in probability. Edge rows number
        the beams of all requests through: request b, beam m is row b * M + m.
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


def beam_search(
    decoder: Decoder,
    trie: PrefixTrie,
    *,
    num_requests: int,
    num_beams: int,
    permitted: Tensor | None = None,
    deadline: float | None = None,
) -> Beams:
    """Keeps, level after level, the M best permitted prefixes by fp32 log-probability.

    Among equal scores the lowest node comes first. A prefix without a permitted item beneath it is
    never kept; the model's probabilities are not changed by what is forbidden.

    Args:
        decoder: scores the children, keeps its own state.
        trie: the catalogue.
        num_requests: B.
        num_beams: M.
        permitted: bool [B, N] or [1, N] over item_index; None permits all.
        deadline: `time.perf_counter()` seconds; checked before every level.

    Raises:
        DeadlineExceededError: the time was up before the last level.
    """
    device = trie.leaf_item.device
    open_nodes = None if permitted is None else trie.permitted_nodes(permitted)
    nodes = torch.zeros(num_requests, 1, dtype=torch.int64, device=device)
    scores = torch.zeros(num_requests, 1, device=device)
    for level in range(trie.num_levels):
        if deadline is not None and time.perf_counter() > deadline:
            raise DeadlineExceededError(f"beam search stopped before level {level}")
        width = nodes.shape[1]
        alive = (scores > -torch.inf).reshape(-1)
        edges = trie.expand(level, nodes.reshape(-1), alive)
        extended = scores.reshape(-1)[edges.row] + decoder.score_children(level, edges)
        if open_nodes is not None:
            extended = extended.masked_fill(~_allowed(open_nodes[level], edges, width), -torch.inf)
        scores, chosen = _best(extended, edges, num_requests, width, num_beams)
        nodes = edges.child[chosen] if edges.child.numel() else torch.zeros_like(chosen)
        if level + 1 < trie.num_levels:
            parents = edges.row[chosen] if edges.row.numel() else torch.zeros_like(chosen)
            decoder.advance(level, parents, nodes)
    items = trie.leaf_item[nodes].masked_fill(scores == -torch.inf, NO_ITEM)
    return Beams(item_index=items, log_prob=scores)


def _allowed(open_nodes: Tensor, edges: Edges, width: int) -> Tensor:
    """bool [E]: whether each edge leads to a permitted item of its request."""
    request = edges.row // width if open_nodes.shape[0] > 1 else torch.zeros_like(edges.row)
    return open_nodes[request, edges.child]


def _best(
    scores: Tensor, edges: Edges, num_requests: int, width: int, num_beams: int
) -> tuple[Tensor, Tensor]:
    """The best edges of every request: scores [B, M] and positions in the edge list [B, M]."""
    per_request = edges.degree.view(num_requests, width).sum(1)
    ends = per_request.cumsum(0)
    longest = max(int(per_request.max()), num_beams) if per_request.numel() else num_beams
    request = edges.row // width
    column = torch.arange(scores.numel(), device=scores.device) - (ends - per_request)[request]
    padded = torch.full((num_requests, longest), -torch.inf, device=scores.device)
    padded[request, column] = scores
    child = torch.zeros(num_requests, longest, dtype=torch.int64, device=scores.device)
    child[request, column] = edges.child
    best = descending_keys(padded, child).topk(num_beams, dim=1).indices  # [B, M]
    chosen = (ends - per_request)[:, None] + best
    return padded.gather(1, best), chosen.clamp(max=max(scores.numel() - 1, 0))
