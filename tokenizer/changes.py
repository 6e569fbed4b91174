"""Changes items that were added to Semantic IDs, and takes them away again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrec import artifacts, console
from genrec.errors import InputError
from genrec.interactions.options import IdColumn, ItemColumns, TextOptions
from genrec.option_records import takes_records
from genrec.semantic_ids import SEMANTIC_IDS_KIND, SemanticIdStore

from .additions import (
    DataOption,
    IdsArgument,
    ItemOptions,
    VectorsOption,
    catalogue_of,
    given_content,
    item_ids_of,
    read_items,
)


@takes_records
def change(
    ids: IdsArgument,
    how: ItemOptions,
    item: Annotated[str | None, typer.Argument(help="The one item that gets --new-title.")] = None,
    new_title: Annotated[str | None, typer.Option(help="What people shall read of ITEM.")] = None,
    vectors: VectorsOption = None,
    data: DataOption = None,
) -> None:
    """Gives items that were added another title or vector; no other item's id changes."""
    artifact = artifacts.read(ids, kind=SEMANTIC_IDS_KIND)
    by_name = item is not None and new_title is not None
    if [by_name, vectors is not None, how.items is not None].count(True) != 1 or (
        (item is None) != (new_title is None)
    ):
        raise InputError(
            "say what changes in one way: ITEM --new-title TEXT, --vectors FILE or --items FILE"
        )
    catalogue = catalogue_of(artifact, data)
    store = SemanticIdStore.open(ids, catalogue=None if catalogue is None else catalogue.item_ids)
    before = store.codes
    if item is not None:
        names = [item]
        store.change(names, titles=[new_title])
    elif vectors is not None:
        names, content = given_content(vectors)
        store.change(names, content)
    else:
        described = how.described(catalogue)
        names = described.item_ids
        has_titles = "title" in described.table.columns
        titles = described.titles(range(len(described))) if has_titles else None
        store.change(names, how.encoded(described, artifact), titles)
    num_moved = int((store.codes[: len(before)] != before).any(axis=1).sum())
    console.say(
        f"{len(names):,} item(s) changed, {num_moved:,} of them have other codes now; a "
        "recommender that is loaded from here on knows it"
    )


@takes_records
def remove(
    ids: IdsArgument,
    columns: IdColumn,
    text: TextOptions,
    item: Annotated[list[str] | None, typer.Argument(help="Ids of items that were added.")] = None,
    items: Annotated[
        Path | None, typer.Option(help="A table with a column item_id: the items to remove.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Takes away items that were added; nobody else gets their ids, and histories may hold them."""
    names = list(item or [])
    if items is not None:
        table = read_items(items, ItemColumns(item_id=columns.item_id), text)
        names += item_ids_of(table, items).to_list()
    if not names:
        raise InputError("say what to remove: ITEM..., or --items FILE with a column item_id")
    catalogue = catalogue_of(artifacts.read(ids, kind=SEMANTIC_IDS_KIND), data)
    store = SemanticIdStore.open(ids, catalogue=None if catalogue is None else catalogue.item_ids)
    store.remove(names)
    console.say(
        f"{len(names):,} item(s) removed, {int((~store.removed).sum()):,} of those that were added "
        "are left; a recommender that is loaded from here on does not answer with them"
    )
