"""Where a training run stands, written so that a kill at any moment loses at most the last minute.

A checkpoint is an artefact (verified before it is read, replaced as a whole) of safetensors and
JSON: weights, the best weights so far, the optimizer's moments, the random states, the position.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from genrec import artifacts
from genrec.errors import ArtifactMissingError

__all__ = ["TrainingState", "discard_checkpoint", "load_checkpoint", "save_checkpoint"]

CHECKPOINT_KIND = "checkpoint"
Weights = dict[str, Tensor]


@dataclass
class TrainingState:
    """Everything that the loop must know to go on where it stopped."""

    epoch: int = 0
    """Epochs completed."""
    batch: int = 0
    """Batches completed in the epoch under way."""
    loss_sum: float = 0.0
    """Sum of the losses of those batches."""
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    """One entry an epoch: loss, validation metrics, seconds."""
    train_seconds: float = 0.0


def save_checkpoint(
    work_dir: Path,
    *,
    identity: Mapping[str, Any],
    state: TrainingState,
    model: nn.Module,
    best: Weights,
    optimizer: Optimizer,
) -> None:
    """Replaces the checkpoint in `work_dir` by the present state."""
    with artifacts.writing(
        work_dir / "checkpoint", kind=CHECKPOINT_KIND, config=identity
    ) as folder:
        save_file(_contiguous(model.state_dict()), folder / "model.safetensors")
        save_file(_contiguous(best), folder / "best.safetensors")
        save_file(_optimizer_tensors(optimizer), folder / "optimizer.safetensors")
        save_file(_random_states(), folder / "random.safetensors")
        (folder / "state.json").write_text(json.dumps(asdict(state)))


def load_checkpoint(
    work_dir: Path, *, identity: Mapping[str, Any], model: nn.Module, optimizer: Optimizer
) -> tuple[TrainingState, Weights] | None:
    """Puts model, optimizer and random states where the checkpoint left them.

    Returns:
        The state and the best weights so far, or None where no checkpoint of this very training
        (same `identity`) stands in `work_dir`.

    Raises:
        ArtifactError: the checkpoint was altered.
    """
    try:
        artifact = artifacts.read(work_dir / "checkpoint", kind=CHECKPOINT_KIND)
    except ArtifactMissingError:
        return None
    if dict(artifact.config) != json.loads(json.dumps(identity)):
        return None
    model.load_state_dict(load_file(artifact.file("model.safetensors")))
    _restore_optimizer(optimizer, load_file(artifact.file("optimizer.safetensors")))
    _restore_random_states(load_file(artifact.file("random.safetensors")))
    state = TrainingState(**json.loads(artifact.file("state.json").read_text()))
    return state, load_file(artifact.file("best.safetensors"))


def discard_checkpoint(work_dir: Path) -> None:
    """Removes the checkpoint of a training whose result is safely written; logs stay."""
    shutil.rmtree(work_dir / "checkpoint", ignore_errors=True)


def _contiguous(tensors: Mapping[str, Tensor]) -> Weights:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _optimizer_tensors(optimizer: Optimizer) -> Weights:
    """The optimizer's state as `index.name` tensors; AdamW keeps nothing but tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value).detach().cpu().contiguous()
        for index, entries in state.items()
        for name, value in entries.items()
    }


def _restore_optimizer(optimizer: Optimizer, tensors: Weights) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    whole = optimizer.state_dict()
    whole["state"] = state
    optimizer.load_state_dict(whole)


def _random_states() -> Weights:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random_states(states: Weights) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
