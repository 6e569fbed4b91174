"""Changes items that were added to Semantic IDs, and takes them away again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrec import artifacts, console
from genrec.embeddings import embed_texts
from genrec.errors import InputError
from genrec.interactions import read_table
from genrec.semantic_ids import SEMANTIC_IDS_KIND, SemanticIdStore

from .additions import (
    catalogue_of,
    encoder_of,
    given_content,
    item_ids_of,
    like_the_catalogue,
)

IdsArgument = Annotated[Path, typer.Argument(help="A folder of Semantic IDs, as RUN/semantic_ids.")]
DataOption = Annotated[
    Path | None, typer.Option(help="The data folder of the run; the one beside IDS if left out.")
]


def change(
    ids: IdsArgument,
    item: Annotated[str | None, typer.Argument(help="The one item that --title is for.")] = None,
    title: Annotated[str | None, typer.Option(help="What people shall read of ITEM.")] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(help="A Parquet file with the columns item_id and vector: the new vectors."),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option(help="A table as --items of add takes it: titles and texts as they shall be."),
    ] = None,
    data: DataOption = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="What --items takes the encoder from; the folder beside IDS if left out."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where vectors are kept between runs; ~/.cache/genrec if left out."),
    ] = None,
) -> None:
    """Gives items that were added another title or vector; no other item's id changes."""
    artifact = artifacts.read(ids, kind=SEMANTIC_IDS_KIND)
    ways = [item is not None and title is not None, vectors is not None, items is not None]
    if sum(ways) != 1 or (item is None) != (title is None):
        raise InputError(
            "say what changes in one way: ITEM --title TEXT, --vectors FILE or --items FILE"
        )
    catalogue = catalogue_of(artifact, data)
    store = SemanticIdStore.open(ids, catalogue=None if catalogue is None else catalogue.item_ids)
    before = store.codes
    if item is not None:
        names = [item]
        store.change(names, titles=[title])
    elif vectors is not None:
        names, content = given_content(vectors)
        store.change(names, content)
    elif items is not None:
        table = read_table(items, text_columns=("item_id", "title"))
        described = like_the_catalogue(table, items, catalogue)
        names = described.item_ids
        model, max_tokens = encoder_of(artifact, embeddings or ids.parent / "embeddings")
        encoded = embed_texts(described.texts(), model, cache_dir=cache, max_tokens=max_tokens)
        titles = described.titles(range(len(described))) if "title" in table.columns else None
        store.change(names, encoded.vectors, titles)
    num_moved = int((store.codes[: len(before)] != before).any(axis=1).sum())
    console.say(
        f"{len(names):,} item(s) changed, {num_moved:,} of them have other codes now; a "
        "recommender that is loaded from here on knows it"
    )


def remove(
    ids: IdsArgument,
    item: Annotated[list[str] | None, typer.Argument(help="Ids of items that were added.")] = None,
    items: Annotated[
        Path | None, typer.Option(help="A table with a column item_id: the items to remove.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Takes away items that were added; nobody else gets their ids, and histories may hold them."""
    names = list(item or [])
    if items is not None:
        names += item_ids_of(read_table(items, text_columns=("item_id",)), items).to_list()
    if not names:
        raise InputError("say what to remove: ITEM..., or --items FILE with a column item_id")
    catalogue = catalogue_of(artifacts.read(ids, kind=SEMANTIC_IDS_KIND), data)
    store = SemanticIdStore.open(ids, catalogue=None if catalogue is None else catalogue.item_ids)
    store.remove(names)
    console.say(
        f"{len(names):,} item(s) removed, {int((~store.removed).sum()):,} of those that were added "
        "are left; a recommender that is loaded from here on does not answer with them"
    )
