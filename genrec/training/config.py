"""How a model is fitted, and what its training came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["FitResult", "Precision", "TrainingConfig"]


class Precision(StrEnum):
    """What the products of a training step are computed in; weights and losses are float32."""

    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long and how fast to learn."""

    num_epochs: int = 30
    """Epochs at most; the learning rate falls along a cosine that ends here."""
    learning_rate: float = 1e-3
    """The highest learning rate."""
    weight_decay: float = 0.05
    """AdamW's decay of matrices; vectors (norms, biases) are not decayed."""
    warmup_share: float = 0.05
    """Share of all steps in which the learning rate climbs."""
    max_gradient_norm: float = 1.0
    """Gradients longer than this are shortened to it."""
    accumulation_steps: int = 1
    """Batches a step: their losses are summed and divided by their common number of targets."""
    precision: Precision = Precision.FP32
    """bf16 where the device has it; elsewhere it is refused."""
    patience: int = 5
    """Epochs without a better validation after which training stops."""
    checkpoint_seconds: float = 60.0
    """A kill loses at most this much work."""
    seed: int = 0
    """Of initial weights, order of batches and dropout."""

    def __post_init__(self) -> None:
        # As JSON gives it back it is a string.
        object.__setattr__(self, "precision", Precision(self.precision))
        above_zero = (
            "num_epochs",
            "learning_rate",
            "max_gradient_norm",
            "accumulation_steps",
            "patience",
        )
        for name in above_zero:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.warmup_share < 1:
            raise ValueError(f"warmup_share must be in [0, 1), got {self.warmup_share}")


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a training came to."""

    best_epoch: int
    """Epochs after which validation was best, counted from 1; the last one without validation."""
    best_metrics: dict[str, float]
    curve: list[dict[str, float]]
    """One entry an epoch: loss, validation metrics, items_per_second, padding_waste, seconds."""
    train_seconds: float
    """Seconds spent, interrupted runs included, validation included."""
    items_per_second: float = 0.0
    """Events read a second while training, validation and checkpoints left out; 0 where an older
    version did not count them."""
    padding_waste: float = 0.0
    """Share of the computed inputs that were padding."""
