"""Items that no one has used: what do people get of them who wanted one?

`python -m benchmarks.unseen_items --run runs/beauty --precision bf16`

5 % of the items are held out: no event with them is trained on, by the retriever, the Semantic
IDs or the generator; their codes are assigned afterwards, one by one, from their texts alone. Asked
are the test questions whose target is one of them, with all items ranked and seen ones masked; and,
for comparison, the same with only the held-out items permitted, and all other test questions.
Histories are as they are, held-out items included. The weights of `combined` and the fading of the
texts' neighbours are chosen on validation questions about other items.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer
from torch import Tensor

from benchmarks.accuracy_methods import (
    GENERATOR_EPOCHS,
    Subject,
    Trial,
    best_by,
    ids_at,
    listed,
    three_modes,
)
from benchmarks.accuracy_rows import MAIN, Answer, answer_all, figures_of, provenance
from benchmarks.held_out import HELD_OUT, fit_without, hold_out, record_without, without
from benchmarks.markdown import markdown_table
from genrec import console
from genrec.evaluation import EvaluationTask
from genrec.generator import GenerativeRecommender, GeneratorTraining, fit_generator
from genrec.generator.combination import Weights
from genrec.generator.source import choose_combination
from genrec.interactions import RequestBatch, Source
from genrec.retrieval import ItemItemSource
from genrec.semantic_ids import SemanticIds, SemanticIdStore
from genrec.training import Precision, discard_checkpoint

app = console.program(__doc__)

OUT = Path("docs/results/unseen_items.json")
FADINGS = (0.2, 0.4, 0.6, 0.8, 1.0)

Rows = npt.NDArray[np.int64]


@app.command()
def benchmark(
    run: Annotated[Path, typer.Option(help="A run folder with data/ and embeddings/.")],
    seed: Annotated[int, typer.Option(help="Of the draw and of all trainings.", min=0)] = 0,
    precision: Annotated[
        Precision, typer.Option(help="Of the products in training; answers are fp32.")
    ] = Precision.FP32,
    out: Annotated[Path, typer.Option(help="The JSON to write.")] = OUT,
    work: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("runs/unseen_items"),
) -> None:
    """Holds items out, trains without them, adds them, and asks for them."""
    subject = Subject(run)
    held, fitted = hold_out(subject.num_items, np.random.default_rng(seed))
    trial = Trial(seed=seed, home=work / subject.dataset.name / str(seed), precision=precision)
    experiment = Experiment(subject=subject, held=held, fitted=fitted, trial=trial)
    model = experiment.generator()
    fading, _ = best_by(FADINGS, experiment.text_neighbours, experiment.validation)
    answers = (three_modes(model), listed(experiment.text_neighbours(fading)))
    report = {
        "dataset": subject.dataset.name,
        "seed": seed,
        "held_out": HELD_OUT,
        "num_held_out": len(held),
        "combination": asdict(Weights.of(model.config)),
        "text_fading": fading,
        "figures": experiment.figures(answers),
        **provenance(["python", "-m", "benchmarks.unseen_items", *sys.argv[1:]]),
    }
    out.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    discard_checkpoint(trial.home)
    print(markdown(report["figures"]))
    console.say(f"wrote {out}")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A catalogue of which a part is new after everything has been trained."""

    subject: Subject
    held: Rows
    """int64, rising: new items."""
    fitted: Rows
    """int64, rising: all others."""
    trial: Trial

    @property
    def validation(self) -> EvaluationTask:
        """The sample of validation questions that are not about new items."""
        task = self.subject.selection
        known = ~np.isin(task.questions.target, self.held)
        return replace(task, questions=task.questions.select(np.flatnonzero(known)))

    def generator(self) -> GenerativeRecommender:
        """Trained without the new items, over a catalogue that has them."""
        subject, trial = self.subject, self.trial
        ids = self._ids()
        settings = trial.settings(GeneratorTraining(), num_epochs=GENERATOR_EPOCHS)
        model, _ = fit_generator(
            without(subject.split.train, self.held),
            self._codes(ids),
            ids.codebook_sizes,
            subject.content,
            settings,
            judge=None,
            work_dir=trial.home,
            identity={"settings": asdict(settings), "held_out": HELD_OUT, **subject.digests},
        )
        choose_combination(model, self.validation.questions, mask_seen=subject.masks)
        return model

    def text_neighbours(self, fading: float) -> Source:
        """Items whose texts are like those of the history, recent events before older ones."""
        content = self.subject.content
        unit = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), 1e-9)
        return ItemItemSource("text_knn", unit @ unit.T, fading=fading)

    def figures(self, answers: tuple[Answer, ...]) -> dict[str, Any]:
        """By the kind of question and the method: recall, ndcg, interval, number of people."""
        test = self.subject.split.test
        is_new = np.isin(test.target, self.held)
        about_new = test.select(np.flatnonzero(is_new))
        new_alone = torch.zeros(1, self.subject.num_items, dtype=torch.bool)
        new_alone[0, self.held] = True
        asked = {
            "about new items": (about_new, None),
            "about new items, only they permitted": (about_new, new_alone),
            "about all others": (test.select(np.flatnonzero(~is_new)), None),
        }
        found: dict[str, Any] = {}
        for kind, (questions, allowed) in asked.items():
            found[kind] = {}
            for answer in answers:
                ranks = answer_all(permitting(answer, allowed), questions, MAIN, kind)
                found[kind] |= {name: figures_of(each) for name, each in ranks.items()}
        return found

    def _ids(self) -> SemanticIds:
        subject, seed = self.subject, self.trial.seed
        return ids_at(
            self.trial.home / "semantic_ids",
            {**subject.digests, **record_without(seed)},
            seed,
            lambda: fit_without(
                subject.split.train,
                subject.content,
                self.fitted,
                seed=seed,
                work=self.trial.home / "two_tower",
            ),
        )

    def _codes(self, ids: SemanticIds) -> npt.NDArray[np.uint16]:
        """uint16 [N, L]: of the whole catalogue, in its order; new items by their texts alone."""
        store = SemanticIdStore.open(self.trial.home / "semantic_ids")
        names = self.subject.dataset.catalogue.ids(self.held)
        if len(store.codes) == len(self.fitted):
            store.add(names, self.subject.content[self.held])
        codes = np.empty((self.subject.num_items, ids.codes.shape[1]), dtype=np.uint16)
        codes[np.concatenate([self.fitted, self.held])] = store.codes
        return codes


def permitting(answer: Answer, allowed: Tensor | None) -> Answer:
    """The same method where only these items, bool [1, N], may be given; None permits all."""

    def permitted(requests: RequestBatch) -> Mapping[str, Tensor]:
        return answer(replace(requests, allowed=allowed))

    return permitted


def read_figures(path: Path = OUT) -> dict[str, Any]:
    """What was measured last."""
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return figures


def markdown(figures: Mapping[str, Any]) -> str:
    """The figures as a table."""
    methods = list(next(iter(figures.values())))
    rows = []
    for kind, found in figures.items():
        cells = [f"{each['recall@10']:.4f} / {each['ndcg@10']:.4f}" for each in found.values()]
        people = next(iter(found.values()))["num_people"]
        rows.append([kind, f"{people:,}", *cells])
    return markdown_table(["R@10 / N@10", "people", *(f"`{name}`" for name in methods)], rows)


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
