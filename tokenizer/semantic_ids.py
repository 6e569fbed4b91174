"""Gives every item a Semantic ID of its own, and says how sound the IDs are."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table

from genrec import artifacts, console
from genrec.embeddings import (
    DEFAULT_MODEL,
    EMBEDDINGS_KIND,
    ItemEmbeddings,
    embed_texts,
    find_model,
    model_digest,
)
from genrec.errors import ArtifactError, InputError
from genrec.interactions import DATA_KIND, InteractionDataset
from genrec.semantic_ids import SEMANTIC_IDS_KIND, RqVaeConfig, SemanticIds, fit_semantic_ids

app = console.program(__doc__)


@app.callback(invoke_without_command=True)
def tokenize(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="The data folder, as RUN/data.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write, as RUN/semantic_ids.")
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="The items' vectors, as RUN/embeddings; without them the items' texts are "
            "encoded as `genrec embed` does it by default."
        ),
    ] = None,
    levels: Annotated[int, typer.Option(help="Codes an item has.", min=1)] = RqVaeConfig.num_levels,
    codes: Annotated[
        int, typer.Option(help="Codes to choose from on each level.", min=1)
    ] = RqVaeConfig.num_codes,
    epochs: Annotated[
        int, typer.Option(help="Passes over the items.", min=1)
    ] = RqVaeConfig.num_epochs,
    seed: Annotated[int, typer.Option(help="Of weights, order and k-means.")] = RqVaeConfig.seed,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where vectors are kept between runs; ~/.cache/genrec if left out."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Make them anew even if nothing changed.")] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if data is None or out is None:
        raise InputError("tokenize needs --data and --out; `inspect IDS` shows what is there")
    parents = {"data": artifacts.read(data, kind=DATA_KIND)}
    if embeddings is not None:
        parents["embeddings"] = embeddings_of(embeddings, parents["data"])
    encoder = None if embeddings else model_digest(find_model(DEFAULT_MODEL))
    rqvae = RqVaeConfig(num_levels=levels, num_codes=codes, num_epochs=epochs, seed=seed)
    config: dict[str, Any] = {"rqvae": asdict(rqvae), "encoder": encoder}
    if not force and artifacts.is_current(
        out, kind=SEMANTIC_IDS_KIND, config=config, seed=seed, parents=parents
    ):
        console.say(f"{out} is up to date; --force makes it anew")
        return
    ids = fit_semantic_ids(vectors_of(data, embeddings, cache), rqvae)
    ids.save(out, config=config, parents=parents)
    show(ids)
    console.say(f"wrote {out}")


@app.command()
def inspect(
    ids: Annotated[Path, typer.Argument(help="A folder of Semantic IDs, as RUN/semantic_ids.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Shows how sound the IDs of a folder are: collisions, use of the codes, alarms."""
    loaded = SemanticIds.load(ids)
    if as_json:
        print(json.dumps({**loaded.health.to_json(), "notes": loaded.notes}, indent=1))
    else:
        show(loaded)


def embeddings_of(path: Path, data: artifacts.Artifact) -> artifacts.Artifact:
    """The artefact of the embeddings, if they were made from this data."""
    found = artifacts.read(path, kind=EMBEDDINGS_KIND)
    if found.parents.get("data") != data.digest:
        raise ArtifactError(
            f"{path} was made from other data than {data.path}; run genrec embed on that folder"
        )
    return found


def vectors_of(data: Path, embeddings: Path | None, cache: Path | None) -> npt.NDArray[np.float32]:
    """float32 [N, D]: the given vectors, or those of the items' texts."""
    if embeddings is not None:
        return ItemEmbeddings.load(embeddings).vectors
    texts = InteractionDataset.load(data).catalogue.texts()
    return embed_texts(texts, cache_dir=cache).vectors


def show(ids: SemanticIds) -> None:
    """Prints the health as a table and in words."""
    health = ids.health
    table = Table("level", "codes used", "share", "perplexity", "dead")
    for column in table.columns:
        column.justify = "right"
    for number, level in enumerate(health.levels, 1):
        used = f"{level.used} of {level.size}"
        table.add_row(
            str(number), used, f"{level.use:.1%}", f"{level.perplexity:.0f}", str(level.dead)
        )
    Console().print(table)
    console.say(
        f"{health.num_items:,} items; {health.native_collision_rate:.2%} native collisions, "
        f"{health.collisions} after {health.num_changed:,} item(s) took a code that is not the "
        f"nearest ({health.num_moved:,} of them left a full prefix)"
    )
    console.say(f"variance explained: {health.explained_variance:.1%}")
    for note in ids.notes:
        console.say(f"note: {note}")
    for alarm in health.alarms:
        console.say(f"ALARM: {alarm}")


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
