"""What the decoding benchmark asks about: points to measure at, catalogues drawn for them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from genrec.decoding import PrefixIndex
from genrec.generator.tiger import T5Weights, TigerShape, tiger_t5
from genrec.interactions import NO_ITEM

__all__ = ["Catalogue", "Point", "Subject", "draw_codes", "subject_of"]

ZIPF_EXPONENT = 1.0
SEED = 0

Prefixes = dict[tuple[int, ...], list[int]]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One size of everything; the defaults are the base point."""

    items: int = 100_000
    """N."""
    levels: int = 4
    """L."""
    codes: int = 256
    """K of every level."""
    beam: int = 50
    """M."""
    batch: int = 1
    """B."""
    history: int = 25
    """T; T5 reads L tokens for each."""
    trie: str = "uniform"
    """How codes are drawn: `uniform`, or `skewed` (code c of a level with weight 1 / (c + 1))."""

    @property
    def label(self) -> str:
        """What makes it another point than the base."""
        base = Point()
        differs = [
            f"{field.name} {getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(base, field.name)
        ]
        return ", ".join(differs) or "base"

    def as_row(self) -> dict[str, Any]:
        """As the report has it."""
        return asdict(self)


class Catalogue:
    """N random Semantic IDs, and what finds an item by its codes."""

    def __init__(self, point: Point) -> None:
        self.num_codes = point.codes
        self.codes = draw_codes(point)
        """uint16 [N, L]."""
        keys = self._keys(self.codes)
        self._order = np.argsort(keys)
        self._keys_in_order = keys[self._order]

    @cached_property
    def index(self) -> PrefixIndex:
        """The index of our search."""
        return PrefixIndex(self.codes)

    @property
    def codes_in_order(self) -> npt.NDArray[np.uint16]:
        """uint16 [N, L]: sorted."""
        return self.codes[self._order]

    def items_of(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """int64 [...]: the items with these codes [..., L]; NO_ITEM where there is none."""
        inside = ((codes >= 0) & (codes < self.num_codes)).all(-1)
        keys = self._keys(codes)
        place = np.searchsorted(self._keys_in_order, keys).clip(max=len(self.codes) - 1)
        found = inside & (self._keys_in_order[place] == keys)
        return np.where(found, self._order[place], NO_ITEM)

    def _keys(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """int64 [...]: the codes as one number, in the order of the codes."""
        keys = np.zeros(codes.shape[:-1], dtype=np.int64)
        for level in range(codes.shape[-1]):
            keys = keys * self.num_codes + codes[..., level]
        return keys


def draw_codes(point: Point) -> npt.NDArray[np.uint16]:
    """uint16 [N, L]: unique rows in random order."""
    generator = np.random.default_rng(SEED)
    if 2 * point.items > point.codes**point.levels:
        raise ValueError(f"{point.items} items are too many for {point.codes}^{point.levels} ids")
    weights = np.arange(1.0, point.codes + 1) ** -ZIPF_EXPONENT
    shares = weights / weights.sum() if point.trie == "skewed" else None
    keys = np.zeros(0, dtype=np.int64)
    while len(keys) < point.items:
        drawn = np.zeros(point.items, dtype=np.int64)
        for _ in range(point.levels):
            digits = generator.choice(point.codes, size=point.items, p=shares)
            drawn = drawn * point.codes + digits
        keys = np.union1d(keys, drawn)
    keys = generator.permutation(keys)[: point.items]
    columns = [keys // point.codes**level % point.codes for level in range(point.levels)]
    return np.stack(columns[::-1], axis=1).astype(np.uint16)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A catalogue and the T5 over its tokens."""

    catalogue: Catalogue
    shape: TigerShape
    model: T5ForConditionalGeneration
    weights: T5Weights

    def tokens(self, item_index: Tensor) -> Tensor:
        """int64 [B, T * L]: histories [B, T] as T5 reads them."""
        codes = torch.from_numpy(self.catalogue.codes[item_index.numpy()].astype(np.int64))
        return self.shape.tokens(codes).flatten(1)

    @cached_property
    def continuations(self) -> Prefixes:
        """For `prefix_allowed_tokens_fn`: the tokens that may follow each prefix of tokens."""
        tokens = self.catalogue.codes_in_order.astype(np.int64) + np.array(self.shape.first_tokens)
        is_new = np.zeros(len(tokens), dtype=bool)
        is_new[0] = True
        following: Prefixes = {}
        for level in range(self.shape.num_levels):
            is_new[1:] |= tokens[1:, level] != tokens[:-1, level]
            for path in tokens[is_new, : level + 1].tolist():
                following.setdefault(tuple(path[:-1]), []).append(path[-1])
        return following


def subject_of(point: Point) -> Subject:
    """What stands behind a point; that of the point before is used again where it is the same."""
    return _subject(
        Point(items=point.items, levels=point.levels, codes=point.codes, trie=point.trie)
    )


@lru_cache(maxsize=1)
def _subject(point: Point) -> Subject:
    shape = TigerShape(codebook_sizes=(point.codes,) * point.levels)
    model = tiger_t5(shape, seed=SEED)
    return Subject(
        catalogue=Catalogue(point), shape=shape, model=model, weights=T5Weights(model, shape)
    )
