"""Do items under one prefix of codes belong together: by category, and by what people do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from genrec.semantic_ids.categories import Categories
from genrec.semantic_ids.prefixes import row_keys

__all__ = [
    "CategoryAgreement",
    "CoOccurrenceAgreement",
    "PrefixAgreement",
    "chance_of_sharing",
    "measure_categories",
    "measure_co_occurrence",
    "pairs_within",
]

Numbers = npt.NDArray[np.int64]

MOST_PAIRS = 200_000


@dataclass(frozen=True, kw_only=True)
class PrefixAgreement:
    """How much more often than by chance two things go together."""

    length: int
    """First codes that are looked at, l."""
    num_pairs: int
    """Pairs of items that were looked at."""
    share: float
    """Of these, the ones where both hold."""
    random: float
    """The same if the codes were dealt out to the items at random: prefixes keep their sizes."""
    ratio: float | None
    """`share` / `random`; None where that is 0."""


@dataclass(frozen=True, kw_only=True)
class CategoryAgreement:
    """Of two items under one prefix: how often they share a category that counts."""

    column: str
    """The attribute of the catalogue."""
    num_categories: int
    num_counted: int
    """Categories that count: at most the share `most_common` of the items has them."""
    most_common: float
    num_items: int
    """Items that have such a category; only these are looked at."""
    levels: tuple[PrefixAgreement, ...]
    """Of 1 … L-1 first codes."""


@dataclass(frozen=True, kw_only=True)
class CoOccurrenceAgreement:
    """Of two items that a person had close after each other: how often they share a prefix."""

    window: int
    """Events apart, at most; a pair counts by 1 / distance."""
    levels: tuple[PrefixAgreement, ...]
    """Of 1 … L-1 first codes."""


def measure_categories(
    codes: npt.NDArray[np.integer], categories: Categories, *, seed: int
) -> CategoryAgreement | None:
    """Category agreement of pairs under one prefix, over all pairs or a sample of them.

    Args:
        codes: [N, L], the ids.
        categories: of the same items.
        seed: of the sample.

    Returns:
        None if no two items have a category.
    """
    labels, most_common = categories.counted
    rows = np.flatnonzero(np.diff(labels.indptr) > 0)
    if len(rows) < 2:
        return None
    codes, counted = codes[rows], labels[rows]
    generator = np.random.default_rng(seed)
    everywhere = np.zeros(len(rows), dtype=np.int64)
    # Dealt out at random, two items under one prefix are any two items.
    _, random = _sharing(everywhere, counted, generator)
    levels = []
    for length in range(1, codes.shape[1]):
        num_pairs, share = _sharing(row_keys(codes[:, :length]), counted, generator)
        if num_pairs:
            levels.append(_agreement(length, num_pairs, share, random))
    return CategoryAgreement(
        column=categories.column,
        num_categories=len(categories.names),
        num_counted=counted.shape[1],
        most_common=most_common,
        num_items=len(rows),
        levels=tuple(levels),
    )


def measure_co_occurrence(
    codes: npt.NDArray[np.integer], counts: sparse.csr_array, *, window: int
) -> CoOccurrenceAgreement | None:
    """How often items that go together share a prefix, a pair weighing what it counts.

    Args:
        codes: [N, L], the ids.
        counts: [N, N], symmetric: how often two items go together (`pair_counts`).
        window: that they were counted with.

    Returns:
        None if no two items go together.
    """
    pairs = sparse.triu(counts, k=1).tocoo()
    if pairs.nnz == 0:
        return None
    levels = []
    for length in range(1, codes.shape[1]):
        keys = row_keys(codes[:, :length])
        together = keys[pairs.row] == keys[pairs.col]
        share = float(pairs.data[together].sum() / pairs.data.sum())
        levels.append(_agreement(length, pairs.nnz, share, chance_of_sharing(keys)))
    return CoOccurrenceAgreement(window=window, levels=tuple(levels))


def chance_of_sharing(keys: Numbers) -> float:
    """The chance that two of N different items, drawn at random, have equal keys [N]."""
    _, sizes = np.unique(keys, return_counts=True)
    num_pairs = len(keys) * (len(keys) - 1)
    return float((sizes * (sizes - 1)).sum() / num_pairs) if num_pairs else 0.0


def pairs_within(
    keys: Numbers, most: int, generator: np.random.Generator
) -> tuple[Numbers, Numbers]:
    """Pairs of different rows with equal keys [N]: all, or `most` drawn with replacement."""
    order = np.argsort(keys, kind="stable")
    _, first_place, sizes = np.unique(keys[order], return_index=True, return_counts=True)
    pairs_of = sizes * (sizes - 1) // 2
    if pairs_of.sum() <= most:
        place = np.arange(len(keys))
        partners = np.repeat(first_place + sizes, sizes) - place - 1  # behind each, in its group
        left = np.repeat(place, partners)
        nth = np.arange(len(left)) - np.repeat(np.cumsum(partners) - partners, partners)
        return order[left], order[left + 1 + nth]
    drawn = generator.integers(pairs_of.sum(), size=most)
    group = np.searchsorted(np.cumsum(pairs_of), drawn, side="right")
    left = generator.integers(sizes[group])
    right = (left + 1 + generator.integers(sizes[group] - 1)) % sizes[group]
    return order[first_place[group] + left], order[first_place[group] + right]


def _sharing(
    keys: Numbers, labels: sparse.csr_array, generator: np.random.Generator
) -> tuple[int, float]:
    """The number of pairs with equal keys, and the share of them with a label in common."""
    left, right = pairs_within(keys, MOST_PAIRS, generator)
    if not len(left):
        return 0, 0.0
    common = np.asarray(labels[left].multiply(labels[right]).sum(axis=1))
    return len(left), float((common > 0).mean())


def _agreement(length: int, num_pairs: int, share: float, random: float) -> PrefixAgreement:
    return PrefixAgreement(
        length=length,
        num_pairs=num_pairs,
        share=share,
        random=random,
        ratio=share / random if random else None,
    )
