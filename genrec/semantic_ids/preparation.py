"""What happens to item vectors before they are quantised: centred, scaled, perhaps rotated."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genrec.semantic_ids.vectors import Vectors, sample_rows

__all__ = ["Preparation", "Whitening"]

SAMPLED_ITEMS = 262_144
SMALLEST_VARIANCE = 1e-3
"""Of the mean variance: what a direction has at least before ZCA divides by it."""


class Whitening(StrEnum):
    """How the dimensions of item vectors are weighted against each other."""

    CENTRE = "centre"
    """As they are, one scale for all: what fused vectors need, whose weights have a meaning."""
    STANDARDISE = "standardise"
    """Each dimension at deviation 1."""
    PCA = "pca"
    """The strongest principal directions, each with the variance it has."""
    ZCA = "zca"
    """All directions at variance 1, turned as little as possible."""


class Preparation(nn.Module):
    """An affine map and its inverse: [n, D] to [n, W] with a mean variance of 1, and back.

    Args:
        width: D.
        out_width: W; below D only for PCA.
        rotates: whether there is a matrix beside mean and scale.
    """

    mean: Tensor
    scale: Tensor
    rotation: Tensor
    inverse: Tensor

    def __init__(self, *, width: int, out_width: int, rotates: bool) -> None:
        super().__init__()
        self.out_width = out_width
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("rotation", torch.zeros(width, out_width if rotates else 0))
        self.register_buffer("inverse", torch.zeros(out_width if rotates else 0, width))

    @classmethod
    def fit(cls, vectors: Vectors, whitening: Whitening, components: int, seed: int) -> Preparation:
        """The preparation of these vectors [N, D], from a sample where they are very many.

        Args:
            vectors: float32 [N, D].
            whitening: which one.
            components: W of PCA, at most D.
            seed: of the sample.
        """
        sample = vectors[sample_rows(len(vectors), SAMPLED_ITEMS, seed)].astype(np.float64)
        width = vectors.shape[1]
        rotates = whitening in (Whitening.PCA, Whitening.ZCA)
        out_width = min(components, width) if whitening is Whitening.PCA else width
        prepared = cls(width=width, out_width=out_width, rotates=rotates)
        mean, deviation = sample.mean(axis=0), sample.std(axis=0)
        # Rounding leaves a constant dimension a deviation of about 1e-7 of its value.
        deviation[deviation <= 1e-5 * np.abs(mean) + 1e-12] = 0.0
        overall = np.sqrt((deviation**2).mean()) or 1.0
        prepared.mean.copy_(torch.from_numpy(mean))
        if whitening is Whitening.STANDARDISE:
            prepared.scale.copy_(torch.from_numpy(np.where(deviation == 0, 1.0, deviation)))
            return prepared
        if rotates:
            sample -= mean
            variances, directions = _principal(sample, out_width)
            if whitening is Whitening.ZCA:
                least = SMALLEST_VARIANCE * max(variances.mean(), 1e-12)
                lengths = np.sqrt(np.maximum(variances, least))
                prepared._rotate(
                    (directions / lengths) @ directions.T, (directions * lengths) @ directions.T
                )
                return prepared
            overall = np.sqrt(variances.mean()) or 1.0
            prepared._rotate(directions, directions.T)
        prepared.scale.fill_(float(overall))
        return prepared

    def _rotate(self, rotation: npt.NDArray[np.float64], inverse: npt.NDArray[np.float64]) -> None:
        self.rotation.copy_(torch.from_numpy(np.ascontiguousarray(rotation)))
        self.inverse.copy_(torch.from_numpy(np.ascontiguousarray(inverse)))

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Preparation:
        """The preparation that has this state dict."""
        rotation, mean = weights["rotation"], weights["mean"]
        rotates = rotation.numel() > 0
        out_width = rotation.shape[1] if rotates else len(mean)
        preparation = cls(width=len(mean), out_width=out_width, rotates=rotates)
        preparation.load_state_dict(weights)
        return preparation

    def followed_by(self, rotation: npt.NDArray[np.float32]) -> Preparation:
        """This preparation, then an orthonormal rotation [W, W']."""
        turned = Preparation(width=len(self.mean), out_width=rotation.shape[1], rotates=True)
        turned.mean.copy_(self.mean)
        turned.scale.copy_(self.scale)
        matrix = torch.from_numpy(rotation)
        turned.rotation.copy_(self.rotation @ matrix if self.rotation.numel() else matrix)
        turned.inverse.copy_(matrix.T @ self.inverse if self.rotation.numel() else matrix.T)
        return turned

    def forward(self, vectors: Tensor) -> Tensor:
        """float32 [n, W] of vectors [n, D]."""
        scaled = (vectors - self.mean) / self.scale
        return scaled @ self.rotation if self.rotation.numel() else scaled

    def back(self, prepared: Tensor) -> Tensor:
        """float32 [n, D] of prepared vectors [n, W]."""
        scaled = prepared @ self.inverse if self.rotation.numel() else prepared
        return scaled * self.scale + self.mean


def _principal(
    centred: npt.NDArray[np.float64], components: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The largest variances [W], descending, and their directions [D, W] with a fixed sign."""
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    order = np.argsort(-variances, kind="stable")[:components]
    directions = directions[:, order]
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
    return np.maximum(variances[order], 0.0), directions
