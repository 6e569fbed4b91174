"""What Semantic IDs are made from: the items' texts, training histories, vectors from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec import artifacts
from genrec.embeddings import (
    DEFAULT_MODEL,
    EMBEDDINGS_KIND,
    CoOccurrenceConfig,
    ItemEmbeddings,
    collaborative_vectors,
    embed_texts,
    find_model,
    model_digest,
    read_vectors,
)
from genrec.errors import ArtifactError, InputError
from genrec.interactions import InteractionDataset, Protocol, split_histories
from genrec.retrieval import TWO_TOWER_KIND, read_item_vectors
from genrec.semantic_ids import COLLABORATIVE, Modality

WEIGHTS = {TWO_TOWER_KIND: 4.0}
"""Of vectors, by what made them, where none is asked for; others weigh as much as the content."""


class Inputs(StrEnum):
    """What the codes describe."""

    TEXT = "text"
    """What the items are: their texts."""
    COLLABORATIVE = "collaborative"
    """What they are used with: the training histories."""
    FUSED = "fused"
    """Both, side by side."""
    ALIGNED = "aligned"
    """The texts, by an RQ-VAE that is drawn towards the training histories."""


@dataclass(frozen=True, kw_only=True)
class ItemSource:
    """Where the vectors of a catalogue come from."""

    inputs: Inputs
    split: Protocol
    """Whose training part collaborative vectors learn from."""
    embeddings: Path | None
    """The folder of content vectors; None encodes the texts with the default encoder."""
    two_tower: Path | None
    """A trained retriever, whose item vectors are the collaborative ones; None makes them from
    co-occurrence."""
    modalities: Mapping[str, Path]
    """Further vectors, by name; `collaborative` replaces the ones learnt here."""
    weights: Mapping[str, float]
    """Of modalities, against 1 for the content."""
    cache: Path | None
    """Where encoded texts are kept."""

    def __post_init__(self) -> None:
        if self.two_tower is not None and self.inputs is Inputs.TEXT:
            raise InputError("--inputs text reads no --two-tower; leave one of them out")
        if self.two_tower is not None and COLLABORATIVE in self.modalities:
            raise InputError(
                f"--two-tower and --modality {COLLABORATIVE}=… are two sources of the same "
                "vectors; leave one of them out"
            )
        names = {*self.modalities, *([] if self.inputs is Inputs.TEXT else [COLLABORATIVE])}
        for name in self.weights:
            if name not in names:
                raise InputError(
                    f"--weight {name}: there is no such modality; there are {sorted(names)}"
                )

    def parents(self, data: artifacts.Artifact) -> dict[str, artifacts.Artifact]:
        """The artefacts that vectors are read from, if they were made from this data.

        Raises:
            ArtifactError: one was made from other data, or has learnt from another split.
        """
        found = {}
        if self.embeddings is not None:
            found["embeddings"] = artifacts.read(self.embeddings, kind=EMBEDDINGS_KIND)
        if self.two_tower is not None:
            found["two_tower"] = artifacts.read(self.two_tower, kind=TWO_TOWER_KIND)
            self._refuse_other_split(found["two_tower"])
        for each in found.values():
            if each.parents.get("data") != data.digest:
                raise ArtifactError(
                    f"{each.path} was made from other data than {data.path}; make it anew from "
                    "that folder"
                )
        return found

    def _refuse_other_split(self, two_tower: artifacts.Artifact) -> None:
        learnt_from = "all data" if two_tower.config["refit"] else two_tower.config["split"]
        if learnt_from != self.split:
            raise ArtifactError(
                f"{two_tower.path} has learnt from {learnt_from}, but the ids may learn from the "
                f"training part of {self.split} alone; train one with --split {self.split}"
            )

    def record(self) -> dict[str, Any]:
        """What decides the vectors, beside the data: JSON values."""
        learns = self.inputs is not Inputs.TEXT
        return {
            "inputs": str(self.inputs),
            "split": str(self.split) if learns else None,
            "encoder": None if self.embeddings else model_digest(find_model(DEFAULT_MODEL)),
            "modalities": {name: digest_of(path) for name, path in self.modalities.items()},
            "weights": dict(self.weights),
        }

    def read(
        self, dataset: InteractionDataset, *, seed: int
    ) -> tuple[npt.NDArray[np.float32], dict[str, Modality]]:
        """The content [N, D], and every modality beside it."""
        ids = dataset.catalogue.item_ids
        given = {name: read_vectors(path, ids) for name, path in self.modalities.items()}
        if self.inputs is not Inputs.TEXT and COLLABORATIVE not in given:
            given[COLLABORATIVE] = self._collaborative(dataset, seed)
        if self.inputs is Inputs.COLLABORATIVE:
            content = given.pop(COLLABORATIVE)
        else:
            content = self._content(dataset)
        return content.vectors, {
            name: Modality(
                vectors=each.vectors,
                weight=self.weights.get(name, WEIGHTS.get(each.model, 1.0)),
                confidence=each.confidence,
            )
            for name, each in given.items()
        }

    def _collaborative(self, dataset: InteractionDataset, seed: int) -> ItemEmbeddings:
        if self.two_tower is not None:
            return read_item_vectors(self.two_tower)
        train = split_histories(dataset.histories, self.split).train
        return collaborative_vectors(train, dataset.num_items, CoOccurrenceConfig(seed=seed))

    def _content(self, dataset: InteractionDataset) -> ItemEmbeddings:
        if self.embeddings is not None:
            return ItemEmbeddings.load(self.embeddings, num_items=dataset.num_items)
        texts = dataset.catalogue.texts()
        vectors = embed_texts(texts, cache_dir=self.cache).vectors
        return ItemEmbeddings(vectors=vectors, model=DEFAULT_MODEL)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of an artefact.

    Raises:
        InputError: there is nothing.
    """
    if path.is_dir():
        return artifacts.read(path, kind=EMBEDDINGS_KIND).digest
    if not path.is_file():
        raise InputError(f"there are no vectors at {path}; check the path")
    return artifacts.sha256(path)
