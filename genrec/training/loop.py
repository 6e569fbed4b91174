"""Fits any model whose forward returns a loss: epochs, schedule, validation, resume."""

from __future__ import annotations

import copy
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import nn

from genrec import artifacts
from genrec.console import Progress
from genrec.errors import TrainingError
from genrec.training.batches import Batch, Batches
from genrec.training.checkpoints import (
    TrainingState,
    Weights,
    load_checkpoint,
    random_states,
    save_checkpoint,
)
from genrec.training.config import FitResult, TrainingConfig
from genrec.training.precision import autocast
from genrec.training.processes import from_main, processes, progress, summed
from genrec.training.sharding import whole_weights

__all__ = ["fit"]

logger = logging.getLogger(__name__)

FINAL_LEARNING_RATE_SHARE = 0.02


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

    Several processes do the training of one: each computes its part of every batch, and what is
    minimised is the sum of the losses of all targets divided by their number. Where FSDP shards the
    model, the main process alone has the weights at return.

    Args:
        model: its forward takes a batch as keywords and returns an object with `.loss`, a float32
            mean over the batch's targets (0 where it has none).
        batches: the training data.
        config: how long and how fast.
        validate: gives metrics of the model as it is, in eval mode and without gradients; asked on
            the main process. None trains all epochs and keeps the last weights (a refit on all
            data).
        metric: the validation metric that decides, higher is better.
        work_dir: gets `checkpoint/` (the caller discards it once the result is saved) and
            `tensorboard/`. A checkpoint of the same training found there is continued.
        label: what the progress bar says.
        identity: what else makes this training this one (digests of data, model settings): a
            checkpoint with another identity is not continued.

    Raises:
        TrainingError: the loss is no longer a number; on several processes, a parameter has no part
            in it.
        InputError: the device does not have the precision.
        ArtifactError: the checkpoint was altered.
    """
    with artifacts.explained(work_dir):
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
        self.accelerator = Accelerator(
            log_with="tensorboard",
            project_dir=str(work_dir),
            mixed_precision="no",  # `precision` decides, and losses stay float32
            # The catalogue stands in buffers, and is the same everywhere.
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        self.autocast = autocast(config.precision, self.accelerator.device)
        self.accelerator.init_trackers("tensorboard")
        self.model, self.batches, self.config = model, batches, config
        self.work_dir, self.label = work_dir, label
        self.identity = {"training": asdict(config), **identity}
        self.state, self.best = TrainingState(), Weights()
        model.to(self.accelerator.device)
        sharded = self.accelerator.distributed_type == DistributedType.FSDP
        # FSDP takes a model apart; the caller's own stays whole, for validation and the end.
        self.trained = copy.deepcopy(model) if sharded else model
        optimizer = torch.optim.AdamW(
            _parameter_groups(self.trained, config.weight_decay),
            lr=config.learning_rate,
            fused=True,
        )
        with warnings.catch_warnings():  # torch 2.11 knows no other way to leave buffers alone
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            self.wrapped, self.optimizer = self.accelerator.prepare(self.trained, optimizer)
        set_seed(config.seed + self.accelerator.process_index)
        self._continue()
        self.last_save = self.last_tick = time.monotonic()

    def _continue(self) -> None:
        """Goes on from a checkpoint of this very training, if one is there."""
        found = load_checkpoint(
            self.work_dir, identity=self.identity, model=self.trained, optimizer=self.optimizer
        )
        if found is not None:
            self.state, self.best = found
            logger.info(
                "%s: continuing after %d epochs and %d batches",
                self.label,
                self.state.epoch,
                self.state.batch,
            )

    def fit(self, validate: Callable[[], dict[str, float]] | None, metric: str) -> FitResult:
        """Epoch after epoch until the end or until patience is over."""
        try:
            self._train(validate, metric)
        finally:
            self._end()
        return FitResult(
            best_epoch=self.state.best_epoch,
            best_metrics=self.state.best_metrics,
            curve=self.state.curve,
            train_seconds=self.state.train_seconds,
            **_throughput(self.state.curve),
        )

    def _train(self, validate: Callable[[], dict[str, float]] | None, metric: str) -> None:
        """Afterwards the caller's model has the weights of the best epoch."""
        steps = self.config.num_epochs * len(self.batches)
        done = self.state.epoch * len(self.batches) + self.state.batch
        with progress(self.label, steps, done) as advance:
            while self.state.epoch < self.config.num_epochs and not self._out_of_patience():
                self._train_epoch(advance)
                self._close_epoch(validate, metric)
                self._save()
        if self.state.best_metrics:
            if self.best:  # of a sharded model, the main process alone has them
                self.model.load_state_dict(self.best)
        elif self.trained is not self.model:
            self._take_weights()

    def _end(self) -> None:
        """Leaves the other processes.

        The wrapped model goes first: were it the last to know of their connection, it would close
        that with Python's lock in hand, for which a thread of the connection may be waiting.
        """
        del self.wrapped
        self.accelerator.free_memory()
        self.accelerator.end_training()

    def _out_of_patience(self) -> bool:
        return self.state.epoch - self.state.best_epoch >= self.config.patience

    def _train_epoch(self, advance: Progress) -> None:
        self.wrapped.train()
        batches = islice(self.batches.epoch(self.state.epoch), self.state.batch, None)
        began = time.monotonic()
        while together := list(islice(batches, self.config.accumulation_steps)):
            save_wanted = began - self.last_save > self.config.checkpoint_seconds
            save = self._step(together, save_wanted=save_wanted)
            self.state.step_seconds += time.monotonic() - began
            advance(len(together), self._note())
            if save:
                self._save()
            began = time.monotonic()

    def _note(self) -> str:
        state = self.state
        rate = state.events / max(state.step_seconds, 1e-9)
        loss = state.loss_sum / state.batch
        return f"epoch {state.epoch + 1}, loss {loss:.3f}, {rate:,.0f} items/s"

    def _step(self, together: Sequence[Batch], *, save_wanted: bool) -> bool:
        """One step on these batches; returns whether the main process wants a checkpoint.

        Each process computes its part of every batch. What is minimised is the sum of the losses
        of all targets, over all parts and batches, divided by the number of those targets: as one
        process alone would have it.
        """
        rate = learning_rate_at(self._share_done(), self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        sizes = [self.batches.size_of(batch) for batch in together]
        targets = max(sum(size.targets for size in sizes), 1)
        own_loss = sum(
            self._backward(batch, targets, is_last=number == len(together))
            for number, batch in enumerate(together, start=1)
        )
        self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        is_main = self.accelerator.is_main_process
        loss, save = summed([own_loss, float(save_wanted and is_main)])
        if not math.isfinite(loss):
            raise TrainingError(
                f"{self.label}: the loss became {loss} in epoch {self.state.epoch + 1}, batch "
                f"{self.state.batch + 1}; lower the learning rate ({self.config.learning_rate})"
            )
        self.state.loss_sum += loss * len(together)
        self.state.batch += len(together)
        self.state.events += sum(size.events for size in sizes)
        self.state.places += sum(size.places for size in sizes)
        return save > 0

    def _backward(self, batch: Batch, targets: int, *, is_last: bool) -> float:
        """Adds the gradient of this process's part; gives its summed loss divided by `targets`."""
        index, parts = self.accelerator.process_index, self.accelerator.num_processes
        part = batch if parts == 1 else self.batches.part(batch, index, parts)
        share = self.batches.size_of(part).targets / targets
        device = self.accelerator.device
        sends = nullcontext() if is_last else self.accelerator.no_sync(self.wrapped)
        with sends:
            with self.autocast:
                loss = self.wrapped(**{name: each.to(device) for name, each in part.items()}).loss
            # DDP and FSDP take the mean over processes; the sum is wanted.
            self.accelerator.backward(loss * (share * parts))
        if parts > 1:
            _refuse_idle_parameters(self.trained)
        return float(loss.detach()) * share

    def _share_done(self) -> float:
        """Of all steps, those that are behind this one."""
        in_epoch = min(1.0, self.state.batch / max(len(self.batches), 1))
        return (self.state.epoch + in_epoch) / self.config.num_epochs

    def _close_epoch(self, validate: Callable[[], dict[str, float]] | None, metric: str) -> None:
        state = self.state
        metrics = {} if validate is None else self._validated(validate)
        state.epoch += 1
        entry = {
            "epoch": state.epoch,
            "loss": state.loss_sum / max(state.batch, 1),
            **metrics,
            "items_per_second": state.events / max(state.step_seconds, 1e-9),
            "padding_waste": 1 - state.events / max(state.places, 1),
        }
        if validate is None:
            state.best_epoch = state.epoch
        elif not state.best_metrics or metrics[metric] > state.best_metrics[metric]:
            state.best_epoch, state.best_metrics = state.epoch, metrics
            self.best = whole_weights(self.trained)
        self._tick()
        counts = {"events": state.events, "places": state.places, "seconds": state.train_seconds}
        state.curve.append({**entry, **counts})
        state.batch, state.loss_sum = 0, 0.0
        state.events, state.places, state.step_seconds = 0, 0, 0.0
        self.accelerator.log(entry, step=state.epoch)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in entry.items())
        if self.accelerator.is_local_main_process:
            logger.info("%s: %s", self.label, figures)

    def _validated(self, validate: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What the main process measures, on all of them: they must agree on when to stop."""
        if self.trained is not self.model:
            self._take_weights()
        self.model.eval()
        with torch.no_grad():
            found = from_main(
                lambda: {
                    name: torch.tensor(value, dtype=torch.float64)
                    for name, value in validate().items()
                }
            )
        return {name: float(value) for name, value in found.items()}

    def _take_weights(self) -> None:
        """Gives the caller's model, on the main process, what the sharded one has learnt."""
        weights = whole_weights(self.trained)
        if self.accelerator.is_main_process:
            self.model.load_state_dict(weights)

    def _tick(self) -> None:
        now = time.monotonic()
        self.state.train_seconds += now - self.last_tick
        self.last_tick = now

    def _save(self) -> None:
        self._tick()
        save_checkpoint(
            self.work_dir,
            identity=self.identity,
            state=self.state,
            model=self.trained,
            best=self.best,
            optimizer=self.optimizer,
            random=random_states(),
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


def _refuse_idle_parameters(model: nn.Module) -> None:
    """Raises TrainingError where a parameter had no part in the loss.

    The processes would wait for its gradient for ever.
    """
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    if idle:
        raise TrainingError(
            f"{', '.join(idle[:5])} had no part in the loss, and several processes wait for every "
            "gradient; leave them out of the model, or freeze them (requires_grad_(False))"
        )


def _throughput(curve: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """items_per_second and padding_waste over all epochs."""
    events = sum(entry["events"] for entry in curve)
    places = sum(entry["places"] for entry in curve)
    seconds = sum(entry["events"] / max(entry["items_per_second"], 1e-9) for entry in curve)
    return {
        "items_per_second": events / max(seconds, 1e-9),
        "padding_waste": 1 - events / max(places, 1),
    }
