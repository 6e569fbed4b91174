"""Trains the generator of a run: encoder, Semantic-ID decoder and dense head together."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from genrec import artifacts, console
from genrec.embeddings import EMBEDDINGS_KIND, ItemEmbeddings
from genrec.evaluation import EvaluationTask, curve_table, describe_environment, judge
from genrec.generator import (
    GENERATOR_KIND,
    GenerativeRecommender,
    GeneratorTraining,
    TrainingFacts,
    choose_combination,
    fit_generator,
    load_fit_result,
    load_generator,
    save_generator,
)
from genrec.generator.combination import Weights
from genrec.generator.fitting import SELECTION_METRIC
from genrec.interactions import (
    DATA_KIND,
    EventLog,
    Histories,
    HistoryShards,
    InteractionDataset,
    Protocol,
    Repeats,
    describe,
    describe_log,
    split_histories,
)
from genrec.semantic_ids import SEMANTIC_IDS_KIND, SemanticIds
from genrec.training import FitResult, Precision, chosen_precision, discard_checkpoint
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
    refuse_other_split,
    throughput,
)

VALIDATION_QUESTIONS = 3000

StreamOption = Annotated[
    bool,
    typer.Option(help="Read the log from disk while training, for one that is larger than memory."),
]

app = console.program(__doc__)


@app.command()
def train(
    run: RunOption,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    split: SplitOption = Protocol.LEAVE_LAST_OUT,
    refit: RefitOption = False,
    precision: PrecisionOption = None,
    stream: StreamOption = False,
    force: ForceOption = False,
) -> None:
    home = home_of(run, refit)
    out, work_dir = home / "generator", home / "work" / "generator"
    parents = {
        "data": artifacts.read(run / "data", kind=DATA_KIND),
        "embeddings": artifacts.read(run / "embeddings", kind=EMBEDDINGS_KIND),
        "semantic_ids": artifacts.read(run / "semantic_ids", kind=SEMANTIC_IDS_KIND),
    }
    refuse_other_split(parents["semantic_ids"], split, refit=refit)
    settings = with_epochs(
        GeneratorTraining(), epochs or (epochs_chosen(run) if refit else None), seed
    )
    settings = with_precision(settings, chosen_precision(precision))
    config = {"generator": asdict(settings), "split": str(split), "refit": refit, "stream": stream}
    if nothing_to_do(
        out, work_dir, kind=GENERATOR_KIND, config=config, seed=seed, parents=parents, force=force
    ):
        return
    histories, task = (
        streamed_data(run / "data", split, work_dir / "shards", refit=refit, seed=seed)
        if stream
        else loaded_data(run / "data", split, refit=refit, seed=seed)
    )
    ids = SemanticIds.load(run / "semantic_ids")
    model, result = fit_generator(
        histories,
        ids.codes,
        ids.codebook_sizes,
        ItemEmbeddings.load(run / "embeddings", num_items=len(ids.codes)).vectors,
        settings,
        judge=None if refit else partial(judge, task=task),
        work_dir=work_dir,
        identity={**config, "parents": {name: each.digest for name, each in parents.items()}},
    )
    if not processes().is_main_process:
        return
    weigh_voices(model, run, task, refit=refit)
    facts = TrainingFacts(
        data=described(run / "data", stream=stream),
        protocol=split,
        refit=refit,
        num_validation_questions=0 if refit else len(task),
        settings=settings,
        environment=describe_environment(["genrec", "train", "generator"]),
        num_processes=processes().num_processes,
    )
    save_generator(out, model, result, facts=facts, config=config, seed=seed, parents=parents)
    discard_checkpoint(work_dir)
    shutil.rmtree(work_dir / "shards", ignore_errors=True)
    console.show(curve_table(result, SELECTION_METRIC))
    console.say(f"{out}: {summary(model, result)}")


def weigh_voices(
    model: GenerativeRecommender, run: Path, task: EvaluationTask, *, refit: bool
) -> None:
    """Sets the weights of `combined` by validation; a refit takes those that were chosen before."""
    if refit:
        Weights.of(load_generator(run / "generator").config).put_into(model.config)
    else:
        choose_combination(model, task.questions, mask_seen=task.repeats is Repeats.MASK)


def described(data: Path, *, stream: bool) -> dict[str, Any]:
    """What the model card says of the data; a log that was streamed is not loaded for it."""
    return describe_log(EventLog(data)) if stream else describe(InteractionDataset.load(data))


def with_epochs(settings: GeneratorTraining, epochs: int | None, seed: int) -> GeneratorTraining:
    """The same settings with these epochs (None: as they are) and this seed."""
    epochs = settings.training.num_epochs if epochs is None else epochs
    return replace(settings, training=replace(settings.training, num_epochs=epochs, seed=seed))


def with_precision(settings: GeneratorTraining, precision: Precision) -> GeneratorTraining:
    """The same settings, computed in this precision."""
    return replace(settings, training=replace(settings.training, precision=precision))


def epochs_chosen(run: Path) -> int:
    """The epochs that validation chose for RUN/generator."""
    return load_fit_result(run / "generator").best_epoch


def loaded_data(
    data: Path, split: Protocol, *, refit: bool, seed: int
) -> tuple[Histories, EvaluationTask]:
    """What is learnt from, all in memory, and a sample of the validation questions."""
    dataset = InteractionDataset.load(data)
    parts = split_histories(dataset.histories, split)
    questions = parts.validation.sample(VALIDATION_QUESTIONS, seed)
    task = EvaluationTask(questions=questions, num_items=dataset.num_items, repeats=dataset.repeats)
    return dataset.histories if refit else parts.train, task


def streamed_data(
    data: Path, split: Protocol, folder: Path, *, refit: bool, seed: int
) -> tuple[HistoryShards, EvaluationTask]:
    """The same, the histories as shards in a folder; the main process writes them."""
    log = EventLog(data)
    shards = HistoryShards(folder)
    if processes().is_main_process:
        log.write_shards(shards.folder, None if refit else split)
    processes().wait_for_everyone()
    questions = log.validation_sample(VALIDATION_QUESTIONS, seed)
    return shards, EvaluationTask(questions=questions, num_items=log.num_items, repeats=log.repeats)


def summary(model: GenerativeRecommender, result: FitResult) -> str:
    """What a person wants to know of the training."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    text = (
        f"{parameters:,} parameters, best after {result.best_epoch} of {len(result.curve)} "
        f"epochs, {result.train_seconds:.0f} s, {throughput(result)}"
    )
    metrics = ", ".join(
        f"{name} {value:.4f}" for name, value in result.best_metrics.items() if " " in name
    )
    chosen = Weights.of(model.config)
    weights = (
        f"{chosen.generative:.2f} generative, {chosen.followed:.1f} followers, "
        f"{chosen.content:.1f} content"
    )
    return f"{text}; combination weights {weights}" + (f"; validation {metrics}" if metrics else "")


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
