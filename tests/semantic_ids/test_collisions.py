"""Whatever the codes were, afterwards every item has its own, at the least total distance."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import InputError
from genrec.kernels import residual_assign
from genrec.semantic_ids import native_collision_rate, resolve_collisions

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
