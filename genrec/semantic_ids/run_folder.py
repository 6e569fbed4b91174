"""What Semantic IDs were made from, found beside them in a run folder or where a person says."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from genrec import artifacts
from genrec.embeddings import EMBEDDINGS_KIND
from genrec.errors import ArtifactError
from genrec.interactions import DATA_KIND, Histories, InteractionDataset, Protocol, split_histories
from genrec.semantic_ids.semantic_ids import SEMANTIC_IDS_KIND

__all__ = [
    "find_data",
    "find_embeddings",
    "find_parent",
    "fitted_item_ids",
    "training_histories",
]


def find_data(ids: Path, given: Path | None = None) -> Path | None:
    """The data folder that the Semantic IDs at `ids` were made from.

    Args:
        ids: the artefact of the ids, as RUN/semantic_ids.
        given: where a person says that the data is; None looks at RUN/data.

    Returns:
        None if nothing is given and the folder beside is not there or is another.

    Raises:
        ArtifactError: the ids cannot be read, or were made from other data than what is given.
    """
    wanted = artifacts.read(ids, kind=SEMANTIC_IDS_KIND).parents.get("data")
    if given is None:
        found = _beside(ids, "data", DATA_KIND)
        return found.path if found and found.digest == wanted else None
    found = artifacts.read(given, kind=DATA_KIND)
    if wanted not in (None, found.digest):
        raise ArtifactError(
            f"{ids} was made from other data than {given}; give the folder that it was made from"
        )
    return given


def find_embeddings(ids: Path, given: Path | None = None) -> Path | None:
    """The content vectors that the Semantic IDs at `ids` were made from, or vectors of their items.

    Whether vectors do lead to the codes, `find_described` finds out.

    Args:
        ids: the artefact of the ids, as RUN/semantic_ids.
        given: where a person says that the vectors are; None looks at RUN/embeddings.

    Returns:
        None if nothing is given and the folder beside is not there or is of other items.

    Raises:
        ArtifactError: the ids cannot be read, or the vectors given are of other data.
    """
    parents = artifacts.read(ids, kind=SEMANTIC_IDS_KIND).parents
    found = (
        _beside(ids, "embeddings", EMBEDDINGS_KIND)
        if given is None
        else artifacts.read(given, kind=EMBEDDINGS_KIND)
    )
    if found is None:
        return None
    if found.digest == parents.get("embeddings"):
        return found.path
    wanted = parents.get("data")
    if given is None:
        alike = wanted is not None and found.parents.get("data") == wanted
        return found.path if alike and "embeddings" not in parents else None
    if wanted not in (None, found.parents.get("data")):
        raise ArtifactError(
            f"{given} holds vectors of other data than what {ids} was made from; give those of "
            "the same data"
        )
    return given


def fitted_item_ids(ids: artifacts.Artifact) -> list[str] | None:
    """The user's ids of the items that these ids were fitted to, in the order of item_index.

    Returns:
        None if the data that they were made from does not stand beside them.
    """
    found = _beside(ids.path, "data", DATA_KIND)
    if found is None or found.digest != ids.parents.get("data"):
        return None
    items = pl.read_parquet(found.file("items.parquet"), columns=["item_id"])
    return items["item_id"].cast(pl.String).to_list()


def find_parent(ids: Path, name: str, *, kind: str) -> Path | None:
    """RUN/name, if the Semantic IDs at `ids` were made from just this artefact; else None.

    Raises:
        ArtifactError: the ids cannot be read.
    """
    wanted = artifacts.read(ids, kind=SEMANTIC_IDS_KIND).parents.get(name)
    found = _beside(ids, name, kind)
    return found.path if found and found.digest == wanted else None


def training_histories(ids: Path, dataset: InteractionDataset) -> Histories:
    """What the Semantic IDs at `ids` were allowed to learn from: the training part of their split.

    Ids of contents alone have none: then it is that of leave-last-out.

    Raises:
        InputError: nobody's history can be divided.
    """
    recorded = artifacts.read(ids, kind=SEMANTIC_IDS_KIND).config.get("split")
    protocol = Protocol(recorded) if recorded else Protocol.LEAVE_LAST_OUT
    return split_histories(dataset.histories, protocol).train


def _beside(ids: Path, name: str, kind: str) -> artifacts.Artifact | None:
    try:
        return artifacts.read(ids.parent / name, kind=kind)
    except ArtifactError:
        return None
