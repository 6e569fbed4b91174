"""Compares every way of recommending on the same people, and writes the report."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from genrec import artifacts, console
from genrec.embeddings import ItemEmbeddings
from genrec.errors import InputError
from genrec.evaluation import (
    REPORT_KIND,
    CompareConfig,
    PredictionReading,
    compare,
    comparison_table,
    describe_environment,
    headline,
    save_report,
)
from genrec.funnel import MODELS, load_sources, trained_split
from genrec.interactions import (
    Histories,
    InteractionDataset,
    Protocol,
    split_histories,
    table_digest,
)
from genrec.interactions.options import TextOptions
from genrec.option_records import OptionRecord, takes_records
from genrec.retrieval import TWO_TOWER_KIND, read_item_vectors
from genrec.semantic_ids import (
    Inspection,
    SemanticIds,
    categories_of,
    find_embeddings,
    find_parent,
    ids_picture,
    inspect_ids,
)

PARENTS = ("data", "semantic_ids", *MODELS)
REPORT_FORMAT = 2
"""Grows when a report holds more than it did, so that an older one is not taken for current."""

app = console.program(__doc__)


@dataclass(frozen=True, kw_only=True)
class PredictionOptions(OptionRecord):
    """How --predictions are read."""

    user: Annotated[str, typer.Option(help="Column of the user ids in --predictions.")] = "user_id"
    item: Annotated[str, typer.Option(help="Column of the item ids in --predictions.")] = "item_id"
    rank: Annotated[str, typer.Option(help="Column of the ranks, from 1, in --predictions.")] = (
        "rank"
    )
    text: TextOptions

    @property
    def reading(self) -> PredictionReading:
        """The same for the comparison."""
        return PredictionReading(
            user=self.user,
            item=self.item,
            rank=self.rank,
            table_format=self.text.table_format(),
        )


@app.command()
@takes_records
def compare_run(
    *,
    run: Annotated[Path, typer.Option(help="The run folder.")],
    budget_ms: Annotated[float, typer.Option(help="Milliseconds that one answer may take.")] = 50.0,
    split: Annotated[
        Protocol | None,
        typer.Option(help="Must be the one that the run was trained with, which is the default."),
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="Lists of another model: a table with user_id, item_id, rank from 1. Repeatable.",
        ),
    ] = None,
    how: PredictionOptions,
    latency_users: Annotated[
        int, typer.Option(help="People who are answered under the enforced deadline.")
    ] = 1000,
    seed: Annotated[int, typer.Option(help="For samples, shuffles and resamples.")] = 0,
    force: Annotated[bool, typer.Option(help="Measure anew even if nothing has changed.")] = False,
) -> None:
    files = prediction_files(predictions or [])
    parents = {name: artifacts.read(run / name, kind=name) for name in PARENTS}
    config = CompareConfig(
        history=longest_history(parents["generator"]),
        budget_ms=budget_ms,
        deadline_users=latency_users,
        seed=seed,
    )
    protocol = split_of(parents, split)
    folder = run / "report"
    ingredients = {
        "format": REPORT_FORMAT,
        "compare": asdict(config),
        "split": str(protocol),
        "predictions": {name: table_digest(file) for name, file in files.items()},
        "reading": asdict(how.reading) if files else None,
    }
    console.hold(artifacts.claim(folder))
    if not force and artifacts.is_current(
        folder, kind=REPORT_KIND, config=ingredients, seed=seed, parents=parents
    ):
        show(json.loads((folder / "report.json").read_text(encoding="utf-8")))
        console.say(f"{folder} is up to date; --force measures anew")
        return
    dataset = InteractionDataset.load(run / "data")
    split_of_run = split_histories(dataset.histories, protocol)
    sources = load_sources(run)
    report = compare(dataset, split_of_run, sources, config, predictions=files, reading=how.reading)
    inspection, picture = inspected_ids(run / "semantic_ids", dataset, split_of_run.train)
    report |= {
        "environment": describe_environment(["genrec", "compare", *sys.argv[1:]]),
        "semantic_ids": inspection.to_json(),
    }
    save_report(folder, report, config=ingredients, seed=seed, parents=parents, ids_picture=picture)
    show(report)
    console.say(f"wrote {folder / 'report.json'}\nwrote {folder / 'report.html'}")


def prediction_files(options: list[str]) -> dict[str, Path]:
    """NAME=FILE, taken apart.

    Raises:
        InputError: an option without a name or a file, a name twice, a file that is not there.
    """
    files = {
        name: Path(file) for name, file in console.named_values(options, "--predictions").items()
    }
    for name, file in files.items():
        if not file.exists():
            raise InputError(f"--predictions {name}: there is no file {file}")
    return files


def split_of(parents: Mapping[str, artifacts.Artifact], asked: Protocol | None) -> Protocol:
    """The split that a run is measured with: that of its training.

    Raises:
        ArtifactError: its models were trained with different ones, or on all data.
        InputError: another one is asked for; its test events may have been trained on.
    """
    trained = trained_split(parents)
    if asked not in (None, trained):
        raise InputError(
            f"the run was trained with {trained}; with {asked} it would be tested on what it "
            f"has learned. Leave --split out, or train another run with --split {asked}"
        )
    return trained


def inspected_ids(
    path: Path, dataset: InteractionDataset, train: Histories
) -> tuple[Inspection, str]:
    """What can be said of the Semantic IDs of a run, and their picture."""
    ids, embeddings = SemanticIds.load(path), find_embeddings(path)
    two_tower = find_parent(path, "two_tower", kind=TWO_TOWER_KIND)
    categories = categories_of(dataset.catalogue)
    content = None
    if embeddings is not None:
        content = ItemEmbeddings.load(embeddings, num_items=dataset.num_items).vectors
    inspection = inspect_ids(
        ids,
        catalogue=dataset.catalogue,
        categories=categories,
        content=content,
        train=train,
        collaborative=None if two_tower is None else read_item_vectors(two_tower),
    )
    return inspection, ids_picture(ids, catalogue=dataset.catalogue, categories=categories)


def longest_history(generator: artifacts.Artifact) -> int:
    """Events that the models of a run read at most."""
    return int(json.loads(generator.file("config.json").read_text(encoding="utf-8"))["history"])


def show(report: Mapping[str, Any]) -> None:
    """Prints the table and the findings."""
    console.show(comparison_table(report))
    for sentence in headline(report):
        console.show(Text(f"- {sentence}"))


def main(argv: list[str] | None = None) -> None:
    """Runs the program."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
