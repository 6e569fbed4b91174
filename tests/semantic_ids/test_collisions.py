"""Whatever the codes were, afterwards every item has its own, at the least total distance."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from genrec.errors import InputError
from genrec.kernels import residual_assign
from genrec.semantic_ids import native_collision_rate, resolve_collisions
from genrec.semantic_ids.prefixes import num_distinct, row_keys
from genrec.semantic_ids.vectors import LazyVectors, Rows

Codebooks = list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]


def drawn(
    seed: int, num_items: int, num_levels: int, num_codes: int
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], Codebooks]:
    """Latents, a tenth of them copies of others, and codebooks."""
    generator = np.random.default_rng(seed)
    latents = generator.normal(size=(num_items, 3)).astype(np.float32)
    copies = num_items // 10
    latents[:copies] = latents[num_items - copies :]
    codebooks = generator.normal(size=(num_levels, num_codes, 3)).astype(np.float32)
    return latents, list(codebooks)


def nearest_codes(
    latents: np.ndarray[tuple[int, ...], np.dtype[np.float32]], codebooks: Codebooks
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    stacked = torch.from_numpy(np.stack(codebooks))
    return residual_assign(torch.from_numpy(latents), stacked).numpy()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_levels=st.integers(1, 4),
    num_codes=st.integers(1, 6),
    fill=st.floats(0.0, 1.0),
)
def test_ids_are_unique_up_to_the_last_one_that_there_is(
    seed: int, num_levels: int, num_codes: int, fill: float
) -> None:
    num_items = max(1, round(fill * min(300, num_codes**num_levels)))
    latents, codebooks = drawn(seed, num_items, num_levels, num_codes)
    codes = nearest_codes(latents, codebooks)
    resolution = resolve_collisions(latents, codebooks, codes)
    assert len(np.unique(resolution.codes, axis=0)) == num_items
    assert resolution.codes.min() >= 0
    assert resolution.codes.max() < num_codes
    changed = (resolution.codes != codes).any(axis=1)
    assert resolution.num_changed == changed.sum()
    moved = (resolution.codes[:, :-1] != codes[:, :-1]).any(axis=1)
    assert moved.sum() == resolution.num_moved


def test_unique_codes_stay_as_they_are() -> None:
    latents, codebooks = drawn(0, 8, 3, 16)
    codes = np.array([[0, 0, item] for item in range(8)])
    resolution = resolve_collisions(latents, codebooks, codes)
    np.testing.assert_array_equal(resolution.codes, codes)
    assert resolution.num_changed == resolution.num_moved == 0


def test_a_group_is_assigned_at_the_least_total_distance() -> None:
    generator = np.random.default_rng(3)
    latents = generator.normal(size=(4, 2)).astype(np.float32)
    codebooks = list(generator.normal(size=(2, 5, 2)).astype(np.float32))
    codes = np.zeros((4, 2), dtype=np.int64)
    found = resolve_collisions(latents, codebooks, codes).codes
    assert (found[:, 0] == 0).all()
    residuals = latents - codebooks[0][0]
    cost = ((residuals[:, None] - codebooks[1][None]) ** 2).sum(axis=2)
    least = min(cost[range(4), order].sum() for order in map(list, permutations(range(5), 4)))
    assert cost[range(4), found[:, 1]].sum() == pytest.approx(least)


def test_what_fits_a_full_prefix_worst_goes_to_the_nearest_one_with_room() -> None:
    codebooks = [np.array([[0.0], [10.0], [30.0]], np.float32), np.zeros((2, 1), np.float32)]
    latents = np.array([[0.0], [0.1], [4.0], [9.0], [9.5]], np.float32)
    codes = np.array([[0, 0], [0, 0], [0, 0], [1, 0], [1, 0]])
    resolution = resolve_collisions(latents, codebooks, codes)
    assert resolution.codes[:, 0].tolist() == [0, 0, 2, 1, 1]
    assert resolution.num_moved == 1


def test_many_equal_items_spill_over_the_levels_above() -> None:
    _, codebooks = drawn(1, 1, 3, 3)
    latents = np.ones((27, 3), dtype=np.float32)
    resolution = resolve_collisions(latents, codebooks, nearest_codes(latents, codebooks))
    assert len(np.unique(resolution.codes, axis=0)) == 27
    assert resolution.num_moved == 24


def test_too_few_ids_are_refused_with_a_size_that_suffices() -> None:
    latents, codebooks = drawn(0, 28, 3, 3)
    with pytest.raises(InputError, match=r"27 ids, too few for 28 items; 4 codes on each of 3"):
        resolve_collisions(latents, codebooks, nearest_codes(latents, codebooks))


def test_the_native_rate_counts_items_without_an_id_of_their_own() -> None:
    codes = np.array([[0, 1], [0, 1], [0, 1], [2, 2]])
    assert native_collision_rate(codes) == 0.5


Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


def rows_by_prefix(codes: Ids) -> dict[tuple[int, ...], list[int]]:
    """The rows under every prefix of L - 1 codes."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, prefix in enumerate(codes[:, :-1].tolist()):
        groups[tuple(prefix)].append(row)
    return dict(sorted(groups.items()))


