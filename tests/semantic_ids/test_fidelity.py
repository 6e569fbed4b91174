"""Errors are those of the codes and of PCA; near items stay near where codes are the vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from genrec.semantic_ids import ProductConfig, RqVaeConfig, Whitening, fit_semantic_ids
from genrec.semantic_ids.fidelity import measure_errors, measure_neighbours
from tests.semantic_ids.planted import (
    NUM_ITEMS,
    ids_of,
    planted_codes,
    planted_ids,
    planted_vectors,
)

Floats = npt.NDArray[np.float32]


def spectrum(variances: list[float], num_items: int = 64) -> Floats:
    """float32 [n, D]: uncorrelated, with exactly these variances."""
    generator = np.random.default_rng(0)
    orthogonal, _ = np.linalg.qr(
        np.column_stack([np.ones(num_items), generator.normal(size=(num_items, len(variances)))])
    )
    scaled = orthogonal[:, 1:] * np.sqrt(num_items * np.array(variances))
    return np.asarray(scaled, dtype=np.float32)


def test_pca_of_equal_size_leaves_the_variances_behind_the_kept_ones() -> None:
    vectors = spectrum([8.0, 4.0, 3.0, 1.0])
    codes = np.stack([np.arange(64) // 8, np.arange(64) % 8], axis=1).astype(np.uint16)
    nothing = ids_of(codes, np.zeros((2, 8, 4), dtype=np.float32))
    first, second = measure_errors(nothing.quantizer, vectors, codes)
    assert first.pca_error == pytest.approx(8 / 16, abs=1e-5)
    assert second.pca_error == pytest.approx(4 / 16, abs=1e-5)
    # Codes that all stand for the mean explain nothing.
    assert first.error == second.error == pytest.approx(1.0, abs=1e-5)


def test_the_error_falls_with_every_level_to_nothing_where_vectors_are_sums_of_codes() -> None:
    errors = measure_errors(planted_ids().quantizer, planted_vectors(), planted_codes())
    assert [each.num_levels for each in errors] == [1, 2, 3]
    assert errors[0].error > errors[1].error > errors[2].error
    assert errors[2].error == pytest.approx(0.0, abs=1e-9)
    assert errors[2].pca_error > 0.1


@pytest.mark.parametrize(
    "config",
    [
        RqVaeConfig(num_levels=2, num_codes=8, num_epochs=1, hidden_width=16),
        ProductConfig(num_levels=2, num_codes=8, whitening=Whitening.ZCA),
    ],
)
def test_the_last_error_is_what_the_fit_says_is_not_explained(
    config: RqVaeConfig | ProductConfig,
) -> None:
    vectors = planted_vectors()[::3]
    ids = fit_semantic_ids(vectors, config)
    last = measure_errors(ids.quantizer, vectors, ids.native_codes)[-1]
    assert 1.0 - last.error == pytest.approx(ids.explained_variance, abs=1e-4)


def test_vectors_without_variance_have_no_error() -> None:
    vectors = np.zeros((NUM_ITEMS, 16), dtype=np.float32)
    for each in measure_errors(planted_ids().quantizer, vectors, planted_codes()):
        assert (each.error, each.pca_error) == (0.0, 0.0)


def test_all_neighbours_are_kept_where_every_item_is_its_own_code() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    codes = np.arange(50, dtype=np.uint16)[:, None]
    ids = ids_of(codes, vectors[None])
    found = measure_neighbours(ids.quantizer, vectors, codes, seed=0)
    assert found is not None
    assert found.kept == 1.0
    assert found.random_kept == pytest.approx(10 / 49)
    assert found.same_first_code == found.random_first_code == 0.0


def test_neighbours_of_dealt_out_codes_are_kept_as_by_chance() -> None:
    vectors = planted_vectors()
    codes = np.random.default_rng(1).permutation(planted_codes())
    found = measure_neighbours(planted_ids().quantizer, vectors, codes, seed=0)
    assert found is not None
    assert found.same_first_code == pytest.approx(found.random_first_code, abs=0.05)
    assert found.kept == pytest.approx(found.random_kept, abs=0.05)
    right = measure_neighbours(planted_ids().quantizer, vectors, planted_codes(), seed=0)
    assert right is not None
    assert right.same_first_code == 1.0
    assert right.num_queries == NUM_ITEMS


def test_a_single_item_has_no_neighbours_and_two_have_one() -> None:
    ids = planted_ids()
    assert measure_neighbours(ids.quantizer, planted_vectors()[:1], ids.codes[:1], seed=0) is None
    two = measure_neighbours(ids.quantizer, planted_vectors()[:2], ids.codes[:2], seed=0)
    assert two is not None
    assert (two.num_neighbours, two.kept, two.random_kept) == (1, 1.0, 1.0)


def test_more_queries_than_fit_at_once_are_asked_in_parts() -> None:
    vectors = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
    codes = np.arange(600, dtype=np.uint16)[:, None]
    ids = ids_of(codes, vectors[None])
    found = measure_neighbours(ids.quantizer, torch.tensor(vectors).numpy(), codes, seed=0)
    assert found is not None
    assert (found.num_queries, found.kept) == (600, 1.0)
