"""How much of the vectors the codes keep: their variance, and which items lie near each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from genrec.semantic_ids.agreement import chance_of_sharing
from genrec.semantic_ids.quantizer import Quantizer
from genrec.semantic_ids.vectors import blocks_of, sample_rows

__all__ = ["LevelError", "Neighbours", "measure_errors", "measure_neighbours"]

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

NUM_NEIGHBOURS = 10
NUM_QUERIES = 1_000
QUERIES_AT_ONCE = 250


@dataclass(frozen=True, kw_only=True)
class LevelError:
    """Squared error as a share of the vectors' variance: 1 - what is explained."""

    num_levels: int
    """First codes that are kept, l; the others are left out."""
    error: float
    """Of the nearest codes."""
    pca_error: float
    """Of l principal components: as many numbers as there are codes, each in as many bits."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """What becomes of the items that lie nearest to an item, by cosine."""

    num_neighbours: int
    num_queries: int
    """Items whose neighbours were looked at."""
    same_first_code: float
    """Share of the neighbours with the same first code."""
    random_first_code: float
    """The same if codes were dealt out at random."""
    kept: float
    """Share of the neighbours that are among as many nearest by the vectors made from the ids."""
    random_kept: float


def measure_errors(
    quantizer: Quantizer, vectors: Floats, native_codes: npt.NDArray[np.integer]
) -> tuple[LevelError, ...]:
    """The error of 1 … L codes and of as many principal components, in prepared vectors.

    Args:
        quantizer: that made the codes.
        vectors: float32 [n, D], what it was given.
        native_codes: [n, L], the nearest codes.
    """
    with torch.no_grad():
        prepared = quantizer.preparation(torch.tensor(vectors)).numpy().astype(np.float64)
    centred = prepared - prepared.mean(axis=0)
    variances = np.maximum(np.linalg.eigvalsh(centred.T @ centred)[::-1], 0.0)
    total = float(variances.sum())
    errors = []
    for kept in range(1, native_codes.shape[1] + 1):
        outputs = _prepared_outputs(quantizer, native_codes[:, :kept])
        error = float(((outputs - prepared) ** 2).sum())
        errors.append(
            LevelError(
                num_levels=kept,
                error=error / total if total else 0.0,
                pca_error=float(variances[kept:].sum()) / total if total else 0.0,
            )
        )
    return tuple(errors)


def _prepared_outputs(quantizer: Quantizer, codes: npt.NDArray[np.integer]) -> Floats:
    """float32 [n, W]: what codes [n, l] stand for, as the quantiser sees vectors."""
    tensor = torch.from_numpy(codes.astype(np.int64))
    with torch.no_grad():
        blocks = [
            quantizer.preparation(quantizer.decode(tensor[rows])) for rows in blocks_of(len(tensor))
        ]
    return np.asarray(torch.cat(blocks).numpy())


def measure_neighbours(
    quantizer: Quantizer, vectors: Floats, codes: npt.NDArray[np.integer], *, seed: int
) -> Neighbours | None:
    """Whether the items nearest to an item are still near by the ids.

    Args:
        quantizer: that made the codes.
        vectors: float32 [n, D], what it was given.
        codes: [n, L], the ids.
        seed: of the draw of items that are asked about.

    Returns:
        None if there is one item only.
    """
    count = min(NUM_NEIGHBOURS, len(codes) - 1)
    if count < 1:
        return None
    queries = sample_rows(len(codes), NUM_QUERIES, seed)
    decoded = _decoded(quantizer, codes)
    near = _nearest(vectors, queries, count)  # [q, k]
    near_by_ids = _nearest(decoded, queries, count)
    found = (near[:, :, None] == near_by_ids[:, None, :]).any(axis=2)
    first = codes[:, 0].astype(np.int64)
    return Neighbours(
        num_neighbours=count,
        num_queries=len(queries),
        same_first_code=float((first[near] == first[queries][:, None]).mean()),
        random_first_code=chance_of_sharing(first),
        kept=float(found.mean()),
        random_kept=count / (len(codes) - 1),
    )


def _decoded(quantizer: Quantizer, codes: npt.NDArray[np.integer]) -> Floats:
    tensor = torch.from_numpy(codes.astype(np.int64))
    blocks = [quantizer.decode(tensor[rows]) for rows in blocks_of(len(tensor))]
    return np.asarray(torch.cat(blocks).numpy())


def _nearest(vectors: Floats, queries: Numbers, count: int) -> Numbers:
    """int64 [q, count]: the rows most alike to each query's, itself left out, in no order."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.maximum(lengths, 1e-12)
    found = np.empty((len(queries), count), dtype=np.int64)
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        rows = queries[start : start + QUERIES_AT_ONCE]
        likeness = units[rows] @ units.T  # [q, n]
        likeness[np.arange(len(rows)), rows] = -np.inf
        found[start : start + len(rows)] = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
    return found
