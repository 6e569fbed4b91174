"""Which Semantic IDs make the best generator: tokenizer by tokenizer, input by input.

`python -m benchmarks.tokenizers --run runs/beauty --out docs/results/tokenizers.json`

A run folder needs `data/`, `embeddings/` and `two_tower/`. Every arm makes codes for the same
catalogue; the same generator is trained on them with the same seeds, and answers every validation
and test question. Interrupted, the same command goes on: what stands finished in --work or --out,
made with the same settings from the same data, is not trained again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer

from genrec import console
from genrec.embeddings import CoOccurrenceConfig, ItemEmbeddings, collaborative_vectors
from genrec.evaluation import EvaluationTask, describe_environment, evaluate_source
from genrec.generator import GeneratorSource, GeneratorTraining, Mode, fit_generator
from genrec.interactions import InteractionDataset, Protocol, Split, split_histories
from genrec.retrieval import read_item_vectors
from genrec.semantic_ids import (
    COLLABORATIVE,
    Modality,
    ProductConfig,
    ResidualKMeansConfig,
    RqVaeConfig,
    SemanticIds,
    TokenizerConfig,
    Whitening,
    fit_semantic_ids,
    tokenizer_record,
)
from genrec.training import discard_checkpoint

from .tokenizer_runs import Run, find_runs, load_runs, markdown, save_run, write_results

app = console.program(__doc__)

MODES = (Mode.GENERATIVE, Mode.DENSE)

Codes = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Subject:
    """One data set that the arms are compared on."""

    run: Path

    @cached_property
    def dataset(self) -> InteractionDataset:
        """The checked log."""
        return InteractionDataset.load(self.run / "data")

    @cached_property
    def split(self) -> Split:
        """Leave-last-out."""
        return split_histories(self.dataset.histories, Protocol.LEAVE_LAST_OUT)

    @cached_property
    def text(self) -> npt.NDArray[np.float32]:
        """float32 [N, D]: the items' texts."""
        return ItemEmbeddings.load(self.run / "embeddings").vectors

    @cached_property
    def co_occurrence(self) -> ItemEmbeddings:
        """Learnt from the training histories alone."""
        return collaborative_vectors(self.split.train, self.dataset.num_items, CoOccurrenceConfig())

    @cached_property
    def two_tower(self) -> ItemEmbeddings:
        """The item vectors of the run's retriever; validation chose how long it trained."""
        return read_item_vectors(self.run / "two_tower")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of items and histories: the same wherever and whenever they were imported."""
        histories = self.dataset.histories
        digest = hashlib.sha256("\n".join(self.dataset.catalogue.item_ids).encode())
        digest.update(histories.item_index.tobytes())
        digest.update(histories.offsets.tobytes())
        return digest.hexdigest()

    def task(self, part: str) -> EvaluationTask:
        """All validation or all test questions."""
        return EvaluationTask(
            questions=getattr(self.split, part),
            num_items=self.dataset.num_items,
            repeats=self.dataset.repeats,
        )


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to make codes."""

    config: TokenizerConfig | None
    """None draws codes at random."""
    text: bool = True
    """Whether the texts are read."""
    learnt: str = ""
    """Which vectors learnt from histories are read: co_occurrence, two_tower, or none."""
    weight: float = 1.0
    """Of the learnt vectors, against 1 for the texts."""

    def fit(self, subject: Subject, seed: int) -> SemanticIds:
        """The Semantic IDs of a data set."""
        assert self.config is not None
        config = replace(self.config, seed=seed)
        if not self.learnt:
            return fit_semantic_ids(subject.text, config)
        learnt: ItemEmbeddings = getattr(subject, self.learnt)
        if not self.text:
            return fit_semantic_ids(learnt.vectors, config)
        modality = Modality(
            vectors=learnt.vectors, weight=self.weight, confidence=learnt.confidence
        )
        return fit_semantic_ids(subject.text, config, modalities={COLLABORATIVE: modality})


SPINE = RqVaeConfig(whitening=Whitening.STANDARDISE, latent_width=64)
"""What read the texts alone before there was a comparison."""
ALIGNED = RqVaeConfig(alignment_weight=300.0)
ARMS: dict[str, Arm] = {
    "random": Arm(config=None, text=False),
    "rqvae-text": Arm(config=SPINE),
    "rkmeans-text": Arm(config=ResidualKMeansConfig()),
    "rqvae-co-occurrence": Arm(config=RqVaeConfig(), learnt="co_occurrence"),
    "rkmeans-co-occurrence": Arm(config=ResidualKMeansConfig(), learnt="co_occurrence"),
    "rqvae-two-tower": Arm(config=RqVaeConfig(), learnt="two_tower", weight=4.0),
    "rqvae-two-tower-even": Arm(config=RqVaeConfig(), learnt="two_tower"),
    "rqvae-aligned": Arm(config=ALIGNED, learnt="two_tower"),
    "rkmeans-two-tower": Arm(config=ResidualKMeansConfig(), learnt="two_tower", weight=4.0),
    "opq-two-tower": Arm(config=ProductConfig(), learnt="two_tower", weight=4.0),
}


