"""What every tokenizer is: vectors to latents, these to a code a level, codes back to vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import InputError
from genrec.kernels import residual_assign
from genrec.semantic_ids.preparation import Preparation
from genrec.semantic_ids.vectors import LazyVectors, Vectors, blocks_of

__all__ = ["Method", "Quantizer", "require_sizes"]


class Method(StrEnum):
    """How codes are found."""

    RQVAE = "rqvae"
    """Residual quantisation of an autoencoder's latents."""
    RKMEANS = "rkmeans"
    """Residual k-means on the vectors themselves."""
    OPQ = "opq"
    """Product quantisation after a learnt rotation: the codes have no order."""


class Quantizer(nn.Module, ABC):
    """A fitted tokenizer.

    All methods share one form: an item's latent is approximated by the sum of one code a level. The
    codes of a product quantiser are zero outside their own part of the latent, and so fit in.

    A codebook may be wider than the latent. In the dimensions beyond, latents are 0 and a code
    holds the square root of what it costs on top of its distance: so balanced codes are found by
    the very same nearest-code search (a power diagram).

    Args:
        preparation: of the vectors.
        codebooks: float32 [L, K, W + extra].
        latent_width: W.
    """

    codebooks: Tensor

    def __init__(self, preparation: Preparation, codebooks: Tensor, latent_width: int) -> None:
        super().__init__()
        self.preparation = preparation
        self.latent_width = latent_width
        self.register_buffer("codebooks", codebooks)

    @abstractmethod
    def latents(self, prepared: Tensor) -> Tensor:
        """float32 [n, W] of prepared vectors."""

    @abstractmethod
    def restored(self, latents: Tensor) -> Tensor:
        """Prepared vectors of latents [n, W]."""

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each level."""
        num_levels, num_codes, _ = self.codebooks.shape
        return (num_codes,) * num_levels

    @torch.no_grad()
    def encode(self, vectors: Tensor) -> Tensor:
        """What codes are searched for: float32 [n, W + extra] of vectors [n, D]."""
        latents = self.latents(self.preparation(vectors))
        return F.pad(latents, (0, self.codebooks.shape[2] - self.latent_width))

    def assign(self, encoded: Tensor) -> Tensor:
        """The nearest codes, int64 [n, L], of encoded vectors; not necessarily unique."""
        return residual_assign(encoded, self.codebooks)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """The vectors, float32 [n, D], that codes [n, l] stand for; l below L leaves levels out."""
        levels = torch.arange(codes.shape[1], device=codes.device)
        latents = self.codebooks[levels, codes, : self.latent_width].sum(dim=1)  # [n, W]
        return self.preparation.back(self.restored(latents))

    def encoded(self, vectors: Vectors) -> LazyVectors:
        """`encode` of very many vectors [N, D]: float32 [N, W + extra], made as rows are read."""
        return LazyVectors(
            (len(vectors), self.codebooks.shape[2]),
            lambda rows: self.encode(self._tensor(vectors[rows])).cpu().numpy(),
        )

    def assign_array(self, vectors: Vectors) -> npt.NDArray[np.int64]:
        """The nearest codes, int64 [N, L], of vectors [N, D] of any number."""
        codes = np.empty((len(vectors), len(self.codebooks)), dtype=np.int64)
        for rows in blocks_of(len(vectors)):
            codes[rows] = self.assign(self.encode(self._tensor(vectors[rows]))).cpu().numpy()
        return codes

    def _tensor(self, vectors: npt.NDArray[np.float32]) -> Tensor:
        return torch.tensor(vectors, device=self.codebooks.device)


def require_sizes(num_levels: int, num_codes: int) -> None:
    """Raises InputError for sizes that no tokenizer can have."""
    for name, value in (("num_levels", num_levels), ("num_codes", num_codes)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if num_codes > 2**16:
        raise InputError(f"num_codes must be at most 65536 (codes are uint16), got {num_codes}")
