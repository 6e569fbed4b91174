"""Several vectors an item (content, collaborative, an image) become one that codes can describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genrec.errors import InputError
from genrec.semantic_ids.vectors import LazyVectors, Rows, Vectors, sample_rows

__all__ = ["Fusion", "Modality"]

Floats = npt.NDArray[np.float32]

RIDGE_SHARE = 0.1
"""Strength of the ridge penalty, as a share of the content's mean variance."""
SAMPLED_ITEMS = 262_144


@dataclass(frozen=True, kw_only=True)
class Modality:
    """One more vector an item, beside its content."""

    vectors: Floats
    """float32 [N, D], all finite, possibly mapped from a file."""
    weight: float
    """Its share of the variance of the fused vectors, against 1 for the content."""
    confidence: Floats | None = None
    """float32 [N] in 0…1: how far each row is to be trusted, the rest being predicted from the
    content; 0 for a row that is not known at all. None trusts all rows."""

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32:
            raise InputError(
                f"a modality's vectors must be float32 [N, D], got {self.vectors.dtype} "
                f"{list(self.vectors.shape)}"
            )
        if not self.weight > 0:
            raise InputError(f"a modality's weight must be above 0, got {self.weight}")
        if self.confidence is not None and self.confidence.shape != (len(self.vectors),):
            raise InputError(
                f"confidence must have one value an item ({len(self.vectors)}), got shape "
                f"{list(self.confidence.shape)}"
            )

    @property
    def trust(self) -> Floats:
        """float32 [N]: the confidence of each row."""
        if self.confidence is None:
            return np.ones(len(self.vectors), dtype=np.float32)
        return self.confidence


class Fusion(nn.Module):
    """Weighted concatenation; what is not known of an item is predicted from its content.

    Each modality is centred and brought to a total variance that is its weight, so that the squared
    distance of two fused vectors is the weighted sum of their distances. Rows that are not trusted
    are mixed with a ridge regression on the content, so that a new item, of which only the content
    is known, lies among the items that it will probably go with.

    Args:
        content_width: Dc.
        widths: D of each further modality, by name.
    """

    content_mean: Tensor
    content_scale: Tensor

    def __init__(self, *, content_width: int, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.widths = dict(widths)
        self.register_buffer("content_mean", torch.zeros(content_width))
        self.register_buffer("content_scale", torch.ones(()))
        for name, width in widths.items():
            self.register_buffer(f"{name}_mean", torch.zeros(width))
            self.register_buffer(f"{name}_scale", torch.ones(()))
            self.register_buffer(f"{name}_from_content", torch.zeros(content_width, width))

    @classmethod
    def fit(cls, content: Vectors, modalities: Mapping[str, Modality], *, seed: int) -> Fusion:
        """The fusion of content [N, Dc] with these modalities; from a sample of very many items."""
        widths = {name: modality.vectors.shape[1] for name, modality in modalities.items()}
        fused = cls(content_width=content.shape[1], widths=widths)
        rows = sample_rows(len(content), SAMPLED_ITEMS, seed)
        sample = content[rows].astype(np.float64)
        mean = sample.mean(axis=0)
        sample -= mean
        fused.content_mean.copy_(torch.from_numpy(mean))
        fused.content_scale.fill_(_scale(sample, weight=1.0))
        for name, modality in modalities.items():
            fused._fit_modality(name, modality, rows, sample)
        return fused

    def _fit_modality(
        self,
        name: str,
        modality: Modality,
        rows: npt.NDArray[np.int64],
        content: npt.NDArray[np.float64],
    ) -> None:
        trust = modality.trust[rows].astype(np.float64)[:, None]  # [n, 1]
        if not trust.any():
            raise InputError(f"{name}: no item has a vector that can be trusted; leave it out")
        vectors = modality.vectors[rows].astype(np.float64)
        mean = (trust * vectors).sum(axis=0) / trust.sum()
        centred = vectors - mean
        gram = content.T @ (trust * content)
        penalty = RIDGE_SHARE * np.trace(gram) / len(gram) + 1e-12
        mapping = np.linalg.solve(gram + penalty * np.eye(len(gram)), content.T @ (trust * centred))
        self.get_buffer(f"{name}_mean").copy_(torch.from_numpy(mean))
        self.get_buffer(f"{name}_from_content").copy_(torch.from_numpy(mapping))
        known = centred[trust[:, 0] > 0]
        self.get_buffer(f"{name}_scale").fill_(_scale(known, weight=modality.weight))

    @property
    def names(self) -> tuple[str, ...]:
        """The further modalities."""
        return tuple(self.widths)

    @torch.no_grad()
    def forward(
        self, content: Tensor, further: Mapping[str, tuple[Tensor, Tensor]] | None = None
    ) -> Tensor:
        """float32 [n, Dc + sum of D]: one vector an item.

        Args:
            content: float32 [n, Dc].
            further: by name, float32 vectors [n, D] and confidence [n]; what is missing is
                predicted from the content.
        """
        centred = content - self.content_mean
        parts = [centred / self.content_scale]
        for name in self.widths:
            vectors = centred @ self.get_buffer(f"{name}_from_content")
            if further and name in further:
                given, trust = further[name]
                observed = given - self.get_buffer(f"{name}_mean")
                vectors = trust[:, None] * observed + (1.0 - trust[:, None]) * vectors
            parts.append(vectors / self.get_buffer(f"{name}_scale"))
        return torch.cat(parts, dim=1)

    def apply_to(self, content: Vectors, modalities: Mapping[str, Modality]) -> LazyVectors:
        """`forward` on items of any number: float32 [N, Dc + sum of D], made as rows are read."""
        given = {name: (each.vectors, each.trust) for name, each in modalities.items()}

        def fused(rows: Rows) -> Floats:
            further = {
                name: (torch.tensor(vectors[rows]), torch.tensor(trust[rows]))
                for name, (vectors, trust) in given.items()
            }
            return np.asarray(self(torch.tensor(content[rows]), further).numpy())

        width = content.shape[1] + sum(self.widths.values())
        return LazyVectors((len(content), width), fused)


def _scale(centred: npt.NDArray[np.float64], *, weight: float) -> float:
    """What to divide by so that the total variance is `weight`."""
    variance = float((centred**2).mean(axis=0).sum())
    return float(np.sqrt(variance / weight)) or 1.0
