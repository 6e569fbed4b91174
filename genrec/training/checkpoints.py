"""Where a training run stands, written so that a kill at any moment loses at most the last minute.

A checkpoint is an artefact (verified before it is read, replaced as a whole) of safetensors and
JSON: weights, the best weights so far, the optimizer's moments, the random states of all processes,
the position. Weights and moments that are sharded over processes are written whole, so that any
number of processes can go on with them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from genrec import artifacts
from genrec.errors import ArtifactMissingError
from genrec.training.processes import gathered, processes
from genrec.training.sharding import (
    is_sharded,
    load_whole_moments,
    load_whole_weights,
    whole_moments,
    whole_weights,
)

__all__ = [
    "TrainingState",
    "can_go_on",
    "discard_checkpoint",
    "discard_finished_checkpoint",
    "load_checkpoint",
    "random_states",
    "save_checkpoint",
]

CHECKPOINT_KIND = "checkpoint"
CHECKPOINT_FORMAT = 2
RANDOM_NAME = "random.safetensors"
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
    events: int = 0
    """Events read in those batches."""
    places: int = 0
    """Inputs computed for them, padding included."""
    step_seconds: float = 0.0
    """Seconds spent on those batches, checkpoints left out."""
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
    random: Weights | None = None,
) -> None:
    """Replaces the checkpoint in `work_dir` by the present state; the main process writes it.

    Where the model is sharded every process must call this, elsewhere the main one is enough.

    Args:
        work_dir: where `checkpoint/` stands.
        identity: what makes this training this one.
        state: the position.
        model: as it is trained.
        best: the best weights so far, whole.
        optimizer: of the model's parameters.
        random: what `random_states` gave; None takes this process's alone.
    """
    is_main = processes().is_main_process
    if not is_main and not is_sharded(model):
        return
    weights, moments = whole_weights(model), whole_moments(model, optimizer)
    if not is_main:
        return
    config = _with_format(identity)
    with artifacts.writing(work_dir / "checkpoint", kind=CHECKPOINT_KIND, config=config) as folder:
        save_file(weights, folder / "model.safetensors")
        save_file(_contiguous(best), folder / "best.safetensors")
        save_file(moments, folder / "optimizer.safetensors")
        save_file(_own_random_states() if random is None else random, folder / RANDOM_NAME)
        (folder / "state.json").write_text(json.dumps(asdict(state)))


def load_checkpoint(
    work_dir: Path, *, identity: Mapping[str, Any], model: nn.Module, optimizer: Optimizer
) -> tuple[TrainingState, Weights] | None:
    """Puts model, optimizer and random states where the checkpoint left them, on every process.

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
    if dict(artifact.config) != json.loads(json.dumps(_with_format(identity))):
        return None
    load_whole_weights(model, load_file(artifact.file("model.safetensors")))
    load_whole_moments(model, optimizer, load_file(artifact.file("optimizer.safetensors")))
    _restore_random_states(load_file(artifact.file(RANDOM_NAME)))
    state = TrainingState(**json.loads(artifact.file("state.json").read_text()))
    return state, load_file(artifact.file("best.safetensors"))


def discard_checkpoint(work_dir: Path) -> None:
    """Removes the checkpoint of a training whose result is safely written; logs stay.

    It loses its name first: a kill leaves a whole checkpoint or one that nobody takes for one.
    """
    if not work_dir.is_dir():
        return
    checkpoint = work_dir / "checkpoint"
    with artifacts.claim(checkpoint):  # which removes what a kill in here left
        if checkpoint.exists():
            doomed = artifacts.staging_for(checkpoint)
            checkpoint.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def discard_finished_checkpoint(work_dir: Path, result: Path) -> None:
    """Removes a checkpoint that its training left behind when it was killed after its result.

    One that was written after the artefact at `result` is of a training that can go on, and stays.
    """
    if not can_go_on(work_dir, result):
        discard_checkpoint(work_dir)


def can_go_on(work_dir: Path, result: Path) -> bool:
    """Whether a training of `result` was interrupted after what stands there was written."""
    checkpoint = work_dir / "checkpoint" / artifacts.MANIFEST_NAME
    manifest = result / artifacts.MANIFEST_NAME
    if not checkpoint.is_file():
        return False
    return not manifest.is_file() or checkpoint.stat().st_mtime_ns > manifest.stat().st_mtime_ns


def _with_format(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What another version wrote in another form is another training."""
    return {**identity, "checkpoint_format": CHECKPOINT_FORMAT}


def _contiguous(tensors: Mapping[str, Tensor]) -> Weights:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def random_states() -> Weights:
    """uint8 [processes, bytes] by device: the random states of all of them, which all call this."""
    count = processes().num_processes
    own = _own_random_states()
    return {
        name: torch.from_numpy(gathered(np.ascontiguousarray(state.numpy()), count))
        for name, state in own.items()
    }


def _own_random_states() -> Weights:
    states = {"cpu": torch.get_rng_state()[None]}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()[None]
    return states


def _restore_random_states(states: Weights) -> None:
    """Each process's own; one that the checkpoint does not know of keeps the state that it has."""
    own = processes().process_index
    if own < len(states["cpu"]):
        torch.set_rng_state(states["cpu"][own].clone())  # a view is read from its storage's begin
    if own < len(states.get("cuda", ())) and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"][own].clone())
