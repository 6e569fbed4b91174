"""Items that were added to the Semantic IDs of a run after its models were trained."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from genrec import artifacts
from genrec.artifacts import Artifact
from genrec.embeddings import EMBEDDINGS_KIND
from genrec.errors import InputError
from genrec.interactions import InteractionDataset
from genrec.semantic_ids import (
    SEMANTIC_IDS_KIND,
    SemanticIdStore,
    additions_of,
    finish_interrupted,
    journal_of,
)

if TYPE_CHECKING:
    from genrec.generator import GenerativeRecommender, LiveCatalogue

__all__ = ["find_added_items", "grown_catalogue", "with_added_items"]

log = logging.getLogger(__name__)

MANY = 1000
"""Items from which on a catalogue that has grown is compacted before it answers."""
REMEDY = "make the ids from the run's embeddings (genrec tokenize --embeddings), then add again"


def find_added_items(run: Path | str) -> SemanticIdStore | None:
    """The Semantic IDs of a run if items were added to them that its generator can score.

    Ids of collaborative vectors alone say nothing that the generator reads; that is logged.

    Raises:
        ArtifactError: what was added was altered, or belongs to other ids.
        InputError: it was encoded otherwise than what the generator reads.
    """
    path = Path(run) / "semantic_ids"
    finish_interrupted(path)
    if not path.is_dir() or not (journal_of(path).exists() or additions_of(path).exists()):
        return None
    store = SemanticIdStore.open(path)
    if not store.item_ids:
        return None
    ids = artifacts.read(path, kind=SEMANTIC_IDS_KIND)
    if ids.config.get("inputs") == "collaborative":
        log.warning(
            "%d item(s) were added to %s by how they are used, not by what they are: no model of "
            "this run can score them",
            len(store.item_ids),
            path,
        )
        return None
    _require_one_encoder(ids, Path(run) / "embeddings")
    return store


def with_added_items(dataset: InteractionDataset, added: SemanticIdStore) -> InteractionDataset:
    """The same data over a catalogue that has these items behind the others.

    Raises:
        InputError: it has one of them already.
    """
    table = dataset.catalogue.table
    twice = set(added.item_ids) & set(dataset.catalogue.item_ids)
    if twice:
        raise InputError(
            f"{len(twice)} item(s) that were added to {added.path} are in the catalogue already, "
            f"as {sorted(twice)[:3]}; make the ids anew, from data that has all items"
        )
    titles = pl.Series(added.titles, dtype=pl.String)
    new = pl.DataFrame({"item_id": added.item_ids, "title": titles})
    grown = dataset.catalogue.with_table(pl.concat([table, new], how="diagonal"))
    return replace(dataset, catalogue=grown)


def grown_catalogue(model: GenerativeRecommender, added: SemanticIdStore) -> LiveCatalogue:
    """What a trained generator answers from when these items have come.

    Raises:
        InputError: they were added with contents that the model does not read.
    """
    from genrec.generator import LiveCatalogue

    content, width = added.content, model.config.content_width
    if len(content) and content.shape[1] != width:
        raise InputError(
            f"the items that were added to {added.path} have contents of width "
            f"{content.shape[1]}, the generator reads {width}; {REMEDY}"
        )
    live = LiveCatalogue(model, room=len(content))
    index = live.add(added.codes[len(added.ids.codes) :], content.reshape(-1, width))
    live.remove(index[added.removed])
    if len(content) > MANY:
        live.compact()
    return live


def _require_one_encoder(ids: Artifact, embeddings: Path) -> None:
    """Raises an InputError where items are added to ids by another encoder than the run's."""
    if not embeddings.is_dir():
        return
    found = artifacts.read(embeddings, kind=EMBEDDINGS_KIND)
    if "embeddings" in ids.parents:
        is_same = ids.parents["embeddings"] == found.digest
    else:
        is_same = ids.config.get("encoder") in (None, found.config.get("model_digest"))
    if not is_same:
        raise InputError(
            f"items were added to {ids.path}, whose contents are others than {embeddings}, which "
            f"the generator reads; {REMEDY}"
        )