def distances(
    latents: Array, codebooks: Codebooks, prefix: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """[n, K]: of what this prefix leaves over to the next codes."""
    residual = latents
    for level, code in enumerate(prefix):
        residual = residual - codebooks[level][code]
    points, codes = residual.astype(np.float64), codebooks[len(prefix)].astype(np.float64)
    products = 2.0 * (points @ codes.T)
    found: npt.NDArray[np.float64] = (points**2).sum(axis=1)[:, None] - products
    found += (codes**2).sum(axis=1)
    return found


def prefix_with_room(latent: Array, codebooks: Codebooks, placed: Ids) -> list[int]:
    """L - 1 codes, each the nearest under which ids are free, counted anew for every one."""
    prefix: tuple[int, ...] = ()
    for level in range(len(codebooks) - 1):
        capacity = np.prod([len(codebook) for codebook in codebooks[level + 1 :]])
        for code in np.argsort(distances(latent[None], codebooks, prefix)[0], kind="stable"):
            if (placed[:, : level + 1] == (*prefix, code)).all(axis=1).sum() < capacity:
                break
        prefix = (*prefix, int(code))
    return list(prefix)


def resolved_in_words(latents: Array, codebooks: Codebooks, codes: Ids) -> Ids:
    """What `resolve_collisions` means, group by group and item by item."""
    codes = codes.copy()
    groups = rows_by_prefix(codes)
    touched = {p for p, rows in groups.items() if len(set(codes[rows, -1])) < len(rows)}
    leaving: list[int] = []
    for prefix, rows in groups.items():
        if len(rows) > len(codebooks[-1]):
            staying, _ = linear_sum_assignment(distances(latents[rows], codebooks, prefix))
            leaving += np.delete(rows, staying).tolist()
    placed = np.delete(codes, leaving, axis=0)
    for row in leaving:
        codes[row, :-1] = prefix_with_room(latents[row], codebooks, placed)
        placed = np.vstack([placed, codes[row]])
        touched.add(tuple(codes[row, :-1].tolist()))
    for prefix, rows in rows_by_prefix(codes).items():
        if prefix in touched:
            order, chosen = linear_sum_assignment(distances(latents[rows], codebooks, prefix))
            codes[np.array(rows)[order], -1] = chosen
    return codes


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_levels=st.integers(1, 4),
    num_codes=st.integers(1, 6),
    fill=st.floats(0.0, 1.0),
    dtype=st.sampled_from([np.int64, np.uint16]),
)
def test_it_is_what_going_through_all_groups_one_by_one_gives(
    seed: int, num_levels: int, num_codes: int, fill: float, dtype: type[np.integer]
) -> None:
    num_items = max(1, round(fill * min(150, num_codes**num_levels)))
    latents, codebooks = drawn(seed, num_items, num_levels, num_codes)
    codes = nearest_codes(latents, codebooks)
    found = resolve_collisions(latents, codebooks, codes.astype(dtype)).codes
    np.testing.assert_array_equal(found, resolved_in_words(latents, codebooks, codes))
    assert found.dtype == dtype


def test_only_items_of_groups_with_collisions_are_read() -> None:
    latents, codebooks = drawn(0, 10, 2, 10)
    codes = np.array(
        [[0, 0], [1, 1], [1, 1], [1, 2], [2, 0], [3, 0], [4, 5], [4, 5], [5, 0], [6, 0]]
    )
    read: list[int] = []

    def make(rows: Rows) -> Array:
        assert isinstance(rows, np.ndarray)
        read.extend(rows.tolist())
        return latents[rows]

    found = resolve_collisions(LazyVectors((10, 3), make), codebooks, codes).codes
    assert sorted(read) == [1, 2, 3, 6, 7]
    np.testing.assert_array_equal(found, resolve_collisions(latents, codebooks, codes).codes)


def test_more_groups_than_are_read_at_once_are_resolved_alike() -> None:
    num_groups = 20_000  # of two items each: more than two blocks
    codebooks = [
        np.arange(200, dtype=np.float32)[:, None],
        np.linspace(0, 0.9, 100, dtype=np.float32)[:, None],
        np.array([[0.0], [0.004]], np.float32),
    ]
    prefixes = np.stack(np.divmod(np.arange(num_groups), 100), axis=1)  # [G, 2]
    codes = np.repeat(np.pad(prefixes, ((0, 0), (0, 1))), 2, axis=0)
    latents = codebooks[0][codes[:, 0]] + codebooks[1][codes[:, 1]]
    latents[1::2] += 0.004
    shuffled = np.random.default_rng(0).permutation(2 * num_groups)
    resolution = resolve_collisions(latents[shuffled], codebooks, codes[shuffled])
    assert resolution.num_changed == num_groups
    np.testing.assert_array_equal(resolution.codes[:, -1], shuffled % 2)


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 2**16), min_size=1, max_size=9), seed=st.integers(0, 10_000))
def test_keys_are_equal_and_ordered_as_the_rows_are_however_many_ids_there_are(
    sizes: list[int], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    distinct = generator.integers(0, sizes, size=(30, len(sizes))).astype(np.uint16)
    codes = distinct[generator.integers(0, 30, size=60)]
    keys = row_keys(codes)
    rows = list(map(tuple, codes.tolist()))
    for left in range(60):
        for right in range(60):
            assert (keys[left] < keys[right]) == (rows[left] < rows[right])
    assert num_distinct(codes) == len(set(rows))