def random_codes(num_items: int, num_levels: int, num_codes: int, seed: int) -> Codes:
    """uint16 [N, L]: unique rows, drawn without replacement."""
    drawn = np.random.default_rng(seed).choice(num_codes**num_levels, num_items, replace=False)
    digits = [drawn // num_codes**level % num_codes for level in reversed(range(num_levels))]
    return np.stack(digits, axis=1).astype(np.uint16)


@app.command()
def benchmark(
    run: Annotated[list[Path], typer.Option(help="A run folder; give it again for another.")],
    out: Annotated[Path, typer.Option(help="The JSON to write; ranks go beside it as .npz.")],
    arm: Annotated[
        list[str] | None, typer.Option(help=f"Arms, of {', '.join(ARMS)}; all if left out.")
    ] = None,
    first_seed: Annotated[int, typer.Option(help="The first seed.", min=0)] = 0,
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 1,
    epochs: Annotated[int, typer.Option(help="Epochs of each generator.", min=1)] = 10,
    work: Annotated[Path, typer.Option(help="Where finished runs stand.")] = Path(
        "runs/tokenizers"
    ),
) -> None:
    """Trains what is not trained yet, then writes and prints the table of everything."""
    for folder in run:
        subject = Subject(folder)
        for seed in range(first_seed, first_seed + seeds):
            for name in arm or ARMS:
                measure(subject, name, seed, epochs, work, load_runs(out) | find_runs(work))
    runs = load_runs(out) | find_runs(work)
    write_results(
        out, runs, describe_environment(["python", "-m", "benchmarks.tokenizers", *sys.argv[1:]])
    )
    print(markdown(json.loads(out.read_text())["arms"]))
    console.say(f"wrote {out} and {out.with_suffix('.npz')}")


def measure(
    subject: Subject, name: str, seed: int, epochs: int, work: Path, finished: dict[str, Run]
) -> None:
    """Trains and asks one arm, unless it is finished."""
    base = GeneratorTraining()
    settings = replace(base, training=replace(base.training, num_epochs=epochs, seed=seed))
    identity = {
        "arm": as_json(ARMS[name]),
        "generator": json.loads(json.dumps(asdict(settings))),
        "data": subject.digest,
    }
    title = f"{subject.dataset.name}/{name}-{seed}"
    if title in finished and finished[title].record["identity"] == identity:
        console.say(f"{title} is finished")
        return
    codes, sizes, health = codes_of(subject, ARMS[name], seed)
    home = work / title
    model, fitted = fit_generator(
        subject.split.train,
        codes,
        sizes,
        subject.text,
        settings,
        judge=None,
        work_dir=home,
        identity=identity,
    )
    ranks = {
        f"{part} {mode}": evaluate_source(
            GeneratorSource(model, mode), subject.task(part), label=f"{title} {part} {mode}"
        ).ranks[:, 0]
        for part in ("validation", "test")
        for mode in MODES
    }
    record = {
        "arm": name,
        "dataset": subject.dataset.name,
        "seed": seed,
        "tokenizer": health,
        "codes": hashlib.sha256(codes.tobytes()).hexdigest(),
        "train_seconds": fitted.train_seconds,
        "threads": torch.get_num_threads(),
        "identity": identity,
    }
    small = {key: values.astype(np.uint8) for key, values in ranks.items()}
    save_run(home, Run(record=record, ranks=small))
    discard_checkpoint(home)
    console.say(f"wrote {home / 'run.json'}")


def as_json(arm: Arm) -> dict[str, Any]:
    """All that decides an arm's codes, as it reads back from JSON."""
    tokenizer = tokenizer_record(arm.config) if arm.config else {}
    inputs = {"text": arm.text, "learnt": arm.learnt, "weight": arm.weight}
    return dict(json.loads(json.dumps({**tokenizer, **inputs})))


def codes_of(
    subject: Subject, arm: Arm, seed: int
) -> tuple[Codes, tuple[int, ...], dict[str, Any]]:
    """Unique codes, their sizes, and how sound they are."""
    if arm.config is None:
        default = RqVaeConfig()
        sizes = (default.num_codes,) * default.num_levels
        return random_codes(subject.dataset.num_items, len(sizes), sizes[0], seed), sizes, {}
    ids = arm.fit(subject, seed)
    return ids.codes, ids.codebook_sizes, ids.health.to_json()


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
