"""One row of the accuracy tables: trains a method, asks it about everybody, writes what it found.

`python -m benchmarks.accuracy train --run runs/beauty --method generator`

A run folder needs `data/`, `embeddings/` and `semantic_ids/`; the split is the one that its
Semantic IDs learnt from. All items are ranked, all people are asked, validation and test; metrics
are at item level. With `--everything` the test is also asked with the histories cut to 20 events,
with seen items allowed, and with the order of each history shuffled. Interrupted, the same command
goes on.
`python -m benchmarks.accuracy tables` prints what stands in the file, with paired differences.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import tuning, unseen_items
from benchmarks.accuracy_methods import METHODS, TUNED, Subject, Trial, fit_method
from benchmarks.accuracy_rows import (
    MAIN,
    OTHERS,
    TRAINED_HISTORY,
    Ranks,
    Rows,
    answer_all,
    figures_of,
    provenance,
    segment_figures,
)
from benchmarks.accuracy_tables import summary, tables
from benchmarks.markdown import put_between_marks
from genrec import console
from genrec.errors import InputError
from genrec.evaluation import segments_of, shuffled_task
from genrec.training import Precision, discard_checkpoint

app = console.program(__doc__)

OutOption = Annotated[Path, typer.Option(help="The JSON of all rows; ranks go beside it as .npz.")]
OUT = Path("docs/results/accuracy.json")
README, PAGE = Path("README.md"), Path("docs/accuracy.md")
SHUFFLE_SEED = 0


@app.command()
def train(
    run: Annotated[Path, typer.Option(help="A run folder.")],
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")],
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0)] = 0,
    everything: Annotated[bool, typer.Option(help="Other histories and policies too.")] = False,
    precision: Annotated[
        Precision, typer.Option(help="Of the products in training; answers are fp32.")
    ] = Precision.FP32,
    out: OutOption = OUT,
    work: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("runs/accuracy"),
) -> None:
    """Measures one method with one seed on one run."""
    if method not in METHODS:
        raise InputError(f"--method must be one of {', '.join(METHODS)}, got {method}")
    subject, rows = Subject(run), Rows(out)
    name = f"{subject.dataset.name}/{subject.protocol}/{method}-{seed}"
    asked = [("validation", MAIN), ("test", MAIN)]
    asked += [("test", variant) for variant in OTHERS if everything]
    tuned = TUNED.get(method, {})
    trial = Trial(seed=seed, home=work / name, precision=precision, changes=tuned)
    fitted = fit_method(subject, method, trial)
    facts = {
        "dataset": subject.dataset.name,
        "split": str(subject.protocol),
        "seed": seed,
        "parameters": fitted.num_parameters,
        "train_seconds": round(fitted.train_seconds, 1),
        "items_per_second": round(fitted.items_per_second, 1),
        "padding_waste": round(fitted.padding_waste, 4),
        "precision": str(precision),
        "settings": dict(fitted.settings),
        **provenance(["python", "-m", "benchmarks.accuracy", *sys.argv[1:]]),
    }
    uncut: dict[bool, Mapping[str, Ranks]] = {}  # of the test, by whether seen items are masked
    for part, variant in asked:
        task = subject.task(part)
        if variant.shuffled:
            task = shuffled_task(task, SHUFFLE_SEED, TRAINED_HISTORY)
        label = f"{name} {part}, {variant.label}"
        known = uncut[variant.seen_masked] if variant.history < TRAINED_HISTORY else None
        found = answer_all(fitted.answer, task.questions, variant, label, known)
        if part == "test" and known is None and not variant.shuffled:
            uncut[variant.seen_masked] = found
        for row_name, ranks in found.items():
            figures = figures_of(ranks)
            if (part, variant) == ("test", MAIN):
                segments = segments_of(subject.split, task, TRAINED_HISTORY)
                figures["segments"] = segment_figures(segments, ranks)
            identity = {"method": row_name, "part": part, **asdict(variant)}
            rows.add(facts | identity | figures, ranks if variant == MAIN else None)
            recall, gain = figures["recall@10"], figures["ndcg@10"]
            console.say(f"{label}: {row_name} R@10 {recall:.4f}, N@10 {gain:.4f}")
    discard_checkpoint(work / name)
    console.say(f"wrote {out} and {out.with_suffix('.npz')}")


@app.command("tables")
def print_tables(
    out: OutOption = OUT,
    write: Annotated[bool, typer.Option(help="Into README.md and docs/accuracy.md, too.")] = False,
) -> None:
    """Prints what has been measured as Markdown."""
    rows = Rows(out)
    print(tables(rows))
    if write:
        for (path, name), text in texts(rows).items():
            put_between_marks(path, name, text)
        console.say(f"wrote {README} and {PAGE}")


def texts(rows: Rows) -> dict[tuple[Path, str], str]:
    """What belongs into which document, between which marks."""
    return {
        (README, "accuracy tables"): summary(rows),
        (PAGE, "accuracy tables"): tables(rows),
        (PAGE, "tuning log"): tuning.markdown(tuning.read_log(tuning.LOG)),
        (PAGE, "unseen items"): unseen_items.markdown(unseen_items.read_figures()),
    }


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
