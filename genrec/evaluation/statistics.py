"""How sure a figure is: bootstrap intervals over people, paired differences, many comparisons.

A resample of people is fully described by how often each *distinct* value was drawn. Metrics of
top-k lists take a handful of values, so 10,000 resamples of 100,000 people cost a few milliseconds
and nothing is approximated. Wilcoxon and sign tests are left out on purpose: they find too many
differences at these sample sizes (arXiv 2305.02461).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "BootstrapConfig",
    "Estimate",
    "PairedDifference",
    "bootstrap_mean",
    "compare_paired",
    "holm",
]

FloatArray = npt.NDArray[np.float64]

MAX_COUNTS = 1 << 22
"""Counts drawn at once; bounds the memory at 32 MiB."""
DECIMALS = 12
"""Values equal to this many decimals are one value: rounding noise must not multiply them."""


@dataclass(frozen=True, kw_only=True)
class BootstrapConfig:
    """How often to resample, and how wide an interval to report."""

    num_resamples: int = 10_000
    """Multinomial resamples of the people, and random sign flips of a paired test."""
    confidence: float = 0.95
    """Share of resampled means inside the interval."""
    seed: int = 0
    """Two calls with the same seed and values give the same interval."""

    def __post_init__(self) -> None:
        if self.num_resamples < 100:
            raise ValueError(f"num_resamples must be at least 100, got {self.num_resamples}")
        if not 0.0 < self.confidence < 1.0:
            raise ValueError(f"confidence must lie between 0 and 1, got {self.confidence}")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over people and its percentile bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """What one method gains over another on the same people."""

    difference: Estimate
    """Mean of first minus second, with the interval of paired resamples."""
    p_value: float
    """Two-sided sign-flip randomisation test of no difference; never 0."""
    effect_size: float | None
    """Mean difference in units of its standard deviation over people (Cohen's d_z); None where
    every person has the same difference."""
    num_better: int
    """People for whom the first has the higher value."""
    num_worse: int
    """People for whom the second has the higher value."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of 0."""
        return self.difference.low > 0.0 or self.difference.high < 0.0


def bootstrap_mean(values: FloatArray, config: BootstrapConfig) -> Estimate:
    """The mean over people with its percentile interval (Efron, 1979).

    Args:
        values: float [B], one a person.
        config: resamples, confidence, seed.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    distinct, counts = _distinct(values)
    rng = np.random.default_rng(config.seed)
    num_people = int(counts.sum())
    means = np.concatenate(
        [
            rng.multinomial(num_people, counts / num_people, size=size) @ distinct / num_people
            for size in _chunks(config.num_resamples, distinct.size)
        ]
    )
    tail = (1.0 - config.confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Estimate(mean=float(np.mean(values)), low=float(low), high=float(high))


def compare_paired(
    first: FloatArray, second: FloatArray, config: BootstrapConfig
) -> PairedDifference:
    """What `first` gains over `second`, each float [B] over the same people in the same order.

    Raises:
        ValueError: the shapes differ, there are no values, or one is not finite.
    """
    if first.shape != second.shape:
        raise ValueError(f"paired values need one shape, got {first.shape} and {second.shape}")
    differences = np.round(first - second, DECIMALS)
    estimate = bootstrap_mean(differences, config)
    spread = float(np.std(differences, ddof=1)) if differences.size > 1 else 0.0
    return PairedDifference(
        difference=estimate,
        p_value=_sign_flip_p_value(differences, config),
        effect_size=estimate.mean / spread if spread > 0.0 else None,
        num_better=int((differences > 0).sum()),
        num_worse=int((differences < 0).sum()),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several, in their order (Holm, 1979).

    The smallest of m is multiplied by m, the next by m - 1 and so on; none becomes smaller than
    one before it, none larger than 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    result = np.empty(len(order))
    result[order] = adjusted
    return [float(value) for value in result]


def _sign_flip_p_value(differences: FloatArray, config: BootstrapConfig) -> float:
    """Share of random sign flips whose mean is at least as far from 0 as the observed one.

    Of n people with the same absolute difference, a binomial number keeps its sign. The observed
    assignment counts as one of the flips, so that the test keeps its level (Phipson and Smyth,
    2010).
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if not sizes.size:
        return 1.0
    observed = abs(float(differences.sum()))
    rng = np.random.default_rng(config.seed)
    as_extreme = 0
    for size in _chunks(config.num_resamples, sizes.size):
        kept = rng.binomial(counts, 0.5, size=(size, sizes.size))
        sums = np.abs((2 * kept - counts) @ sizes)
        as_extreme += int((sums >= observed * (1.0 - 1e-9)).sum())
    return (as_extreme + 1) / (config.num_resamples + 1)


def _distinct(values: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    if values.ndim != 1 or not values.size:
        raise ValueError(
            f"a mean over people needs values [B] with B at least 1, got {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"value {int(np.argmin(np.isfinite(values)))} is not finite")
    distinct, counts = np.unique(np.round(values, DECIMALS), return_counts=True)
    return distinct, counts


def _chunks(num_rows: int, width: int) -> list[int]:
    """Numbers of rows that add up to `num_rows`, each within the memory bound."""
    rows = max(1, MAX_COUNTS // width)
    return [min(rows, num_rows - start) for start in range(0, num_rows, rows)]
