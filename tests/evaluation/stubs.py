"""Recommenders and a world whose answers are known by construction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from genrec.interactions import (
    NO_ITEM,
    Catalogue,
    Histories,
    InteractionDataset,
    Protocol,
    Recommendations,
    Repeats,
    RequestBatch,
    Source,
    Split,
    select_top_k,
    split_histories,
)
from genrec.semantic_ids import LinearQuantizer, Preparation, ResidualKMeansConfig, SemanticIds

NUM_ITEMS = 30
NUM_PEOPLE = 40
DANGEROUS_TITLE = '<script>alert("1")</script> & Söhne'

Scoring = Callable[[RequestBatch], Tensor]


class ScoringSource:
    """Ranks all items by what a function gives for each question, float [B, N]."""

    def __init__(self, name: str, scoring: Scoring) -> None:
        self._name = name
        self._scoring = scoring

    @property
    def name(self) -> str:
        return self._name

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        scores = self._scoring(requests)
        return select_top_k(scores, requests.permitted(scores.shape[1]), k, self._name)


def perfect(name: str, split: Split) -> Source:
    """Knows every target."""
    targets = torch.from_numpy(split.test.target)
    row_of = torch.full((int(split.test.user_index.max()) + 1,), -1)
    row_of[torch.from_numpy(split.test.user_index)] = torch.arange(len(split.test))
    return ScoringSource(
        name, lambda requests: _one_hot(targets[row_of[requests.user_index.clamp(min=0)]])
    )


def next_in_circle(name: str) -> Source:
    """Recommends the item after the last one, which is right wherever people walk in circles."""
    return ScoringSource(name, lambda requests: _one_hot((_last(requests) + 1) % NUM_ITEMS))


def order_blind(name: str) -> Source:
    """Sees which items a history has, never in which order."""
    return ScoringSource(name, _neighbour_counts)


def constant(name: str) -> Source:
    """Recommends items 0, 1, 2, … to everybody."""
    scores = -torch.arange(NUM_ITEMS, dtype=torch.float32)
    return ScoringSource(name, lambda requests: scores.expand(len(requests), -1))


def fixed_lists(name: str, lists: list[list[int]]) -> Source:
    """Answers question i of a batch with list i, whatever is permitted."""
    return FixedLists(name, lists)


class FixedLists:
    """Gives away the lists it was made with."""

    def __init__(self, name: str, lists: list[list[int]]) -> None:
        self._name = name
        self._items = torch.tensor(lists)

    @property
    def name(self) -> str:
        return self._name

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        items = self._items[: len(requests), :k]
        return Recommendations(item_index=items, score=torch.zeros(items.shape), source=self._name)


def circle_world(repeats: Repeats = Repeats.MASK) -> InteractionDataset:
    """40 people who walk around a circle of 30 items, person u from item u on, 6 to 9 steps."""
    walks = [[(u + step) % NUM_ITEMS for step in range(6 + u % 4)] for u in range(NUM_PEOPLE)]
    titles = [DANGEROUS_TITLE if i == 0 else f"Item {i}" for i in range(NUM_ITEMS)]
    table = pl.DataFrame({"item_id": [f"i{i}" for i in range(NUM_ITEMS)], "title": titles})
    return InteractionDataset(
        name="circle",
        catalogue=Catalogue(table),
        user_ids=[f"u{u}" for u in range(NUM_PEOPLE)],
        histories=Histories.from_lists(walks),
        repeats=repeats,
        extra=pl.DataFrame(),
    )


def circle_ids(codes: npt.NDArray[np.uint16]) -> SemanticIds:
    """Semantic IDs [30, L] of the circle's items, by a quantiser of random codebooks."""
    codebooks = np.random.default_rng(0).normal(size=(codes.shape[1], NUM_ITEMS, 4))
    return SemanticIds(
        codes=codes,
        native_codes=codes,
        config=ResidualKMeansConfig(num_levels=codes.shape[1], num_codes=NUM_ITEMS),
        quantizer=LinearQuantizer(
            Preparation(width=4, out_width=4, rotates=False),
            torch.from_numpy(codebooks.astype(np.float32)),
            4,
        ),
        explained_variance=0.5,
    )


def circle_split() -> Split:
    """Leave-last-out on the circle: the target is always the next item."""
    return split_histories(circle_world().histories, Protocol.LEAVE_LAST_OUT)


def all_methods() -> dict[str, Source]:
    """A stand-in for every method of a run."""
    return {
        "generative": next_in_circle("generative"),
        "dense": order_blind("dense"),
        "combined": next_in_circle("combined"),
        "two_tower": order_blind("two_tower"),
        "two_tower_ranked": order_blind("two_tower_ranked"),
        "popularity": constant("popularity"),
    }


def lists_of(rows: list[list[int]]) -> npt.NDArray[np.int64]:
    """int64 [B, k]."""
    return np.array(rows, dtype=np.int64)


def _one_hot(items: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(items, NUM_ITEMS).float()


def _last(requests: RequestBatch) -> Tensor:
    return requests.item_index.gather(1, requests.lengths.clamp(min=1)[:, None] - 1)[:, 0]


def _neighbour_counts(requests: RequestBatch) -> Tensor:
    """How many items of the history stand right before each item on the circle; whole numbers."""
    there = requests.item_index != NO_ITEM
    after = torch.where(there, (requests.item_index + 1) % NUM_ITEMS, NUM_ITEMS)
    counts = torch.zeros(len(requests), NUM_ITEMS + 1)
    counts.scatter_add_(1, after, torch.ones(after.shape))
    return counts[:, :NUM_ITEMS]
