"""Trains the ranker of a run on candidates whose sources never saw its labels."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from genrec import artifacts, console
from genrec.embeddings import EMBEDDINGS_KIND, ItemEmbeddings
from genrec.funnel.ranker_training import train_ranker
from genrec.interactions import (
    DATA_KIND,
    InteractionDataset,
    Protocol,
    Repeats,
    split_histories,
)
from genrec.ranking import RANKER_KIND, Ranker, RankerConfig
from genrec.retrieval import TWO_TOWER_KIND, TwoTower
from genrec.training import discard_checkpoint

app = console.program(__doc__)


@app.command()
def train(
    run: Annotated[Path, typer.Option(help="The run folder, with its two_tower/.")],
    seed: Annotated[int, typer.Option(help="Of the features and questions drawn.")] = 0,
    split: Annotated[
        Protocol, typer.Option(help="What training, validation and test are.")
    ] = Protocol.LEAVE_LAST_OUT,
    refit: Annotated[
        bool,
        typer.Option(help="Train on all data, as many trees as validation chose (RUN/refit)."),
    ] = False,
    force: Annotated[bool, typer.Option(help="Train again, whatever is there.")] = False,
) -> None:
    home = run / "refit" if refit else run
    out, work_dir = home / "ranker", home / "work" / "ranker"
    parents = {
        "data": artifacts.read(run / "data", kind=DATA_KIND),
        "embeddings": artifacts.read(run / "embeddings", kind=EMBEDDINGS_KIND),
        "two_tower": artifacts.read(home / "two_tower", kind=TWO_TOWER_KIND),
    }
    ranker_config = RankerConfig(seed=seed)
    if refit:
        num_trees = int(Ranker.load(run / "ranker").result["num_trees"])
        ranker_config = replace(ranker_config, num_trees=num_trees)
    config = {"ranker": asdict(ranker_config), "split": str(split), "refit": refit}
    if not force and artifacts.is_current(
        out, kind=RANKER_KIND, config=config, seed=seed, parents=parents
    ):
        console.say(f"{out} is up to date")
        return
    if force:
        discard_checkpoint(work_dir)
    dataset = InteractionDataset.load(run / "data")
    parts = split_histories(dataset.histories, split)
    ranker = train_ranker(
        dataset.histories if refit else parts.train,
        ItemEmbeddings.load(run / "embeddings").vectors,
        dataset.catalogue,
        TwoTower.load(home / "two_tower"),
        ranker_config,
        validation=None if refit else parts.validation,
        mask_seen=dataset.repeats is Repeats.MASK,
        work_dir=work_dir,
    )
    ranker.save(out, config=config, parents=parents)
    discard_checkpoint(work_dir)
    console.say(f"{out}: {summary(ranker)}")


def summary(ranker: Ranker) -> str:
    """What a person wants to know of the training."""
    result = ranker.result
    text = (
        f"{result['num_trees']} trees; the sources found the answers of "
        f"{result['retrieved_share']:.1%} of {result['questions']:,} questions"
    )
    if "validation" in result:
        metrics = result["validation"]
        first = ranker.sources[0]
        text += (
            f"; validation recall@10 {metrics['ranked.recall@10']:.4f} "
            f"({first} alone {metrics[f'{first}.recall@10']:.4f})"
        )
    return text


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
