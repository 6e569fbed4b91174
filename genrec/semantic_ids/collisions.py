"""Gives every item an id of its own: a one-to-one assignment inside the levels, no extra token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from genrec.errors import InputError
from genrec.semantic_ids.prefixes import PrefixGroups, num_distinct
from genrec.semantic_ids.room import Room, SearchedCodebook
from genrec.semantic_ids.vectors import ITEMS_AT_ONCE, Vectors, blocks_of
from genrec.training.processes import progress

__all__ = ["Resolution", "native_collision_rate", "require_capacity", "resolve_collisions"]

Codes = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Unique codes, and what had to be changed to make them so."""

    codes: Codes
    """[N, L], unique rows; the dtype is that of the codes that were given."""
    num_changed: int
    """Items whose id is not the nearest one."""
    num_moved: int
    """Items that had to leave a full prefix; the others changed the last code at most."""


def native_collision_rate(codes: Codes) -> float:
    """Share of items without an id of their own: 1 - distinct ids / items, of codes [N, L]."""
    return 1.0 - num_distinct(codes) / len(codes)


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


def resolve_collisions(latents: Vectors, codebooks: list[Floats], codes: Codes) -> Resolution:
    """Unique codes at the least total distance, one group of items at a time.

    Items that share all codes but the last are assigned one-to-one to the last level's codes
    (Hungarian method). Where more items share a prefix than it has leaves, those that fit worst
    go, one after another, to the nearest prefix with room.

    Args:
        latents: float32 [N, D], what the codes describe; only the rows of items in such groups are
            read, some at a time.
        codebooks: per level, float32 [K, D].
        codes: [N, L], the nearest code on each level.

    Returns:
        The unique codes and how many items changed.

    Raises:
        InputError: there are fewer ids than items.

    Source: LC-Rec (arXiv 2311.09049) assigns the last level uniformly; the one-to-one minimum
    over each prefix group is the exact form of that for a finite catalogue.
    """
    require_capacity(len(codes), tuple(len(codebook) for codebook in codebooks))
    resolved = codes.copy()
    groups = PrefixGroups(codes)
    # Those that have to move are among them: a prefix with more items than leaves has duplicates.
    unsettled = groups.rows_of(groups.with_duplicates())  # [N]
    # Products of a few rows, a hundred thousand times: threads would wait for each other, not help.
    with threadpool_limits(limits=1, user_api="blas"):
        moved = _leave_full_prefixes(latents, codebooks, resolved, groups)
        if moved.size:
            groups = PrefixGroups(resolved)
        _settle_groups(latents, codebooks, resolved, groups, groups.with_any(unsettled))
    return Resolution(
        codes=resolved,
        num_changed=int((resolved != codes).any(axis=1).sum()),
        num_moved=len(moved),
    )


def _settle_groups(
    latents: Vectors, codebooks: list[Floats], codes: Codes, groups: PrefixGroups, numbers: Rows
) -> None:
    """Assigns the last codes of these groups one-to-one, in place."""
    last = SearchedCodebook(codebooks[-1])
    for part in _parts(groups, numbers):
        residuals = _residuals(latents, codebooks, codes, np.concatenate(part))
        starts = np.cumsum([len(rows) for rows in part])[:-1]
        for rows, residual in zip(part, np.split(residuals, starts), strict=True):
            order, chosen = linear_sum_assignment(last.distances(residual))
            codes[rows[order], -1] = chosen


def _parts(groups: PrefixGroups, numbers: Rows) -> Iterator[list[Rows]]:
    """The rows of these groups, of as many groups at a time as hold a block of items."""
    if not numbers.size:
        return
    sizes = groups.sizes[numbers]
    parts = np.split(numbers, np.flatnonzero(np.diff(np.cumsum(sizes) // ITEMS_AT_ONCE)) + 1)
    with progress("resolving collisions", int(sizes.sum()), shown=len(parts) > 1) as advance:
        for part in parts:
            yield [groups.rows(number) for number in part.tolist()]
            advance(int(groups.sizes[part].sum()))


def _residuals(latents: Vectors, codebooks: list[Floats], codes: Codes, rows: Rows) -> Floats:
    """float32 [n, D]: what all levels but the last leave over of these rows."""
    residuals: Floats = latents[rows]
    for level, codebook in enumerate(codebooks[:-1]):
        residuals = residuals - codebook[codes[rows, level]]
    return residuals


def _leave_full_prefixes(
    latents: Vectors, codebooks: list[Floats], codes: Codes, groups: PrefixGroups
) -> Rows:
    """Takes the items that fit worst out of full prefixes, in place; the rows that moved."""
    last = SearchedCodebook(codebooks[-1])
    parts = [np.empty(0, dtype=np.int64)]
    for number in np.flatnonzero(groups.sizes > len(codebooks[-1])):
        rows = groups.rows(int(number))
        cost = np.empty((len(rows), len(codebooks[-1])))
        for block in blocks_of(len(rows)):
            cost[block] = last.distances(_residuals(latents, codebooks, codes, rows[block]))
        staying, _ = linear_sum_assignment(cost)
        parts.append(np.delete(rows, staying))
    leaving = np.concatenate(parts)
    if leaving.size:
        _move(latents, codebooks, codes, leaving)
    return leaving


def _move(latents: Vectors, codebooks: list[Floats], codes: Codes, leaving: Rows) -> None:
    """Gives these rows, one after another, the nearest prefix with room, in place."""
    room = Room(codebooks, np.delete(codes, leaving, axis=0))
    long = len(leaving) > ITEMS_AT_ONCE
    with progress("moving items out of full prefixes", len(leaving), shown=long) as advance:
        for block in blocks_of(len(leaving)):
            for row, latent in zip(leaving[block], latents[leaving[block]], strict=True):
                codes[row, :-1] = room.take(latent, len(codebooks) - 1)
                advance()
