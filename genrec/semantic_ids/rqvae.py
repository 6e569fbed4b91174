"""A residual-quantised autoencoder: its latents are what the codes describe."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor, nn

from genrec.errors import InputError
from genrec.semantic_ids.preparation import Preparation, Whitening
from genrec.semantic_ids.quantizer import Method, Quantizer, require_sizes

__all__ = ["CodebookUpdate", "RqVae", "RqVaeConfig"]


class CodebookUpdate(StrEnum):
    """How codes move while the autoencoder trains."""

    EMA = "ema"
    """Each follows the moving average of the latents that chose it."""
    GRADIENT = "gradient"
    """Each is a parameter, pulled towards those latents by the optimiser."""


@dataclass(frozen=True, kw_only=True)
class RqVaeConfig:
    """Size and training of the RQ-VAE."""

    method = Method.RQVAE

    num_levels: int = 4
    """Codes an item has."""
    num_codes: int = 256
    """Codes to choose from on each level; a small catalogue gets fewer, which is then stated."""
    whitening: Whitening = Whitening.CENTRE
    """How the dimensions of the input are weighted against each other."""
    components: int = 128
    """Width of the input after PCA."""
    latent_width: int = 32
    """W: width of what is quantised."""
    hidden_width: int = 512
    """Width of the one hidden layer of encoder and decoder."""
    num_epochs: int = 30
    """Passes over the items; a catalogue of few batches gets more, so that it has `MIN_STEPS`."""
    warmup_share: float = 0.15
    """Share of the passes without quantisation, before k-means places the codes."""
    batch_size: int = 1024
    """Items a step, at most; divided over the processes."""
    learning_rate: float = 1e-3
    """The highest learning rate; it falls to 0 along a cosine."""
    weight_decay: float = 1e-4
    """AdamW's decay."""
    codebook_update: CodebookUpdate = CodebookUpdate.EMA
    """How codes move."""
    ema_decay: float = 0.97
    """How slowly codes follow the mean of their items."""
    rotation_trick: bool = False
    """Whether gradients are rotated with the latents instead of copied straight through."""
    reconstruction_weight: float = 1.0
    """Weight of the squared error, summed over dimensions; 1 / D would make it the mean, which is
    too weak against the pull towards the codes."""
    commitment_weight: float = 0.25
    """Weight of the pull of latents towards their codes."""
    alignment_weight: float = 0.0
    """Weight of the alignment of quantised latents with collaborative vectors; 0 reads none."""
    dead_code_share: float = 0.25
    """A code used less than this share of the average use is moved onto an item."""
    sinkhorn_last_level: bool = False
    """Whether the last level is placed anew at the end, so that its codes have equal shares."""
    seed: int = 0
    """Of initial weights, order of items, k-means and moved codes."""

    def __post_init__(self) -> None:
        require_sizes(self.num_levels, self.num_codes)
        positive = ("latent_width", "hidden_width", "components", "num_epochs", "batch_size")
        for name in (*positive, "learning_rate", "reconstruction_weight"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("warmup_share", "ema_decay", "dead_code_share"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        for name in ("commitment_weight", "alignment_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be at least 0, got {getattr(self, name)}")


class RqVae(Quantizer):
    """Encoder, codebooks and decoder.

    Args:
        preparation: of the item vectors.
        codebooks: float32 [L, K, W + extra].
        latent_width: W.
        hidden_width: of the hidden layer.
    """

    def __init__(
        self, preparation: Preparation, codebooks: Tensor, latent_width: int, hidden_width: int
    ) -> None:
        super().__init__(preparation, codebooks, latent_width)
        self.encoder = _mlp(preparation.out_width, hidden_width, latent_width)
        self.decoder = _mlp(latent_width, hidden_width, preparation.out_width)

    def latents(self, prepared: Tensor) -> Tensor:
        """float32 [n, W]: what the encoder makes of prepared vectors."""
        encoded: Tensor = self.encoder(prepared)
        return encoded

    def restored(self, latents: Tensor) -> Tensor:
        """What the decoder makes of latents [n, W]."""
        decoded: Tensor = self.decoder(latents)
        return decoded


def _mlp(width: int, hidden_width: int, out_width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden_width), nn.ReLU(), nn.Linear(hidden_width, out_width)
    )
