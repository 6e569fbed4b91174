"""What settings were tried: for every learnt method eight trials of about five minutes each.

The generator has two more, of what it was given later.
`python -m benchmarks.tuning --run runs/beauty --method sasrec --precision bf16`

Trials look at validation alone, at the same sample of people for all, and none of them chooses its
epoch there: the weights after the last one are measured. How many epochs a trial has is what one
core does in about five minutes (an AMD EPYC with AVX512-BF16, one thread, `--precision bf16`).
What is best by far is what the tables are made with, on every data set
(`accuracy_methods.TUNED`, where it is not the default). The log is docs/results/tuning.json; trials
that stand in it are not run again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.accuracy_methods import VALIDATION_QUESTIONS, Subject, Trial, fit_method
from benchmarks.accuracy_rows import MAIN, answer_all, figures_of, provenance
from benchmarks.markdown import markdown_table
from benchmarks.results import alone_with, write_text
from genrec import console
from genrec.errors import InputError
from genrec.training import Precision, discard_checkpoint

app = console.program(__doc__)

Changes = Mapping[str, Any]

LOG = Path("docs/results/tuning.json")
EPOCHS, RATE, DECAY = "training.num_epochs", "training.learning_rate", "training.weight_decay"
TAUGHT = "taught_share"
TRIALS: dict[str, tuple[Changes, ...]] = {
    "generator": (
        {EPOCHS: 8, TAUGHT: 0.0},
        {EPOCHS: 8, TAUGHT: 0.0, "node_residuals": False},
        {EPOCHS: 8, TAUGHT: 0.0, "dropout": 0.3},
        {EPOCHS: 8, TAUGHT: 0.0, "item_dropout": 0.1},
        {EPOCHS: 8, TAUGHT: 0.0, RATE: 3e-3},
        {EPOCHS: 6, TAUGHT: 0.0, "width": 192},
        {EPOCHS: 10, TAUGHT: 0.0, "encoder_layers": 1},
        {EPOCHS: 6, TAUGHT: 0.0, "decoder_layers": 2},
        {EPOCHS: 8},
        {EPOCHS: 8, RATE: 3e-3},
    ),
    "sasrec": (
        {EPOCHS: 15, RATE: 1e-3, "dropout": 0.5},
        {EPOCHS: 15, RATE: 2e-3, "dropout": 0.3},
        {EPOCHS: 17, RATE: 2e-3, "num_layers": 1, "dropout": 0.5},
        {EPOCHS: 17, RATE: 4e-3, "num_layers": 1, "dropout": 0.5},
        {EPOCHS: 17, RATE: 2e-3, "num_layers": 1, "dropout": 0.6},
        {EPOCHS: 17, RATE: 2e-3, "num_layers": 1, "dropout": 0.5, DECAY: 0.1},
        {EPOCHS: 28, RATE: 2e-3, "num_layers": 1, "dropout": 0.5, "width": 64},
        {EPOCHS: 9, RATE: 2e-3, "num_layers": 1, "dropout": 0.5, "width": 256},
    ),
    "two_tower": (
        {EPOCHS: 12},
        {EPOCHS: 12, "temperature": 0.05},
        {EPOCHS: 12, "temperature": 0.1},
        {EPOCHS: 12, "dropout": 0.4},
        {EPOCHS: 12, RATE: 1e-3},
        {EPOCHS: 12, "batch_events": 2048},
        {EPOCHS: 12, "width": 128, "hidden_width": 256},
        {EPOCHS: 12, "id_dropout": 0.0},
    ),
}
"""What each changes of a method's defaults."""

MethodOption = Annotated[str, typer.Option(help=f"One of {', '.join(TRIALS)}.")]


@app.command()
def tune(
    run: Annotated[Path, typer.Option(help="A run folder.")],
    method: MethodOption,
    precision: Annotated[
        Precision, typer.Option(help="Of the products in training; answers are fp32.")
    ] = Precision.FP32,
    out: Annotated[Path, typer.Option(help="The JSON of all trials.")] = LOG,
    work: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("runs/tuning"),
) -> None:
    """Runs the trials of one method that are not in the log, and prints them all, best first."""
    if method not in TRIALS:
        raise InputError(f"--method must be one of {', '.join(TRIALS)}, got {method}")
    subject = Subject(run)
    for number, changes in enumerate(TRIALS[method]):
        identity = {"dataset": subject.dataset.name, "method": method, "changes": dict(changes)}
        if not any(identity.items() <= each.items() for each in read_log(out)):
            home = work / subject.dataset.name / f"{method}-{number}"
            trial = Trial(seed=0, home=home, precision=precision, changes=changes, is_judged=False)
            record = identity | measured(subject, method, trial)
            with alone_with(out):
                write_log(out, [*read_log(out), record])
            discard_checkpoint(home)
    print(markdown([each for each in read_log(out) if each["method"] == method]))
    console.say(f"wrote {out}")


def measured(subject: Subject, method: str, trial: Trial) -> dict[str, Any]:
    """What a trial gave on the sample of validation."""
    fitted = fit_method(subject, method, trial)
    questions = subject.selection.questions
    label = f"{method} {dict(trial.changes)}"
    ranks = answer_all(fitted.answer, questions, MAIN, label)
    figures = {name: figures_of(each) for name, each in ranks.items()}
    return {
        "validation": figures,
        "score": float(np.mean([figures[name]["ndcg@10"] for name in judged_by(figures)])),
        "questions": VALIDATION_QUESTIONS,
        "parameters": fitted.num_parameters,
        "train_seconds": round(fitted.train_seconds, 1),
        "precision": str(trial.precision),
        **provenance(["python", "-m", "benchmarks.tuning", *sys.argv[1:]]),
    }


def judged_by(figures: Mapping[str, Any]) -> list[str]:
    """Whose ndcg@10 decides: of a generator both heads', for `combined` has weights of its own."""
    heads = [name for name in figures if name in ("generative", "dense")]
    return heads or list(figures)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The trials that stand in the file."""
    if not path.is_file():
        return []
    trials: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["trials"]
    return trials


def write_log(path: Path, trials: list[dict[str, Any]]) -> None:
    """All trials, in place of what stood there."""
    write_text(path, json.dumps({"trials": trials}, indent=1, allow_nan=False) + "\n")


def markdown(trials: list[dict[str, Any]]) -> str:
    """The trials as one table, method by method, best first."""
    ranked = sorted(trials, key=lambda trial: (trial["method"], -trial["score"]))
    return markdown_table(
        ("method", "changed", "validation R@10 / N@10", "training s"),
        [
            (
                each["method"],
                ", ".join(f"{name} {value}" for name, value in each["changes"].items()),
                "; ".join(
                    f"`{name}` {found['recall@10']:.4f} / {found['ndcg@10']:.4f}"
                    for name, found in each["validation"].items()
                ),
                f"{each['train_seconds']:.0f}",
            )
            for each in ranked
        ],
    )


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
