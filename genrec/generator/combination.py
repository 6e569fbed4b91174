"""The rule of `combined`: four voices over one set of candidates, weighed on validation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from genrec.interactions import NO_ITEM, Recommendations, is_among
from genrec.kernels import beam_select

__all__ = ["FOLLOWER_CANDIDATES", "ScoredUnion", "Weights", "best_weights", "mix", "only_new"]

FOLLOWER_CANDIDATES = 10
"""Followers that join the union; nearly all that matter stand in the beams already."""
GENERATIVE_WEIGHTS = tuple(step / 10 for step in range(11))
FOLLOWED_WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)
CONTENT_WEIGHTS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class ScoredUnion:
    """The candidates of `combined`, with all that its rule weighs."""

    item_index: Tensor
    """int64 [B, C]: NO_ITEM where there is none; unique per row otherwise."""
    generative: Tensor
    """float32 [B, C]: log p of the Semantic ID."""
    dense: Tensor
    """float32 [B, C]: log p under the dense head."""
    followed: Tensor
    """float32 [B, C]: how much each followed the history's events in training, on a scale that
    grows with the logarithm: 0 for the strongest of all items, less for the others."""
    alike: Tensor
    """float32 [B, C]: how like its content is to that of the history's events, between -1 and 1."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What each voice counts.

    generative · log p_generative + (1 - generative) · log p_dense + followed · followed
    + content · (alike - 1)
    """

    generative: float
    """Between 0 and 1."""
    followed: float
    """At least 0."""
    content: float = 0.0
    """At least 0."""

    @classmethod
    def of(cls, config: PreTrainedConfig) -> Weights:
        """Those that a generator was saved with, of its `GeneratorConfig`."""
        return cls(
            generative=config.combination_weight,
            followed=config.follower_weight,
            content=config.content_weight,
        )

    def put_into(self, config: PreTrainedConfig) -> None:
        """Makes them those of a `GeneratorConfig`."""
        config.combination_weight = self.generative
        config.follower_weight = self.followed
        config.content_weight = self.content

    def scores(self, union: ScoredUnion) -> Tensor:
        """float32 [B, C]: none above 0; -inf where there is no candidate."""
        score = self.generative * union.generative + (1 - self.generative) * union.dense
        score = score + self.followed * union.followed + self.content * (union.alike - 1)
        return score.masked_fill(union.item_index == NO_ITEM, -torch.inf)


def mix(union: ScoredUnion, weights: Weights, k: int) -> Recommendations:
    """The k best candidates; the lowest item_index first among equals.

    Args:
        union: the candidates.
        weights: what counts how much.
        k: items asked for; at most C of them exist.
    """
    scores = weights.scores(union)
    places = union.item_index.clamp(min=0)
    score, best = beam_select(scores, places, min(k, scores.shape[1]))
    items = union.item_index.gather(1, best).masked_fill(score == -torch.inf, NO_ITEM)
    return Recommendations(item_index=items, score=score, source="combined")


def best_weights(
    answers: Iterable[tuple[ScoredUnion, Tensor]], k: int = 10
) -> tuple[Weights, dict[Weights, float]]:
    """The weights with the highest NDCG@k, and that of all that were tried, as sums over people.

    Args:
        answers: candidates of B people and what came next, int64 [B]; any number of such pairs.
        k: the length of the lists.
    """
    tried = [
        Weights(generative=generative, followed=followed, content=content)
        for generative, followed, content in product(
            GENERATIVE_WEIGHTS, FOLLOWED_WEIGHTS, CONTENT_WEIGHTS
        )
    ]
    gains = dict.fromkeys(tried, 0.0)
    for union, target in answers:
        is_target = union.item_index == target[:, None]
        for weights in tried:
            gains[weights] += _gain(weights.scores(union), is_target, k)
    return max(tried, key=lambda weights: gains[weights]), gains


def _gain(scores: Tensor, is_target: Tensor, k: int) -> float:
    """The sum of 1 / log2(rank + 1) over the targets among the k best; ties count against them."""
    wanted = scores.masked_fill(~is_target, -torch.inf).amax(1, keepdim=True)
    rank = (scores >= wanted).sum(1)  # its own place counts: the best has rank 1
    found = is_target.any(1) & (rank <= k)
    return float((found / (rank + 1.0).log2()).sum())


def only_new(items: Tensor, known: Tensor) -> Tensor:
    """`items` [B, C], NO_ITEM where one stands among `known` [B, M] already."""
    return items.masked_fill(is_among(items, known), NO_ITEM)
