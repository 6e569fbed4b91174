"""k-means on the residuals, level after level: plain, or with equal shares for all codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec.kernels import residual_assign
from genrec.semantic_ids.vectors import sample_rows

__all__ = ["balanced_codebook", "kmeans_codebook", "residual_codebooks"]

Floats = npt.NDArray[np.float32]

NUM_ITERATIONS = 25
BALANCING_ROUNDS = 10
SINKHORN_ITERATIONS = 30
SINKHORN_TEMPERATURE = 0.02
"""Of the mean squared distance: how softly items are shared out while balancing."""
FINAL_TEMPERATURES = (0.02, 0.005, 0.00125)
"""The same at the end, where each item must choose one code."""
BALANCED_PAIRS = 2**25
"""Of a point and a code that balancing looks at, hundreds of times: they decide its duration."""
FEWEST_POINTS_A_CODE = 16
PAIRS_AT_ONCE = 2**24
SMALLEST_LOGARITHM = -80.0


def residual_codebooks(
    points: Floats,
    *,
    num_levels: int,
    num_codes: int,
    balanced: bool,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> Floats:
    """float32 [L, K, W] or, balanced, [L, K, W + L]: each level fits what those before left over.

    Args:
        points: float32 [n, W].
        num_levels: L.
        num_codes: K, at most n.
        balanced: whether codes shall have equal shares of the points; see `balanced_codebook`.
        seed: of the starting points.
        advance: called after each level.

    Source: residual quantisation with k-means, as in SoundStream (arXiv 2107.03312, section III-C);
    for Semantic IDs GRID (arXiv 2507.22224).
    """
    extra = num_levels if balanced else 0
    width = points.shape[1]
    codebooks = np.zeros((num_levels, num_codes, width + extra), dtype=np.float32)
    residual = points.copy()
    for level in range(num_levels):
        codebook = kmeans_codebook(residual, num_codes, seed=seed + level)
        if balanced:
            codebook, surcharge = balanced_codebook(residual, codebook, seed=seed)
            codebooks[level, :, width + level] = np.sqrt(surcharge)
        codebooks[level, :, :width] = codebook
        padded = np.pad(residual, ((0, 0), (0, extra)))
        residual -= codebook[_nearest(padded, codebooks[level])]
        advance()
    return codebooks


def kmeans_codebook(points: Floats, num_codes: int, *, seed: int) -> Floats:
    """float32 [K, W]: k-means with spread starting points (k-means++).

    Args:
        points: float32 [n, W].
        num_codes: K, at most n.
        seed: of the starting points.
    """
    # Importing it takes time that programs which only read Semantic IDs do not need.
    import faiss

    settings = faiss.Kmeans(
        points.shape[1],
        num_codes,
        niter=NUM_ITERATIONS,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
    )
    settings.cp.init_method = faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS
    settings.train(np.ascontiguousarray(points))
    return np.asarray(settings.centroids, dtype=np.float32)


def balanced_codebook(points: Floats, codebook: Floats, *, seed: int) -> tuple[Floats, Floats]:
    """Codes [K, W] moved, and surcharges float32 [K] >= 0 that give each an equal share of points.

    The code of a point is the one with the least squared distance plus surcharge.

    Args:
        points: float32 [n, W]; of very many, a sample is looked at.
        codebook: float32 [K, W], where the codes start.
        seed: of the sample.

    Source: entropic optimal transport between points and codes with equal marginals (Cuturi,
    arXiv 1306.0895), the hard assignment being that of its dual potentials.
    """
    num_codes = len(codebook)
    enough = max(FEWEST_POINTS_A_CODE * num_codes, BALANCED_PAIRS // num_codes)
    blocks = torch.from_numpy(points[sample_rows(len(points), enough, seed)]).split(
        max(1, PAIRS_AT_ONCE // num_codes)
    )
    codes = torch.from_numpy(codebook.copy())
    potentials = torch.zeros(num_codes)
    for _ in range(BALANCING_ROUNDS):
        costs = _Costs(blocks, codes)
        potentials = _equal_shares(costs, potentials, SINKHORN_TEMPERATURE)
        sums, counts = torch.zeros_like(codes), torch.zeros(num_codes, dtype=torch.int64)
        for block, cost in zip(blocks, costs, strict=True):
            chosen = (cost + potentials).argmin(dim=1)
            sums.index_add_(0, chosen, block)
            counts += torch.bincount(chosen, minlength=num_codes)
        codes = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], codes)
    costs = _Costs(blocks, codes)
    for temperature in FINAL_TEMPERATURES:
        potentials = _equal_shares(costs, potentials, temperature)
    return codes.numpy(), (potentials - potentials.min()).numpy()


class _Costs:
    """Squared distances of blocks of points [n, W] to codes [K, W], a block [n, K] at a time.

    Those of a single block are kept, those of several made anew whenever they are gone through.
    """

    def __init__(self, blocks: Sequence[Tensor], codes: Tensor) -> None:
        self.blocks, self.codes = blocks, codes
        self.kept = [self._of(blocks[0])] if len(blocks) == 1 else None

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.kept) if self.kept else map(self._of, self.blocks)

    def mean(self) -> Tensor:
        """Of all of them, float32."""
        sums = [float(cost.mean()) * len(cost) for cost in self]
        return torch.tensor(sum(sums) / self.num_points)

    @property
    def num_points(self) -> int:
        """n, over all blocks."""
        return sum(map(len, self.blocks))

    def _of(self, block: Tensor) -> Tensor:
        return torch.cdist(block, self.codes).square()


def _equal_shares(costs: _Costs, potentials: Tensor, softness: float) -> Tensor:
    """Surcharges [K] under which softly assigned points share out equally."""
    temperature = float(softness * costs.mean()) or 1.0
    wanted = np.log(costs.num_points / len(potentials))
    for _ in range(SINKHORN_ITERATIONS):
        total = torch.full_like(potentials, -torch.inf)  # [K], of the logarithms of shares
        for cost in costs:
            shares = torch.log_softmax((cost + potentials).neg_().div_(temperature), dim=1)
            total = torch.logaddexp(total, _log_sums(shares))
        potentials = potentials + temperature * (total - wanted)
    return potentials


def _log_sums(logarithms: Tensor) -> Tensor:
    """[K]: what logsumexp gives over n of [n, K], which is overwritten; several times as fast."""
    largest = logarithms.amax(dim=0)
    # Beside the largest term, which is 1, such small ones do not count; exp is slow for smaller.
    terms = logarithms.sub_(largest).clamp_(min=SMALLEST_LOGARITHM).exp_()
    return terms.sum(dim=0).log_() + largest


def _nearest(points: Floats, codebook: Floats) -> npt.NDArray[np.int64]:
    """int64 [n]."""
    codes = residual_assign(torch.from_numpy(points), torch.from_numpy(codebook[None].copy()))
    return np.asarray(codes[:, 0].numpy())
