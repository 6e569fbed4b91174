"""The one training loop, on accelerate, with checkpoints and resume; it knows no model."""

from genrec.training.batches import Batch, Batches, BatchSize
from genrec.training.checkpoints import can_go_on, discard_checkpoint, discard_finished_checkpoint
from genrec.training.config import FitResult, Precision, TrainingConfig
from genrec.training.loop import fit
from genrec.training.precision import chosen_precision

__all__ = [
    "Batch",
    "BatchSize",
    "Batches",
    "FitResult",
    "Precision",
    "TrainingConfig",
    "can_go_on",
    "chosen_precision",
    "discard_checkpoint",
    "discard_finished_checkpoint",
    "fit",
]
