"""Each whitening does what its name says, and the way back leads back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from genrec.semantic_ids import Preparation, Whitening

Floats = npt.NDArray[np.float32]


def uneven() -> Floats:
    """Dimensions of very different variance, correlated, and away from 0: [500, 6]."""
    generator = np.random.default_rng(0)
    independent = generator.normal(size=(500, 6)) * [5.0, 3.0, 1.0, 0.5, 0.2, 0.1]
    turn, _ = np.linalg.qr(generator.normal(size=(6, 6)))
    return np.asarray(independent @ turn + 7.0, dtype=np.float32)


def prepared(whitening: Whitening, components: int = 6) -> tuple[Preparation, Floats]:
    preparation = Preparation.fit(uneven(), whitening, components, 0)
    return preparation, np.asarray(preparation(torch.from_numpy(uneven())).numpy())


@pytest.mark.parametrize("whitening", Whitening)
def test_prepared_vectors_are_centred_with_a_mean_variance_of_one(whitening: Whitening) -> None:
    _, found = prepared(whitening)
    np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=1e-3)
    if whitening is not Whitening.ZCA:  # its weakest directions are left below 1 on purpose
        assert found.var(axis=0).mean() == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("whitening", Whitening)
def test_the_way_back_gives_the_vectors_again(whitening: Whitening) -> None:
    preparation, found = prepared(whitening)
    back = preparation.back(torch.from_numpy(found)).numpy()
    np.testing.assert_allclose(back, uneven(), atol=1e-3)


def test_centring_keeps_the_proportions_and_standardising_levels_them() -> None:
    _, centred = prepared(Whitening.CENTRE)
    spread = uneven().std(axis=0)
    np.testing.assert_allclose(centred.std(axis=0) / spread, centred[:, 0].std() / spread[0], 1e-4)
    _, standardised = prepared(Whitening.STANDARDISE)
    np.testing.assert_allclose(standardised.std(axis=0), 1.0, rtol=1e-4)


def test_pca_keeps_the_strongest_directions_in_their_order() -> None:
    preparation, found = prepared(Whitening.PCA, components=2)
    assert preparation.out_width == found.shape[1] == 2
    variances = found.var(axis=0)
    assert variances[0] / variances[1] == pytest.approx(25 / 9, rel=0.2)
    np.testing.assert_allclose(np.cov(found.T)[0, 1], 0.0, atol=1e-3)


def test_zca_gives_every_direction_that_is_there_variance_one() -> None:
    _, found = prepared(Whitening.ZCA)
    variances = np.linalg.eigvalsh(np.cov(found.T))
    np.testing.assert_allclose(variances[-4:], 1.0, rtol=0.01)


@pytest.mark.parametrize("whitening", Whitening)
def test_constant_dimensions_and_one_item_stay_finite(whitening: Whitening) -> None:
    constant = uneven()
    constant[:, 2] = 0.1
    for vectors in (constant, uneven()[:1], np.full((4, 3), 0.1, np.float32)):
        preparation = Preparation.fit(vectors, whitening, 6, 0)
        assert torch.isfinite(preparation(torch.from_numpy(vectors))).all()
