"""Gives every item an id of its own: a one-to-one assignment inside the levels, no extra token."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from genrec.errors import InputError

__all__ = ["Resolution", "native_collision_rate", "require_capacity", "resolve_collisions"]

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
Distances = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Unique codes, and what had to be changed to make them so."""

    codes: Codes
    """int64 [N, L], unique rows."""
    num_changed: int
    """Items whose id is not the nearest one."""
    num_moved: int
    """Items that had to leave a full prefix; the others changed the last code at most."""


def native_collision_rate(codes: npt.NDArray[np.integer]) -> float:
    """Share of items without an id of their own: 1 - distinct ids / items, of codes [N, L]."""
    return 1.0 - len(np.unique(codes, axis=0)) / len(codes)


def require_capacity(num_items: int, codebook_sizes: tuple[int, ...]) -> None:
    """Raises InputError, with a size that suffices, unless every item can have its own id."""
    capacity = math.prod(codebook_sizes)
    if capacity >= num_items:
        return
    levels = len(codebook_sizes)
    codes = max(1, math.floor(num_items ** (1 / levels)))
    while codes**levels < num_items:
        codes += 1
    raise InputError(
        f"{levels} level(s) of {codebook_sizes} codes give {capacity} ids, too few for "
        f"{num_items} items; {codes} codes on each of {levels} level(s) suffice (--codes {codes}), "
        "or use more levels (--levels)"
    )


def resolve_collisions(latents: Floats, codebooks: list[Floats], codes: Codes) -> Resolution:
    """Unique codes at the least total distance, one group of items at a time.

    Items that share all codes but the last are assigned one-to-one to the last level's codes
    (Hungarian method). Where more items share a prefix than it has leaves, those that fit worst
    go, one after another, to the nearest prefix with room.

    Args:
        latents: float32 [N, D], what the codes describe.
        codebooks: per level, float32 [K, D].
        codes: int64 [N, L], the nearest code on each level.

    Returns:
        The unique codes and how many items changed.

    Raises:
        InputError: there are fewer ids than items.

    Source: LC-Rec (arXiv 2311.09049) assigns the last level uniformly; the one-to-one minimum
    over each prefix group is the exact form of that for a finite catalogue.
    """
    require_capacity(len(codes), tuple(len(codebook) for codebook in codebooks))
    resolved = codes.copy()
    touched = {
        prefix for prefix, rows in _groups(codes).items() if _has_duplicates(codes[rows, -1])
    }
    moved = _leave_full_prefixes(latents, codebooks, resolved)
    touched |= {tuple(resolved[row, :-1].tolist()) for row in moved}
    groups = _groups(resolved)
    for prefix in sorted(touched):
        rows = groups[prefix]
        cost = _last_level_cost(latents[rows], codebooks, prefix)  # [group, K]
        order, chosen = linear_sum_assignment(cost)
        resolved[rows[order], -1] = chosen
    return Resolution(
        codes=resolved,
        num_changed=int((resolved != codes).any(axis=1).sum()),
        num_moved=len(moved),
    )


def _groups(codes: Codes) -> dict[tuple[int, ...], npt.NDArray[np.int64]]:
    """The rows under every prefix of L - 1 codes, rows ascending."""
    prefixes, group_of = np.unique(codes[:, :-1], axis=0, return_inverse=True)
    order = np.argsort(group_of.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(group_of.ravel(), minlength=len(prefixes)))
    rows = np.split(order, ends[:-1])
    return {tuple(prefix): row for prefix, row in zip(prefixes.tolist(), rows, strict=True)}


def _has_duplicates(last_codes: Codes) -> bool:
    return len(np.unique(last_codes)) < len(last_codes)


def _last_level_cost(
    latents: Floats, codebooks: list[Floats], prefix: tuple[int, ...]
) -> Distances:
    """Squared distance of each residual under `prefix` to each last code: [group, K]."""
    residuals = latents
    for codebook, code in zip(codebooks, prefix, strict=False):
        residuals = residuals - codebook[code]
    return _squared_distances(residuals, codebooks[-1])


def _squared_distances(points: Floats, codebook: Floats) -> Distances:
    """[n, K], in float64: the expanded form loses digits, and equal items must stay equal."""
    points, codebook = points.astype(np.float64), codebook.astype(np.float64)
    products = points @ codebook.T
    distances: Distances = (points**2).sum(axis=1)[:, None] - 2.0 * products
    distances += (codebook**2).sum(axis=1)
    return distances


def _leave_full_prefixes(latents: Floats, codebooks: list[Floats], codes: Codes) -> list[int]:
    """Takes the items that fit worst out of full prefixes, in place; the rows that moved."""
    num_leaves = len(codebooks[-1])
    leaving: list[int] = []
    for prefix, rows in _groups(codes).items():
        if len(rows) > num_leaves:
            cost = _last_level_cost(latents[rows], codebooks, prefix)
            staying, _ = linear_sum_assignment(cost)
            leaving.extend(np.delete(rows, staying).tolist())
    if leaving:
        room = _Room(codebooks, np.delete(codes, leaving, axis=0))
        for row in leaving:
            codes[row, :-1] = room.take(latents[row])
    return leaving


class _Room:
    """How many items stand under every prefix, and the nearest one that is not full."""

    def __init__(self, codebooks: list[Floats], codes: Codes) -> None:
        self.codebooks = codebooks
        sizes = [len(codebook) for codebook in codebooks]
        self.capacity = [math.prod(sizes[level + 1 :]) for level in range(len(sizes))]
        self.taken: Counter[tuple[int, ...]] = Counter()
        for level in range(len(sizes) - 1):
            prefixes, counts = np.unique(codes[:, : level + 1], axis=0, return_counts=True)
            for prefix, count in zip(prefixes.tolist(), counts.tolist(), strict=True):
                self.taken[tuple(prefix)] = count

    def take(self, latent: Floats) -> list[int]:
        """L - 1 codes, each the nearest whose subtree has room; the place is taken at once."""
        prefix: tuple[int, ...] = ()
        residual = latent
        for level, codebook in enumerate(self.codebooks[:-1]):
            distances = _squared_distances(residual[None], codebook)[0]  # [K]
            for code in np.argsort(distances, kind="stable").tolist():
                if self.taken[(*prefix, code)] < self.capacity[level]:
                    break
            prefix = (*prefix, code)
            self.taken[prefix] += 1
            residual = residual - codebook[code]
        return list(prefix)
