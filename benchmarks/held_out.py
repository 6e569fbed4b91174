"""Items that nothing is fitted on: drawn, taken out of the histories, and ids made without them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.tokenizers import ARMS
from genrec.interactions import Histories
from genrec.retrieval import TwoTowerConfig, fit_two_tower
from genrec.semantic_ids import (
    COLLABORATIVE,
    Modality,
    ResidualKMeansConfig,
    SemanticIds,
    fit_semantic_ids,
    tokenizer_record,
)

__all__ = ["HELD_OUT", "fit_without", "hold_out", "record_without", "without"]

HELD_OUT = 0.05
ARM = ARMS["rkmeans-two-tower"]
"""The default."""
DEFAULT_TOKENIZER = ResidualKMeansConfig()
RETRIEVER_EPOCHS = 11
"""As validation chose for the whole catalogue."""

Rows = npt.NDArray[np.int64]


def hold_out(num_items: int, generator: np.random.Generator) -> tuple[Rows, Rows]:
    """int64 each, rising: the items that are held out, and all others."""
    held = np.sort(generator.choice(num_items, round(HELD_OUT * num_items), replace=False))
    return held, np.setdiff1d(np.arange(num_items), held)


def without(train: Histories, items: Rows) -> Histories:
    """Histories without the events of these items."""
    kept = ~np.isin(train.item_index, items)
    user = np.repeat(np.arange(len(train)), train.lengths)
    lengths = np.bincount(user[kept], minlength=len(train))
    return Histories(
        item_index=train.item_index[kept],
        event_time=train.event_time[kept],
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
    )


def record_without(seed: int) -> dict[str, object]:
    """What decides the ids of `fit_without`, beside its data: JSON values."""
    return {
        "held_out": HELD_OUT,
        "retriever": asdict(_retriever(seed)),
        "weight": ARM.weight,
        **tokenizer_record(replace(DEFAULT_TOKENIZER, seed=seed)),
    }


def fit_without(
    train: Histories, text: npt.NDArray[np.float32], fitted: Rows, *, seed: int, work: Path
) -> SemanticIds:
    """Default Semantic IDs of the items `fitted`, in their order; the others take no part.

    Neither do they in the training of the retriever whose item vectors the codes describe.

    Args:
        train: histories over the whole catalogue.
        text: float32 [N, D]: content of the whole catalogue.
        fitted: int64 [F], rising.
        seed: of retriever and codes.
        work: checkpoints of the retriever.
    """
    number = np.full(len(text), -1)
    number[fitted] = np.arange(len(fitted))
    known = without(train, np.setdiff1d(np.arange(len(text)), fitted))
    two_tower = fit_two_tower(
        replace(known, item_index=number[known.item_index]),
        text[fitted],
        _retriever(seed),
        validation=None,
        mask_seen=True,
        work_dir=work,
        label=f"two-tower {seed}",
    )
    modality = Modality(vectors=two_tower.index.vectors.numpy(), weight=ARM.weight)
    return fit_semantic_ids(
        text[fitted],
        replace(DEFAULT_TOKENIZER, seed=seed),
        modalities={COLLABORATIVE: modality},
    )


def _retriever(seed: int) -> TwoTowerConfig:
    base = TwoTowerConfig()
    return replace(base, training=replace(base.training, num_epochs=RETRIEVER_EPOCHS, seed=seed))
