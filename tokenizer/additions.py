"""Gives new items Semantic IDs beside those of a run, without making the run's anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import polars as pl
import typer
from rich.table import Table

from genrec import artifacts, console
from genrec.embeddings import (
    DEFAULT_MODEL,
    EMBEDDINGS_KIND,
    embed_texts,
    find_model,
    model_digest,
    read_vectors,
)
from genrec.errors import ArtifactError, InputError
from genrec.interactions import DATA_KIND, Catalogue, InteractionDataset, read_ids, read_table
from genrec.interactions.options import ItemColumns, TextOptions
from genrec.option_records import OptionRecord, takes_records
from genrec.semantic_ids import SEMANTIC_IDS_KIND, Added, SemanticIdStore, additions_of

from .inputs import Inputs

Floats = npt.NDArray[np.float32]

MAX_TOKENS = 128  # what `embed_texts` reads where nothing else was asked for
SHOWN_ITEMS = 20


IdsArgument = Annotated[Path, typer.Argument(help="A folder of Semantic IDs, as RUN/semantic_ids.")]
DataOption = Annotated[
    Path | None, typer.Option(help="The data folder of the run; the one beside IDS if left out.")
]
VectorsOption = Annotated[
    Path | None,
    typer.Option(help="A Parquet file with the columns item_id and vector, a row an item."),
]


@dataclass(frozen=True, kw_only=True)
class ItemOptions(OptionRecord):
    """A table of items, how it is read, and how its texts become vectors."""

    items: Annotated[
        Path | None,
        typer.Option(
            help="A table with item_id, title and the other columns of the run's items; texts are "
            "encoded as the run's were."
        ),
    ] = None
    columns: ItemColumns
    text: TextOptions
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="What --items takes the encoder from; the folder beside IDS if left out."
        ),
    ] = None
    cache: Annotated[
        Path | None,
        typer.Option(help="Where vectors are kept between runs; ~/.cache/genrec if left out."),
    ] = None

    def described(self, catalogue: Catalogue | None) -> Catalogue:
        """The items of the table, described like those of the run.

        Raises:
            InputError: it cannot be read, or has nothing that the run's items are described by.
        """
        assert self.items is not None
        table = read_items(self.items, self.columns, self.text)
        return like_the_catalogue(table, self.items, catalogue)

    def encoded(self, described: Catalogue, ids: artifacts.Artifact) -> Floats:
        """[n, D]: the vectors of their texts, made as those that the ids were made from."""
        embeddings = self.embeddings or ids.path.parent / "embeddings"
        model, max_tokens = encoder_of(ids, embeddings)
        texts = described.texts()
        return embed_texts(texts, model, cache_dir=self.cache, max_tokens=max_tokens).vectors


@takes_records
def add(
    ids: IdsArgument,
    how: ItemOptions,
    vectors: VectorsOption = None,
    data: DataOption = None,
) -> None:
    """Gives new items free ids near the right prefix; no other item's id changes."""
    artifact = artifacts.read(ids, kind=SEMANTIC_IDS_KIND)
    catalogue = catalogue_of(artifact, data)
    titles: list[str | None] | None = None
    if (vectors is None) == (how.items is None):
        raise InputError("give the new items either with --vectors FILE or with --items FILE")
    if vectors is not None:
        item_ids, content = given_content(vectors)
    else:
        described = how.described(catalogue)
        item_ids, content = described.item_ids, how.encoded(described, artifact)
        titles = described.titles(range(len(described)))
    store = SemanticIdStore.open(ids, catalogue=None if catalogue is None else catalogue.item_ids)
    show(store, item_ids, store.add(item_ids, content, titles), catalogue)


def compact(ids: IdsArgument) -> None:
    """Takes the items that were added from the journal into a folder; no id changes."""
    store = SemanticIdStore.open(ids)
    num_taken = store.compact()
    console.say(
        f"{additions_of(ids)}: {num_taken:,} item(s) taken over; {len(store.codes):,} items, "
        f"{len(store.item_ids):,} of them added after the fit"
    )


def catalogue_of(ids: artifacts.Artifact, data: Path | None) -> Catalogue | None:
    """The items that the ids were fitted to; None if no folder is named and none stands beside.

    Raises:
        ArtifactError: the ids were made from other data.
    """
    beside = ids.path.parent / "data"
    if data is None and not (beside / artifacts.MANIFEST_NAME).is_file():
        return None
    folder = data or beside
    if artifacts.read(folder, kind=DATA_KIND).digest != ids.parents.get("data"):
        raise ArtifactError(
            f"{ids.path} was made from other data than {folder}; name that folder with --data"
        )
    return InteractionDataset.load(folder).catalogue


def read_items(path: Path, columns: ItemColumns, text: TextOptions) -> pl.DataFrame:
    """A table of items with the names that a catalogue gives to its columns.

    Raises:
        InputError: it cannot be read, or a named column is not there.
    """
    names = {columns.item_id: "item_id"} | ({columns.title: "title"} if columns.title else {})
    table = read_table(
        path,
        text_columns=(columns.item_id, columns.title or "title"),
        table_format=text.table_format(),
    )
    for name, what in names.items():
        if name not in table.columns:
            option = "--item-id" if what == "item_id" else "--title"
            raise InputError(f"{path} has no column {name!r}, it has {table.columns}; set {option}")
    clashing = [what for name, what in names.items() if name != what and what in table.columns]
    if clashing:
        raise InputError(
            f"{path} has a column {clashing[0]!r} beside the one that shall be it; rename or "
            "remove one of them"
        )
    return table.rename(names)


