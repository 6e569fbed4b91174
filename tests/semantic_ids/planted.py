"""Semantic IDs whose meaning is known: items in groups and kinds, vectors as sums of codes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from genrec.interactions import Catalogue, Histories
from genrec.semantic_ids import (
    LinearQuantizer,
    Preparation,
    ProductConfig,
    ResidualKMeansConfig,
    SemanticIds,
)

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint16]

NUM_GROUPS, NUM_KINDS, ITEMS_EACH = 8, 5, 4
NUM_ITEMS = NUM_GROUPS * NUM_KINDS * ITEMS_EACH
SIZE, WIDTH = 8, 16
COLUMNS = np.unravel_index(np.arange(NUM_ITEMS), (NUM_GROUPS, NUM_KINDS, ITEMS_EACH))
GROUP, KIND, PLACE = (column.astype(np.int64) for column in COLUMNS)


def planted_codes() -> Codes:
    """uint16 [160, 3]: the group, the kind, the place in the kind."""
    return np.stack([GROUP, KIND, PLACE], axis=1).astype(np.uint16)


def planted_codebooks(num_levels: int = 3) -> Floats:
    """float32 [L, 8, 16]: each level much finer than the one before."""
    codebooks = np.random.default_rng(0).normal(size=(num_levels, SIZE, WIDTH))
    return (codebooks * 0.15 ** np.arange(num_levels)[:, None, None]).astype(np.float32)


def ids_of(codes: Codes, codebooks: Floats, *, parts: bool = False) -> SemanticIds:
    """Semantic IDs of these codes [N, L]; the nearest codes are the same.

    Args:
        codes: uint16 [N, L], unique.
        codebooks: float32 [L, K, W].
        parts: whether they say that they come from product quantisation.
    """
    _, num_codes, width = codebooks.shape
    config = ProductConfig if parts else ResidualKMeansConfig
    return SemanticIds(
        codes=codes,
        native_codes=codes,
        config=config(num_levels=codes.shape[1], num_codes=num_codes),
        quantizer=LinearQuantizer(
            Preparation(width=width, out_width=width, rotates=False),
            torch.from_numpy(codebooks),
            width,
        ),
        explained_variance=0.5,
    )


def planted_ids() -> SemanticIds:
    """The ids of `planted_codes`."""
    return ids_of(planted_codes(), planted_codebooks())


def planted_vectors() -> Floats:
    """float32 [160, 16]: exactly what the codes stand for."""
    codes = torch.from_numpy(planted_codes().astype(np.int64))
    return np.asarray(planted_ids().quantizer.decode(codes).numpy())


def planted_catalogue() -> Catalogue:
    """Titles, and as categories a root, the group, and the group with the kind."""
    rows = [
        {
            "item_id": f"i{item}",
            "title": f"<{place}> of kind {kind} in group {group}",
            "categories": ["everything", f"group {group}", f"kind {group}.{kind}"],
            "year": 2000 + place,
        }
        for item, (group, kind, place) in enumerate(zip(GROUP, KIND, PLACE, strict=True))
    ]
    return Catalogue(pl.DataFrame(rows))


def histories_within_kinds() -> Histories:
    """Each person has all items of one kind and nothing else."""
    return Histories.from_lists(
        np.arange(NUM_ITEMS).reshape(NUM_GROUPS * NUM_KINDS, ITEMS_EACH).tolist()
    )
