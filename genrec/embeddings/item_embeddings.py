"""The vectors of a catalogue's items, as they are handed on and saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genrec import artifacts
from genrec.checked import get_value, read_array
from genrec.errors import ArtifactError, InputError

__all__ = ["EMBEDDINGS_KIND", "ItemEmbeddings", "require_usable"]

EMBEDDINGS_KIND = "embeddings"
VECTORS_FILE = "vectors.npy"
CONFIDENCE_FILE = "confidence.npy"

ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, kw_only=True)
class ItemEmbeddings:
    """One vector an item, in the order of item_index."""

    vectors: npt.NDArray[np.float32]
    """float32 [N, D], all finite."""
    model: str
    """What made them: the encoder's name as it was asked for, `co-occurrence`, or a file's name."""
    confidence: npt.NDArray[np.float32] | None = None
    """float32 [N] in 0…1: how far each row is to be trusted; None trusts all alike."""

    def __post_init__(self) -> None:
        require_usable("item", self.vectors)
        if self.confidence is not None and self.confidence.shape != (len(self.vectors),):
            raise InputError(
                f"confidence must have one value an item ({len(self.vectors)}), got shape "
                f"{list(self.confidence.shape)}"
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
            if self.confidence is not None:
                np.save(folder / CONFIDENCE_FILE, self.confidence, allow_pickle=False)

    @classmethod
    def load(cls, path: Path | str, *, num_items: int | None = None) -> ItemEmbeddings:
        """Reads an artefact of kind `embeddings` after verifying it.

        Args:
            path: where it stands.
            num_items: of the catalogue that it shall describe; None takes any.

        Raises:
            ArtifactError: it is missing, altered, not embeddings, or of another number of items.
        """
        artifact = artifacts.read(path, kind=EMBEDDINGS_KIND)
        size = ("float32", (num_items, None))
        vectors = read_array(artifact.file(VECTORS_FILE), size, mapped=True)
        vectors.flags.writeable = False  # what was verified is shared by whoever loads it
        confidence = None
        if (artifact.path / CONFIDENCE_FILE).is_file():
            spec = ("float32", (len(vectors),))
            confidence = read_array(artifact.file(CONFIDENCE_FILE), spec)
        model = get_value(str, artifact.config.get("model"), f"{path}/manifest.json: model")
        try:
            return cls(vectors=vectors, model=model, confidence=confidence)
        except InputError as error:
            raise ArtifactError(f"{path}: {error}") from error


def require_usable(name: str, vectors: npt.NDArray[np.float32]) -> None:
    """Raises InputError, with the rows at fault, unless these are vectors of N items, all finite.

    Args:
        name: of which kind, for the message.
        vectors: float32 [N, D], possibly mapped from a file, which is read once, in blocks.
    """
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(
            f"{name} vectors must be [N, D] with at least one item, got {vectors.shape}"
        )
    if vectors.dtype != np.float32:
        raise InputError(f"{name} vectors must be float32, got {vectors.dtype}")
    broken = [
        start + row
        for start in range(0, len(vectors), ROWS_AT_ONCE)
        for row in _not_finite(vectors[start : start + ROWS_AT_ONCE])
    ]
    if broken:
        raise InputError(
            f"{len(broken)} item(s) have NaN or infinity in their {name} vectors, the first in "
            f"rows {broken[:5]}; mend or drop these items"
        )


def _not_finite(block: npt.NDArray[np.float32]) -> list[int]:
    """The rows of a block with NaN or infinity."""
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(block.sum()):  # the sum of anything with NaN or infinity is neither
            return []
    rows: list[int] = np.flatnonzero(~np.isfinite(block).all(axis=1)).tolist()
    return rows
