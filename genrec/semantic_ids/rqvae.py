"""A residual-quantised autoencoder: item vectors to latents, latents to one code a level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genrec.errors import InputError
from genrec.kernels import residual_assign

__all__ = ["RqVae", "RqVaeConfig"]


@dataclass(frozen=True, kw_only=True)
class RqVaeConfig:
    """Size and training of the tokenizer."""

    num_levels: int = 4
    """Codes an item has."""
    num_codes: int = 256
    """Codes to choose from on each level; a small catalogue gets fewer, which is then stated."""
    latent_width: int = 64
    """Width of what is quantised."""
    hidden_width: int = 512
    """Width of the one hidden layer of encoder and decoder."""
    num_epochs: int = 30
    """Passes over the items; a catalogue of few batches gets more, so that it has `MIN_STEPS`."""
    warmup_share: float = 0.15
    """Share of the passes without quantisation, before k-means places the codes."""
    batch_size: int = 1024
    """Items a step, at most."""
    learning_rate: float = 1e-3
    """The highest learning rate; it falls to 0 along a cosine."""
    weight_decay: float = 1e-4
    """AdamW's decay."""
    ema_decay: float = 0.97
    """How slowly codes follow the mean of their items."""
    commitment_weight: float = 0.25
    """Weight of the pull of latents towards their codes, against 1 for the reconstruction."""
    dead_code_share: float = 0.25
    """A code used less than this share of the average use is moved onto an item."""
    seed: int = 0
    """Of initial weights, order of items, k-means and moved codes."""

    def __post_init__(self) -> None:
        for name in ("num_levels", "num_codes", "latent_width", "hidden_width", "num_epochs"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.num_codes > 2**16:
            raise InputError(f"num_codes must be at most 65536 (uint16), got {self.num_codes}")
        if self.batch_size < 1 or self.learning_rate <= 0:
            raise InputError("batch_size and learning_rate must be above 0")
        for name in ("warmup_share", "ema_decay", "dead_code_share"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be in [0, 1), got {getattr(self, name)}")


class RqVae(nn.Module):
    """Encoder, codebooks and decoder, with the standardisation of their inputs.

    Args:
        width: of the item vectors, D.
        num_codes: codes a level, K.
        config: everything else.
    """

    mean: Tensor
    scale: Tensor
    codebooks: Tensor

    def __init__(self, *, width: int, num_codes: int, config: RqVaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _mlp(width, config.hidden_width, config.latent_width)
        self.decoder = _mlp(config.latent_width, config.hidden_width, width)
        codebooks = torch.zeros(config.num_levels, num_codes, config.latent_width)  # [L, K, W]
        self.register_buffer("codebooks", codebooks)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def set_standardisation(self, vectors: Tensor) -> None:
        """Takes mean and deviation per dimension from vectors [N, D]; constants are not scaled."""
        mean, deviation = vectors.mean(dim=0), vectors.std(dim=0, correction=0)
        # Rounding leaves a constant dimension a deviation of about 1e-7 of its value.
        constant = deviation <= 1e-5 * mean.abs() + 1e-12
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(constant, 1.0, deviation))

    def standardise(self, vectors: Tensor) -> Tensor:
        """[N, D], each dimension with mean 0 and deviation 1 over the items of the fit."""
        return (vectors - self.mean) / self.scale

    def encode(self, vectors: Tensor) -> Tensor:
        """The latents, float32 [N, W], of vectors [N, D]."""
        latents: Tensor = self.encoder(self.standardise(vectors))
        return latents

    def assign(self, latents: Tensor) -> Tensor:
        """The nearest codes, int64 [N, L], of latents [N, W]; not necessarily unique."""
        return residual_assign(latents, self.codebooks)

    def explained_variance(self, vectors: Tensor, codes: Tensor) -> float:
        """Share of the variance of vectors [N, D] that is left after going through codes [N, L]."""
        levels = torch.arange(codes.shape[1], device=codes.device)
        quantised = self.codebooks[levels, codes].sum(dim=1)  # [N, W]
        inputs = self.standardise(vectors)
        total = (inputs - inputs.mean(dim=0)).square().sum()
        error = (self.decoder(quantised) - inputs).square().sum()
        return 1.0 if total == 0 else float(1.0 - error / total)


def _mlp(width: int, hidden_width: int, out_width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden_width), nn.ReLU(), nn.Linear(hidden_width, out_width)
    )
