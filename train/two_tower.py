"""Trains the two-tower retriever of a run and builds its vector index."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from genrec import artifacts, console
from genrec.embeddings import EMBEDDINGS_KIND, ItemEmbeddings
from genrec.interactions import (
    DATA_KIND,
    InteractionDataset,
    Protocol,
    Repeats,
    split_histories,
)
from genrec.retrieval import TWO_TOWER_KIND, TwoTower, TwoTowerConfig, fit_two_tower
from genrec.training import chosen_precision, discard_checkpoint
from genrec.training.processes import processes

from .common import (
    EpochsOption,
    ForceOption,
    PrecisionOption,
    RefitOption,
    RunOption,
    SeedOption,
    SplitOption,
    home_of,
    nothing_to_do,
    throughput,
)

VALIDATION_QUESTIONS = 6000

app = console.program(__doc__)


@app.command()
def train_two_tower(
    run: RunOption,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    split: SplitOption = Protocol.LEAVE_LAST_OUT,
    refit: RefitOption = False,
    precision: PrecisionOption = None,
    force: ForceOption = False,
) -> None:
    home = home_of(run, refit)
    out, work_dir = home / "two_tower", home / "work" / "two_tower"
    parents = {
        "data": artifacts.read(run / "data", kind=DATA_KIND),
        "embeddings": artifacts.read(run / "embeddings", kind=EMBEDDINGS_KIND),
    }
    model = with_epochs(TwoTowerConfig(), epochs or (epochs_chosen(run) if refit else None), seed)
    training = replace(model.training, precision=chosen_precision(precision))
    model = replace(model, training=training)
    config = {"two_tower": asdict(model), "split": str(split), "refit": refit}
    if nothing_to_do(
        out, work_dir, kind=TWO_TOWER_KIND, config=config, seed=seed, parents=parents, force=force
    ):
        return
    dataset = InteractionDataset.load(run / "data")
    parts = split_histories(dataset.histories, split)
    two_tower = fit_two_tower(
        dataset.histories if refit else parts.train,
        ItemEmbeddings.load(run / "embeddings", num_items=dataset.num_items).vectors,
        model,
        validation=None if refit else parts.validation.sample(VALIDATION_QUESTIONS, seed),
        mask_seen=dataset.repeats is Repeats.MASK,
        work_dir=work_dir,
    )
    if not processes().is_main_process:
        return
    two_tower.save(out, config=config, parents=parents)
    discard_checkpoint(work_dir)
    console.say(f"{out}: {summary(two_tower)}")


def with_epochs(config: TwoTowerConfig, epochs: int | None, seed: int) -> TwoTowerConfig:
    """The same configuration with these epochs (None: as they are) and this seed."""
    epochs = config.training.num_epochs if epochs is None else epochs
    return replace(config, training=replace(config.training, num_epochs=epochs, seed=seed))


def epochs_chosen(run: Path) -> int:
    """The epochs that validation chose for RUN/two_tower."""
    return TwoTower.load(run / "two_tower").result.best_epoch


def summary(two_tower: TwoTower) -> str:
    """What a person wants to know of the training."""
    result = two_tower.result
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in result.best_metrics.items())
    chosen = f"validation {metrics}" if metrics else "trained on all data"
    return (
        f"{chosen}; {result.best_epoch} epochs, {result.train_seconds:.0f} s, {throughput(result)}"
    )


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
