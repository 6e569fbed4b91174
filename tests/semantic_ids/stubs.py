"""Semantic IDs made without a fit: random codes, items that lie near them, and the nearest ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from genrec.semantic_ids.collisions import resolve_collisions
from genrec.semantic_ids.linear import LinearQuantizer, ResidualKMeansConfig
from genrec.semantic_ids.preparation import Preparation
from genrec.semantic_ids.semantic_ids import SemanticIds
from genrec.semantic_ids.store import SemanticIdStore

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

Floats = npt.NDArray[np.float32]

WIDTH = 3


def content_of(num_items: int, seed: int, width: int = WIDTH) -> Floats:
    """float32 [n, width]; every fifth item is a copy of the one before."""
    content = np.random.default_rng(seed).normal(size=(num_items, width)).astype(np.float32)
    content[4::5] = content[3::5][: len(content[4::5])]
    return content


def stub_ids(
    num_items: int, *, num_levels: int = 3, num_codes: int = 4, seed: int = 0, width: int = WIDTH
) -> SemanticIds:
    """Unique ids for `content_of(num_items, seed)`, by random codebooks that become finer."""
    generator = np.random.default_rng([seed, 1])
    codebooks = generator.normal(size=(num_levels, num_codes, width)).astype(np.float32)
    codebooks *= 0.6 ** np.arange(num_levels, dtype=np.float32)[:, None, None]
    preparation = Preparation(width=width, out_width=width, rotates=False)
    quantizer = LinearQuantizer(preparation, torch.from_numpy(codebooks), width)
    content = content_of(num_items, seed, width)
    native = quantizer.assign(quantizer.encode(torch.from_numpy(content))).numpy()
    native = native.astype(np.uint16)
    return SemanticIds(
        codes=resolve_collisions(content, list(codebooks), native).codes.astype(np.uint16),
        native_codes=native,
        config=ResidualKMeansConfig(num_levels=num_levels, num_codes=num_codes),
        quantizer=quantizer,
        explained_variance=0.5,
    )


def add_together(path: Path, name: str, num_items: int, seed: int, start: Barrier) -> None:
    """One of several processes: adds items one by one as soon as all are ready."""
    torch.set_num_threads(1)
    store = SemanticIdStore.open(path)
    content = content_of(num_items, seed)
    start.wait()
    for item in range(num_items):
        store.add([f"{name}{item}"], content[item : item + 1])
