"""What the training programs share: their options, and when there is nothing to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from genrec import artifacts, console
from genrec.artifacts import Artifact
from genrec.errors import InputError
from genrec.interactions import Protocol
from genrec.training import (
    FitResult,
    Precision,
    can_go_on,
    discard_checkpoint,
    discard_finished_checkpoint,
)
from genrec.training.processes import processes

RunOption = Annotated[Path, typer.Option(help="The run folder; says what is missing in it.")]
EpochsOption = Annotated[int | None, typer.Option(help="Epochs at most.", min=1)]
SeedOption = Annotated[int, typer.Option(help="Of everything that is drawn.")]
SplitOption = Annotated[Protocol, typer.Option(help="What training, validation and test are.")]
RefitOption = Annotated[
    bool,
    typer.Option(help="Train on all data, as long as validation chose; written to RUN/refit."),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(help="Of a step's products; unasked, what accelerate launch says, else fp32."),
]
ForceOption = Annotated[bool, typer.Option(help="Train again, whatever is there.")]


def home_of(run: Path, refit: bool) -> Path:
    """Where the models of a run stand: in it, or in its `refit/`."""
    return run / "refit" if refit else run


def refuse_other_split(parent: Artifact, split: Protocol, *, refit: bool) -> None:
    """Raises an InputError where an artefact has learnt from events that this split asks for.

    Of a refit nothing is asked.
    """
    learnt_from = parent.config.get("split")
    if not refit and learnt_from not in (None, str(split)):
        raise InputError(
            f"{parent.path} learnt from the training part of {learnt_from}, which may hold "
            f"events that {split} asks for; make it anew with --split {split}, or give --split "
            f"{learnt_from} here"
        )


def nothing_to_do(
    out: Path,
    work_dir: Path,
    *,
    kind: str,
    config: Mapping[str, Any],
    seed: int,
    parents: Mapping[str, Artifact],
    force: bool,
) -> bool:
    """Whether the model at `out` was made from just this, which is then said.

    With `force` it never is, and an interrupted training is forgotten. From here on `out` is
    claimed: a second program is told before its hours of training, not after them.

    Raises:
        BusyError: another program is writing `out`.
        InputError: what stands there was made with other settings.
    """
    is_main = processes().is_main_process
    if is_main:
        console.hold(artifacts.claim(out))
    if force:
        if is_main:
            discard_checkpoint(work_dir)
        processes().wait_for_everyone()  # or another would still find it
        return False
    current = artifacts.is_current(out, kind=kind, config=config, seed=seed, parents=parents)
    if not current and not can_go_on(work_dir, out):
        artifacts.refuse_other_settings(out, kind=kind, config=config, seed=seed, parents=parents)
    if current and is_main:
        discard_finished_checkpoint(work_dir, out)
        console.say(f"{out} is up to date")
    return current


def throughput(result: FitResult) -> str:
    """How fast a training read its events, for a person."""
    return f"{result.items_per_second:,.0f} items/s, {result.padding_waste:.1%} padding"
