"""The vectors of a catalogue's items, as they are handed on and saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genrec import artifacts
from genrec.errors import ArtifactError, InputError

__all__ = ["EMBEDDINGS_KIND", "ItemEmbeddings"]

EMBEDDINGS_KIND = "embeddings"
VECTORS_FILE = "vectors.npy"


@dataclass(frozen=True, kw_only=True)
class ItemEmbeddings:
    """One vector an item, in the order of item_index."""

    vectors: npt.NDArray[np.float32]
    """float32 [N, D], all finite."""
    model: str
    """The encoder's name, as it was asked for."""

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or 0 in self.vectors.shape:
            raise InputError(f"embeddings must be [N, D], got shape {self.vectors.shape}")
        if self.vectors.dtype != np.float32:
            raise InputError(f"embeddings must be float32, got {self.vectors.dtype}")
        broken = np.flatnonzero(~np.isfinite(self.vectors).all(axis=1))
        if broken.size:
            raise InputError(
                f"{broken.size} embedding(s) hold NaN or infinity, the first in rows "
                f"{broken[:5].tolist()}; mend or drop these items"
            )

    def save(
        self,
        path: Path | str,
        *,
        config: Mapping[str, object] | None = None,
        parents: Mapping[str, artifacts.Artifact] | None = None,
    ) -> None:
        """Writes the artefact.

        Args:
            path: where it shall stand.
            config: what else it was made with, for `artifacts.is_current`; JSON values.
            parents: the artefacts it was made from.
        """
        record = {**(config or {}), "model": self.model}
        with artifacts.writing(
            path, kind=EMBEDDINGS_KIND, config=record, parents=parents
        ) as folder:
            np.save(folder / VECTORS_FILE, self.vectors, allow_pickle=False)

    @classmethod
    def load(cls, path: Path | str) -> ItemEmbeddings:
        """Reads an artefact of kind `embeddings` after verifying it.

        Raises:
            ArtifactError: it is missing, altered, or not embeddings.
        """
        artifact = artifacts.read(path, kind=EMBEDDINGS_KIND)
        vectors = np.load(artifact.file(VECTORS_FILE), allow_pickle=False)
        try:
            return cls(vectors=vectors, model=artifact.config["model"])
        except InputError as error:
            raise ArtifactError(f"{path}: {error}") from error
