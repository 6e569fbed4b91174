"""Trains the ranker of a run on candidates whose sources never saw its labels."""

from __future__ import annotations

from dataclasses import asdict, replace

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

from .common import (
    ForceOption,
    RefitOption,
    RunOption,
    SeedOption,
    SplitOption,
    home_of,
    nothing_to_do,
    refuse_other_split,
)

app = console.program(__doc__)


@app.command()
def train(
    run: RunOption,
    seed: SeedOption = 0,
    split: SplitOption = Protocol.LEAVE_LAST_OUT,
    refit: RefitOption = False,
    force: ForceOption = False,
) -> None:
    home = home_of(run, refit)
    out, work_dir = home / "ranker", home / "work" / "ranker"
    parents = {
        "data": artifacts.read(run / "data", kind=DATA_KIND),
        "embeddings": artifacts.read(run / "embeddings", kind=EMBEDDINGS_KIND),
        "two_tower": artifacts.read(home / "two_tower", kind=TWO_TOWER_KIND),
    }
    refuse_other_split(parents["two_tower"], split, refit=refit)
    ranker_config = RankerConfig(seed=seed)
    if refit:
        num_trees = int(Ranker.load(run / "ranker").result["num_trees"])
        ranker_config = replace(ranker_config, num_trees=num_trees)
    config = {"ranker": asdict(ranker_config), "split": str(split), "refit": refit}
    if nothing_to_do(
        out, work_dir, kind=RANKER_KIND, config=config, seed=seed, parents=parents, force=force
    ):
        return
    dataset = InteractionDataset.load(run / "data")
    parts = split_histories(dataset.histories, split)
    ranker = train_ranker(
        dataset.histories if refit else parts.train,
        ItemEmbeddings.load(run / "embeddings", num_items=dataset.num_items).vectors,
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
