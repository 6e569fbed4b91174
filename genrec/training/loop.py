"""Fits any model whose forward returns a loss: epochs, schedule, validation, resume."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from genrec.console import Progress
from genrec.errors import TrainingError
from genrec.training.checkpoints import TrainingState, Weights, load_checkpoint, save_checkpoint
from genrec.training.processes import processes, progress

__all__ = ["Batches", "FitResult", "TrainingConfig", "fit"]

logger = logging.getLogger(__name__)

FINAL_LEARNING_RATE_SHARE = 0.02


class Batches(Protocol):
    """The training data, batch by batch."""

    def __len__(self) -> int:
        """Batches an epoch."""

    def epoch(self, epoch: int) -> Iterator[dict[str, Tensor]]:
        """The batches of this epoch: the same whenever asked, whatever was drawn before."""


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
    patience: int = 5
    """Epochs without a better validation after which training stops."""
    checkpoint_seconds: float = 60.0
    """A kill loses at most this much work."""
    seed: int = 0
    """Of initial weights, order of batches and dropout."""

    def __post_init__(self) -> None:
        for name in ("num_epochs", "learning_rate", "max_gradient_norm", "patience"):
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
    """One entry an epoch."""
    train_seconds: float
    """Seconds spent, interrupted runs included, validation included."""


def fit(
    model: nn.Module,
    batches: Batches,
    config: TrainingConfig,
    *,
    validate: Callable[[], dict[str, float]] | None,
    metric: str,
    work_dir: Path,
    label: str,
    identity: Mapping[str, Any] | None = None,
) -> FitResult:
    """Trains `model` in place; at return it has the weights of its best epoch.

    Args:
        model: its forward takes a batch as keywords and returns an object with `.loss`.
        batches: the training data.
        config: how long and how fast.
        validate: gives metrics of the model as it is, in eval mode and without gradients; None
            trains all epochs and keeps the last weights (a refit on all data).
        metric: the validation metric that decides, higher is better.
        work_dir: gets `checkpoint/` (the caller discards it once the result is saved) and
            `tensorboard/`. A checkpoint of the same training found there is continued.
        label: what the progress bar says.
        identity: what else makes this training this one (digests of data, model settings): a
            checkpoint with another identity is not continued.

    Raises:
        TrainingError: the loss is no longer a number.
        ArtifactError: the checkpoint was altered.
    """
    return _Run(model, batches, config, work_dir, label, identity or {}).fit(validate, metric)


class _Run:
    """One training under way."""

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        config: TrainingConfig,
        work_dir: Path,
        label: str,
        identity: Mapping[str, Any],
    ) -> None:
        processes()  # before an Accelerator, which without a GPU takes several processes for one
        self.accelerator = Accelerator(log_with="tensorboard", project_dir=str(work_dir))
        self.accelerator.init_trackers("tensorboard")
        self.model, self.batches, self.config = model, batches, config
        self.work_dir, self.label = work_dir, label
        self.identity = {"training": asdict(config), **identity}
        optimizer = torch.optim.AdamW(
            _parameter_groups(model, config.weight_decay), lr=config.learning_rate, fused=True
        )
        self.state, self.best = TrainingState(), Weights()
        model.to(self.accelerator.device)
        found = load_checkpoint(work_dir, identity=self.identity, model=model, optimizer=optimizer)
        if found is None:
            set_seed(config.seed + self.accelerator.process_index)
        else:
            self.state, self.best = found
            logger.info(
                "%s: continuing after %d epochs and %d batches",
                label,
                self.state.epoch,
                self.state.batch,
            )
        self.wrapped, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.last_save = self.last_tick = time.monotonic()

    def fit(self, validate: Callable[[], dict[str, float]] | None, metric: str) -> FitResult:
        """Epoch after epoch until the end or until patience is over."""
        steps = self.config.num_epochs * len(self.batches)
        done = self.state.epoch * len(self.batches) + self.state.batch
        with progress(self.label, steps, done) as advance:
            while self.state.epoch < self.config.num_epochs and not self._out_of_patience():
                self._train_epoch(advance)
                self._close_epoch(validate, metric)
                self._save()
        if self.best:
            self.model.load_state_dict(self.best)
        self.accelerator.end_training()
        return FitResult(
            best_epoch=self.state.best_epoch,
            best_metrics=self.state.best_metrics,
            curve=self.state.curve,
            train_seconds=self.state.train_seconds,
        )

    def _out_of_patience(self) -> bool:
        return self.state.epoch - self.state.best_epoch >= self.config.patience

    def _train_epoch(self, advance: Progress) -> None:
        self.wrapped.train()
        for batch in islice(self._own_batches(), self.state.batch, None):
            self.state.loss_sum += self._step(batch)
            self.state.batch += 1
            advance(self.accelerator.num_processes, self._note())
            if time.monotonic() - self.last_save > self.config.checkpoint_seconds:
                self._save()

    def _own_batches(self) -> Iterator[dict[str, Tensor]]:
        """This process's share of the epoch: of every full round of batches, one a process.

        What is left of an epoch is dropped, because processes with an unequal number of steps
        would wait for each other for ever.
        """
        batches = self.batches.epoch(self.state.epoch)
        processes = self.accelerator.num_processes
        while len(together := list(islice(batches, processes))) == processes:
            yield together[self.accelerator.process_index]

    def _note(self) -> str:
        return f"epoch {self.state.epoch + 1}, loss {self.state.loss_sum / self.state.batch:.3f}"

    def _step(self, batch: dict[str, Tensor]) -> float:
        done = self.state.epoch + self.state.batch * self._shares_per_batch()
        rate = learning_rate_at(done / self.config.num_epochs, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        device = self.accelerator.device
        output = self.wrapped(**{name: tensor.to(device) for name, tensor in batch.items()})
        self.accelerator.backward(output.loss)
        self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        loss = float(output.loss.detach())
        if not math.isfinite(loss):
            raise TrainingError(
                f"{self.label}: the loss became {loss} in epoch {self.state.epoch + 1}, batch "
                f"{self.state.batch + 1}; lower the learning rate ({self.config.learning_rate})"
            )
        return loss

    def _shares_per_batch(self) -> float:
        processes: int = self.accelerator.num_processes
        return min(1.0, processes / max(len(self.batches), 1))

    def _close_epoch(self, validate: Callable[[], dict[str, float]] | None, metric: str) -> None:
        state = self.state
        metrics = {}
        if validate is not None:
            self.wrapped.eval()
            with torch.no_grad():
                metrics = validate()
        state.epoch += 1
        entry = {"epoch": state.epoch, "loss": state.loss_sum / max(state.batch, 1), **metrics}
        state.batch, state.loss_sum = 0, 0.0
        if validate is None:
            state.best_epoch = state.epoch
        elif not state.best_metrics or metrics[metric] > state.best_metrics[metric]:
            state.best_epoch, state.best_metrics = state.epoch, metrics
            self.best = {
                name: tensor.detach().cpu().clone()
                for name, tensor in self.model.state_dict().items()
            }
        self._tick()
        state.curve.append({**entry, "seconds": state.train_seconds})
        self.accelerator.log(entry, step=state.epoch)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in entry.items())
        if self.accelerator.is_local_main_process:
            logger.info("%s: %s", self.label, figures)

    def _tick(self) -> None:
        now = time.monotonic()
        self.state.train_seconds += now - self.last_tick
        self.last_tick = now

    def _save(self) -> None:
        self._tick()
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.work_dir,
                identity=self.identity,
                state=self.state,
                model=self.model,
                best=self.best,
                optimizer=self.optimizer,
            )
        self.last_save = time.monotonic()


def learning_rate_at(share: float, config: TrainingConfig) -> float:
    """The learning rate after this share of all steps: linear warm-up, then a cosine."""
    if share < config.warmup_share:
        return config.learning_rate * (share + 1e-3) / (config.warmup_share + 1e-3)
    progressed = (share - config.warmup_share) / (1 - config.warmup_share)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progressed, 1.0)))
    floor = FINAL_LEARNING_RATE_SHARE
    return config.learning_rate * (floor + (1 - floor) * cosine)


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
