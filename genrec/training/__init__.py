"""The one training loop, on accelerate, with checkpoints and resume; it knows no model."""

from genrec.training.checkpoints import discard_checkpoint
from genrec.training.loop import Batches, FitResult, TrainingConfig, fit

__all__ = ["Batches", "FitResult", "TrainingConfig", "discard_checkpoint", "fit"]
