"""A trained two-tower retriever as it is served and saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor

from genrec import artifacts
from genrec.artifacts import Artifact
from genrec.checked import make_record, read_array, read_json
from genrec.checked.weights import read_weights, require_module, weight_shapes
from genrec.embeddings import ItemEmbeddings
from genrec.errors import ArtifactError
from genrec.interactions import Recommendations, RequestBatch, answer_in_parts
from genrec.retrieval.index import EXACT_UP_TO, ItemIndex
from genrec.retrieval.two_tower import TwoTowerConfig, TwoTowerModel
from genrec.training import FitResult

__all__ = [
    "TWO_TOWER_KIND",
    "TwoTower",
    "TwoTowerSource",
    "read_item_vectors",
    "two_tower_config",
]

TWO_TOWER_KIND = "two_tower"
CLUSTERS_NAME = "clusters.safetensors"
"""Beside the vectors where there are too many to compare them all."""
ROWS_AT_ONCE = 1024
MOST_EVENTS = 1 << 40
"""More than any log has of one item."""


def two_tower_config(values: Mapping[str, Any]) -> TwoTowerConfig:
    """The configuration that `dataclasses.asdict` took apart."""
    return make_record(TwoTowerConfig, values, "the two-tower's configuration")


@dataclass(frozen=True, kw_only=True)
class TwoTower:
    """The towers, every item's vector, the index over them and the items' training counts."""

    model: TwoTowerModel
    """In eval mode, on the CPU."""
    item_inputs: Tensor
    """float32 [N, D]: representations of the catalogue, which histories are read with."""
    index: ItemIndex
    """Item vectors [N, D] and FAISS."""
    counts: npt.NDArray[np.int64]
    """int64 [N]: training events of every item."""
    result: FitResult
    """How the training went."""

    @classmethod
    def from_model(cls, model: TwoTowerModel, result: FitResult) -> TwoTower:
        """Encodes the catalogue and builds the index."""
        inputs, vectors = model.catalogue()
        return cls(
            model=model,
            item_inputs=inputs,
            index=ItemIndex.build(vectors),
            counts=model.counts.numpy(),
            result=result,
        )

    def save(
        self, path: Path | str, *, config: Mapping[str, Any], parents: Mapping[str, Artifact]
    ) -> None:
        """Writes the artefact.

        Args:
            path: where it shall stand.
            config: what it was made with; `config["two_tower"]` is the TwoTowerConfig as a dict.
            parents: the data and embeddings that it was made from.
        """
        seed = self.model.config.training.seed
        with artifacts.writing(
            path, kind=TWO_TOWER_KIND, config=config, seed=seed, parents=parents
        ) as folder:
            save_file(self.model.state_dict(), folder / "model.safetensors")
            items = {
                "inputs": self.item_inputs.contiguous(),
                "vectors": self.index.vectors.contiguous(),
            }
            save_file(items, folder / "items.safetensors")
            clusters = self.index.clusters()
            if clusters:
                save_file(clusters, folder / CLUSTERS_NAME)
            np.save(folder / "counts.npy", self.counts, allow_pickle=False)
            (folder / "training.json").write_text(json.dumps(asdict(self.result), indent=1))

    @classmethod
    def load(cls, path: Path | str) -> TwoTower:
        """Reads an artefact of kind `two_tower` after verifying it.

        Raises:
            ArtifactError: it is missing, altered or of another kind.
        """
        artifact = artifacts.read(path, kind=TWO_TOWER_KIND)
        config = two_tower_config(artifact.config.get("two_tower", {}))
        counts = read_array(artifact.file("counts.npy"), ("int64", (None,)))
        if not ((counts >= 0) & (counts <= MOST_EVENTS)).all():
            raise ArtifactError(f"{path}/counts.npy counts what no log has; train again")
        file = artifact.file("model.safetensors")
        projection = weight_shapes(file).get("content_projection.weight", ())
        num_items, width = len(counts), projection[-1] if projection else 0

        def make() -> TwoTowerModel:
            return TwoTowerModel(torch.empty(num_items, width), torch.empty(num_items), config)

        require_module(file, make)
        with torch.device("meta"):
            model = make()
        expected = {
            name: (each.dtype, tuple(each.shape)) for name, each in model.state_dict().items()
        }
        model.load_state_dict(read_weights(file, expected), assign=True)
        table = (torch.float32, (num_items, config.width))
        items = read_weights(
            artifact.file("items.safetensors"), {"inputs": table, "vectors": table}
        )
        return cls(
            model=model.eval(),
            item_inputs=items["inputs"],
            index=_index_of(artifact, items["vectors"]),
            counts=counts,
            result=make_record(
                FitResult, read_json(artifact.file("training.json")), f"{path}/training.json"
            ),
        )


def _index_of(artifact: Artifact, vectors: Tensor) -> ItemIndex:
    if len(vectors) <= EXACT_UP_TO:
        return ItemIndex.build(vectors)
    file = artifact.file(CLUSTERS_NAME)
    num_items, width = vectors.shape
    expected = {
        "centroids": (torch.float32, (None, width)),
        "cluster_of": (torch.int64, (num_items,)),
    }
    try:
        return ItemIndex.of_clusters(vectors, read_weights(file, expected))
    except ValueError as error:
        raise ArtifactError(f"{file}: {error}; train again") from error


def read_item_vectors(path: Path | str) -> ItemEmbeddings:
    """The vectors of all items, unit length, that a trained two-tower retriever has learnt.

    An item that nobody had in training has one too: its tower reads its content alone.

    Raises:
        ArtifactError: what stands there is missing, altered or of another kind.
    """
    table = (torch.float32, (None, None))
    file = artifacts.read(path, kind=TWO_TOWER_KIND).file("items.safetensors")
    items = read_weights(file, {"inputs": table, "vectors": table})
    return ItemEmbeddings(vectors=items["vectors"].numpy(), model=TWO_TOWER_KIND)


class TwoTowerSource:
    """Recommends the items whose vectors are nearest to the history's; the score is the cosine."""

    name = "two_tower"

    def __init__(self, two_tower: TwoTower) -> None:
        self._two_tower = two_tower

    @torch.inference_mode()
    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        """The k nearest permitted items of each question; an empty history has a learned vector."""
        return answer_in_parts(requests, ROWS_AT_ONCE, lambda part: self._recommend(part, k))

    def _recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        model, two_tower = self._two_tower.model, self._two_tower
        requests = requests.within(len(two_tower.index.vectors))
        user_vector = model.read_histories(requests.item_index, two_tower.item_inputs)
        permitted = requests.permitted(len(two_tower.index.vectors))
        return two_tower.index.search(user_vector, permitted, k, self.name)