def given_content(path: Path) -> tuple[list[str], Floats]:
    """The items of a Parquet file, and their vectors [n, D].

    Raises:
        InputError: it lacks a column, names an item twice, or holds what are no vectors.
    """
    if path.suffix != ".parquet":
        raise InputError(f"--vectors takes a .parquet file with item_id and vector, got {path}")
    table = read_table(path)
    item_ids = item_ids_of(table, path).to_list()
    return item_ids, read_vectors(path, item_ids).vectors


def like_the_catalogue(table: pl.DataFrame, path: Path, catalogue: Catalogue | None) -> Catalogue:
    """New items with the columns of the run's, in their order, so that their texts are built alike.

    Raises:
        InputError: the items have nothing that the run's items are described by.
    """
    table = table.with_columns(item_ids_of(table, path).alias("item_id"))
    if "title" in table.columns:
        table = table.with_columns(pl.col("title").cast(pl.String))
    if catalogue is None:
        return Catalogue(table)
    columns = [name for name in catalogue.table.columns if name in table.columns]
    left_out = [name for name in table.columns if name not in columns]
    if columns == ["item_id"]:
        raise InputError(
            f"{path} describes its items by {left_out}, the run by "
            f"{catalogue.table.columns[1:]}; rename the columns"
        )
    if left_out:
        console.say(f"note: {path} has columns that the run's items lack, not read: {left_out}")
    others = [name for name in columns if name != "item_id"]
    return catalogue.with_table(table.select("item_id", *others))


def encoder_of(ids: artifacts.Artifact, embeddings: Path) -> tuple[str, int]:
    """The text encoder that the content of these ids came from, and how many tokens it read.

    Raises:
        InputError: it was none, or has changed since.
        ArtifactError: the embeddings are not those that the ids were made from.
    """
    if ids.config.get("inputs") == Inputs.COLLABORATIVE:
        raise InputError(
            f"{ids.path} describes how items are used, not their texts; give --vectors instead"
        )
    model, max_tokens, digest = DEFAULT_MODEL, MAX_TOKENS, ids.config.get("encoder")
    if "embeddings" in ids.parents:
        found = artifacts.read(embeddings, kind=EMBEDDINGS_KIND)
        if found.digest != ids.parents["embeddings"]:
            raise ArtifactError(
                f"{ids.path} was made from other embeddings than {embeddings}; name that folder "
                "with --embeddings"
            )
        model, digest = found.config["model"], found.config.get("model_digest")
        max_tokens = found.config.get("max_tokens", MAX_TOKENS)
    if digest is None:
        raise InputError(
            f"{ids.path} does not say which text encoder made its content; give --vectors instead"
        )
    if model_digest(find_model(model)) != digest:
        raise InputError(
            f"the text encoder {model!r} is not the one that {ids.path} was made with: its files "
            "differ; install that one, or run `genrec embed` and `genrec tokenize` again"
        )
    return model, max_tokens


def show(
    store: SemanticIdStore, item_ids: list[str], added: Added, catalogue: Catalogue | None
) -> None:
    """Prints what the items got, the first of them in a table."""
    table = Table("item", "index", "codes", "", "beside")
    fitted = store.ids.codes
    for row in range(min(SHOWN_ITEMS, len(item_ids))):
        codes = added.codes[row]
        table.add_row(
            item_ids[row],
            str(added.item_index[row]),
            " ".join(map(str, codes)),
            "new" if added.is_new[row] else "had it before",
            neighbour(fitted, codes, int(added.item_index[row]), catalogue),
        )
    console.show(table)
    if len(item_ids) > SHOWN_ITEMS:
        console.say(f"… and {len(item_ids) - SHOWN_ITEMS:,} more")
    num_new = int(added.is_new.sum())
    console.say(
        f"{num_new:,} item(s) added, {len(item_ids) - num_new:,} had an id before; "
        f"{store.path} now has {len(store.codes):,} items"
    )


def neighbour(
    fitted: npt.NDArray[np.uint16],
    codes: npt.NDArray[np.uint16],
    item: int,
    catalogue: Catalogue | None,
) -> str:
    """The fitted item, of codes [N, L], that shares most of the first codes; empty if none does."""
    shared = (fitted == codes).cumprod(axis=1).sum(axis=1)  # [N]
    if item < len(fitted):
        shared[item] = 0
    nearest = int(shared.argmax())
    if catalogue is None or not shared[nearest]:
        return ""
    return catalogue.titles([nearest])[0] or catalogue.ids([nearest])[0]


def item_ids_of(table: pl.DataFrame, path: Path) -> pl.Series:
    """The column item_id as texts.

    Raises:
        InputError: there is none, or an item has no id.
    """
    if "item_id" not in table.columns:
        raise InputError(f"{path} needs a column item_id, it has {table.columns}")
    item_ids = read_ids(table, "item_id")
    if item_ids.null_count() or table.is_empty():
        raise InputError(
            f"{path} has {item_ids.null_count()} row(s) without item_id, of {table.height}; give "
            "each item its id"
        )
    return item_ids
