"""What stands under the prefixes of codes: how many items, and which, for a person to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genrec.interactions import Catalogue
from genrec.semantic_ids.prefixes import row_keys

__all__ = ["Example", "PrefixSizes", "choose_examples", "measure_prefixes"]

Numbers = npt.NDArray[np.int64]

NUM_EXAMPLES = 10
MOST_MATES = 5


@dataclass(frozen=True, kw_only=True)
class PrefixSizes:
    """How many items stand under the prefixes of one length."""

    length: int
    """Codes of a prefix, l."""
    num_prefixes: int
    """Different ones that items have."""
    mean: float
    """Items under a prefix; the four next as well."""
    median: float
    p95: float
    most: int
    alone: float
    """Share of the items that stand under their prefix alone."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """An item with others that begin with the same codes."""

    item_id: str
    title: str | None
    codes: tuple[int, ...]
    num_shared: int
    """Length of the longest prefix that it shares with another item."""
    num_mates: int
    """Items that share that prefix with it."""
    mates: tuple[str, ...]
    """The first of them by item_index: titles, or ids where there is no title."""


def measure_prefixes(codes: npt.NDArray[np.integer]) -> tuple[PrefixSizes, ...]:
    """The sizes of the prefixes of 1 … L codes, of ids [N, L]."""
    return tuple(
        _sizes(length, np.unique(row_keys(codes[:, :length]), return_counts=True)[1])
        for length in range(1, codes.shape[1] + 1)
    )


def _sizes(length: int, sizes: Numbers) -> PrefixSizes:
    return PrefixSizes(
        length=length,
        num_prefixes=len(sizes),
        mean=float(sizes.mean()),
        median=float(np.median(sizes)),
        p95=float(np.quantile(sizes, 0.95)),
        most=int(sizes.max()),
        alone=float((sizes == 1).sum() / sizes.sum()),
    )


def choose_examples(
    codes: npt.NDArray[np.integer], catalogue: Catalogue, *, seed: int
) -> tuple[Example, ...]:
    """At most ten items drawn at random, from as many different first codes as there are.

    Args:
        codes: [N, L], the ids.
        catalogue: of the same items.
        seed: of the draw.
    """
    keys = [row_keys(codes[:, :length]) for length in range(1, codes.shape[1])]
    return tuple(_example(int(row), codes, keys, catalogue) for row in _spread(codes[:, 0], seed))


def _spread(first_codes: npt.NDArray[np.integer], seed: int) -> Numbers:
    """Rows in random order, those that repeat a first code the later the more often it came."""
    order = np.random.default_rng(seed).permutation(len(first_codes))
    by_code = np.argsort(first_codes[order], kind="stable")
    _, starts, counts = np.unique(
        first_codes[order][by_code], return_index=True, return_counts=True
    )
    turn = np.empty(len(order), dtype=np.int64)
    turn[by_code] = np.arange(len(order)) - np.repeat(starts, counts)
    return order[np.argsort(turn, kind="stable")][:NUM_EXAMPLES]


def _example(
    row: int, codes: npt.NDArray[np.integer], keys: list[Numbers], catalogue: Catalogue
) -> Example:
    num_shared, mates = 0, np.zeros(0, dtype=np.int64)
    for length in range(len(keys), 0, -1):
        others = np.flatnonzero(keys[length - 1] == keys[length - 1][row])
        if len(others) > 1:
            num_shared, mates = length, others[others != row]
            break
    shown = mates[:MOST_MATES]
    titles = zip(catalogue.titles(shown), catalogue.ids(shown), strict=True)
    return Example(
        item_id=catalogue.ids([row])[0],
        title=catalogue.titles([row])[0],
        codes=tuple(codes[row].tolist()),
        num_shared=num_shared,
        num_mates=len(mates),
        mates=tuple(title or item_id for title, item_id in titles),
    )
