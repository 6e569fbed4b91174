"""The vectors that codes describe, found again from what a run folder holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from genrec.embeddings import CoOccurrenceConfig, ItemEmbeddings, collaborative_vectors
from genrec.errors import InputError
from genrec.interactions import Histories
from genrec.semantic_ids.fitting import COLLABORATIVE
from genrec.semantic_ids.fusion import Modality
from genrec.semantic_ids.semantic_ids import SemanticIds
from genrec.semantic_ids.vectors import Vectors, sample_rows

__all__ = ["Described", "find_described"]

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

MEASURED_ITEMS = 65_536
REPRODUCED = 0.95
"""Share of the codes that vectors must lead to again to be those that the codes were made from; the
rest is left to rounding, which differs between machines."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """What codes describe; of very many items a sample."""

    what: str
    """Which vectors they are, in words."""
    rows: Numbers
    """int64 [n]: the items, ascending."""
    vectors: Floats
    """float32 [n, D]."""
    reproduced: float
    """Share of these items whose nearest codes, searched anew, are the stored ones."""


def find_described(
    ids: SemanticIds,
    content: Vectors | None,
    train: Histories | None,
    collaborative: ItemEmbeddings | None = None,
) -> Described | None:
    """The vectors that the codes of N items were made from, made again from what is given.

    Vectors are taken if they lead to the stored codes again. Collaborative vectors are not kept
    with the ids: where they are not given, they are learnt anew from the training histories, and
    where that cannot be done, fused ids are looked at with what the fusion predicts of them from
    the content.

    Args:
        ids: the Semantic IDs.
        content: float32 [N, D], or None.
        train: the histories that the ids were allowed to learn from, or None.
        collaborative: the collaborative vectors that were handed over, of the same items.

    Returns:
        None if nothing that is given leads to these codes.
    """
    rows = sample_rows(len(ids.codes), MEASURED_ITEMS, seed=0)
    known = None
    if content is not None and content.shape[1] == ids.content_width:
        known = np.array(content[rows])
    for what, vectors in _candidates(ids, rows, known, _learnt(ids, train, collaborative)):
        found = _described(ids, what, rows, vectors)
        if found.reproduced >= REPRODUCED:
            return found
    if ids.fusion is None or known is None:
        return None
    what = f"content vectors, the part {', '.join(ids.fusion.names)} predicted from them"
    return _described(ids, what, rows, ids.fusion(torch.from_numpy(known)).numpy())


def _candidates(
    ids: SemanticIds, rows: Numbers, known: Floats | None, learnt: Modality | None
) -> Iterator[tuple[str, Floats]]:
    """What the codes may describe, in words, with the vectors [n, D] of these rows."""
    if ids.fusion is None and known is not None:
        yield "content vectors", known
    if learnt is None:
        return
    part = Modality(vectors=learnt.vectors[rows], weight=1.0, confidence=learnt.trust[rows])
    if ids.fusion is None:
        yield "collaborative vectors", part.vectors
    elif known is not None:
        fused = ids.fusion.apply_to(known, {COLLABORATIVE: part})[:]
        yield "content vectors fused with collaborative ones", fused


def _learnt(
    ids: SemanticIds, train: Histories | None, collaborative: ItemEmbeddings | None
) -> Modality | None:
    """Collaborative vectors [N, D], if they are all that the ids may need beside the content."""
    width = len(ids.quantizer.preparation.mean)
    if ids.fusion is not None:
        if ids.fusion.names != (COLLABORATIVE,):
            return None
        width = ids.fusion.widths[COLLABORATIVE]
    found = collaborative or _learnt_again(ids, train)
    if found is None or found.vectors.shape[1] != width:
        return None
    return Modality(vectors=found.vectors, weight=1.0, confidence=found.confidence)


def _learnt_again(ids: SemanticIds, train: Histories | None) -> ItemEmbeddings | None:
    if train is None:
        return None
    config = CoOccurrenceConfig(seed=ids.config.seed)
    try:
        return collaborative_vectors(train, len(ids.codes), config)
    except InputError:  # nobody has two different events, so nothing was learnt from these
        return None


def _described(ids: SemanticIds, what: str, rows: Numbers, vectors: Floats) -> Described:
    same = (ids.quantizer.assign_array(vectors) == ids.native_codes[rows]).all(axis=1)
    return Described(what=what, rows=rows, vectors=vectors, reproduced=float(same.mean()))
