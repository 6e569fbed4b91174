"""Tokenizers without a neural network: residual k-means, and rotated product quantisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec import console
from genrec.errors import InputError
from genrec.semantic_ids.kmeans import kmeans_codebook, residual_codebooks
from genrec.semantic_ids.preparation import Preparation, Whitening
from genrec.semantic_ids.quantizer import Method, Quantizer, require_sizes
from genrec.semantic_ids.vectors import Vectors, sample_rows

__all__ = [
    "LinearQuantizer",
    "ProductConfig",
    "ResidualKMeansConfig",
    "fit_product",
    "fit_residual_kmeans",
]

Floats = npt.NDArray[np.float32]

POINTS_A_CODE = 256
"""k-means learns nothing more from further points."""
MOST_POINTS = 2**21
"""Held in memory; reached by more than 8192 codes a level."""


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """What both methods ask: size and preparation."""

    num_levels: int = 4
    """Codes an item has."""
    num_codes: int = 256
    """Codes to choose from on each level; a small catalogue gets fewer, which is then stated."""
    whitening: Whitening = Whitening.PCA
    """How the dimensions are weighted against each other."""
    components: int = 64
    """Width after PCA; narrower vectors keep theirs."""
    seed: int = 0
    """Of the sample and of the starting points."""

    def __post_init__(self) -> None:
        require_sizes(self.num_levels, self.num_codes)
        if self.components < 1:
            raise InputError(f"components must be at least 1, got {self.components}")


@dataclass(frozen=True, kw_only=True)
class ResidualKMeansConfig(LinearConfig):
    """Residual k-means: each level describes what the levels before left over."""

    method = Method.RKMEANS

    balanced: bool = False
    """Whether all codes of a level shall have equally many items."""


@dataclass(frozen=True, kw_only=True)
class ProductConfig(LinearConfig):
    """Product quantisation: each level describes a part of the rotated vector, in no order."""

    method = Method.OPQ


class LinearQuantizer(Quantizer):
    """A quantiser whose latents are the prepared vectors themselves."""

    def latents(self, prepared: Tensor) -> Tensor:
        """The same vectors."""
        return prepared

    def restored(self, latents: Tensor) -> Tensor:
        """The same vectors."""
        return latents


def fit_residual_kmeans(
    vectors: Vectors, config: ResidualKMeansConfig, *, num_codes: int
) -> LinearQuantizer:
    """Codebooks by k-means on the residuals, level after level.

    Args:
        vectors: float32 [N, D]; a sample of them is read.
        config: size and preparation.
        num_codes: K, at most N.

    Source: RK-means for Semantic IDs, as in GRID (arXiv 2507.22224).
    """
    preparation = Preparation.fit(vectors, config.whitening, config.components, config.seed)
    points = _points(vectors, preparation, num_codes, config.seed)
    with console.progress("placing codes level by level", config.num_levels) as advance:
        codebooks = residual_codebooks(
            points,
            num_levels=config.num_levels,
            num_codes=num_codes,
            balanced=config.balanced,
            seed=config.seed,
            advance=advance,
        )
    return LinearQuantizer(preparation, torch.from_numpy(codebooks), points.shape[1])


def fit_product(vectors: Vectors, config: ProductConfig, *, num_codes: int) -> LinearQuantizer:
    """Codebooks for the parts of rotated vectors; a code is zero outside its own part.

    Args:
        vectors: float32 [N, D]; a sample of them is read.
        config: size and preparation.
        num_codes: K, at most N.

    Source: Optimized Product Quantization (Ge et al., CVPR 2013), rotation by faiss.
    """
    preparation = Preparation.fit(vectors, config.whitening, config.components, config.seed)
    points = _points(vectors, preparation, num_codes, config.seed)
    steps = config.num_levels + 1
    with console.progress("rotating, then placing codes part by part", steps) as advance:
        rotation = _rotation(points, config.num_levels, num_codes)  # [W, W']
        preparation = preparation.followed_by(rotation)
        points = points @ rotation
        advance()
        part = points.shape[1] // config.num_levels
        codebooks = np.zeros((config.num_levels, num_codes, points.shape[1]), dtype=np.float32)
        for level in range(config.num_levels):
            columns = slice(level * part, (level + 1) * part)
            codebooks[level, :, columns] = kmeans_codebook(
                points[:, columns], num_codes, seed=config.seed + level
            )
            advance()
    return LinearQuantizer(preparation, torch.from_numpy(codebooks), points.shape[1])


def _points(vectors: Vectors, preparation: Preparation, num_codes: int, seed: int) -> Floats:
    """Prepared vectors to learn from: float32 [n, W]."""
    rows = sample_rows(len(vectors), min(POINTS_A_CODE * num_codes, MOST_POINTS), seed)
    return np.asarray(preparation(torch.tensor(vectors[rows])).numpy())


def _rotation(points: Floats, num_parts: int, num_codes: int) -> Floats:
    """float32 [W, W']: spreads the variance over the parts; W' is a multiple of their number."""
    import faiss

    width = points.shape[1]
    out_width = -(-width // num_parts) * num_parts
    if num_codes < 2:
        return np.eye(width, out_width, dtype=np.float32)
    quantizer = faiss.ProductQuantizer(out_width, num_parts, min(8, int(np.log2(num_codes))))
    transform = faiss.OPQMatrix(width, num_parts, out_width)
    transform.pq = quantizer
    # faiss writes a matrix [W, W] into memory for n vectors: fewer than W would overflow it.
    enough = max(len(points), width, out_width)
    transform.train(np.ascontiguousarray(np.resize(points, (enough, width))))
    rotation = faiss.vector_to_array(transform.A).reshape(out_width, width).T
    return np.ascontiguousarray(rotation, dtype=np.float32)
