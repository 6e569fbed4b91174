"""Trains the two towers, chooses the epoch on validation questions and makes what serving needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.interactions import EvaluationSet, Histories, RequestBatch
from genrec.retrieval.popularity import count_items
from genrec.retrieval.prefixes import PrefixBatches
from genrec.retrieval.saved import TwoTower
from genrec.retrieval.two_tower import TwoTowerConfig, TwoTowerModel
from genrec.training import fit

__all__ = ["fit_two_tower"]

VALIDATION_CHUNK = 1024
CUTOFF = 10


def fit_two_tower(
    train: Histories,
    content: npt.NDArray[np.float32],
    config: TwoTowerConfig,
    *,
    validation: EvaluationSet | None,
    mask_seen: bool,
    work_dir: Path,
    label: str = "two-tower",
) -> TwoTower:
    """A two-tower retriever with its item vectors and index, ready to serve or to save.

    Args:
        train: histories to learn from; every prefix asks for its next item.
        content: float32 [N, Dc]: a content embedding of every item of the catalogue.
        config: sizes, epochs, seed.
        validation: questions that choose the epoch by recall@10, all items ranked; None trains
            all epochs and keeps the last weights.
        mask_seen: whether validation leaves out the items of each question's history.
        work_dir: checkpoints and logs; an interrupted training found there is continued.
        label: what the progress bar says.

    Raises:
        InputError: no events to train on, or an item that `content` does not cover.
    """
    if train.item_index.size and int(train.item_index.max()) >= len(content):
        raise InputError(
            f"item_index {int(train.item_index.max())} has no content embedding, there are "
            f"{len(content)}: embed the same catalogue that the histories speak of"
        )
    batches = PrefixBatches(
        train,
        batch_events=config.batch_events,
        max_history=config.max_history,
        seed=config.training.seed,
    )
    counts = count_items(train, len(content))
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        model = TwoTowerModel(torch.tensor(content), torch.from_numpy(counts), config)

    def validate() -> dict[str, float]:
        assert validation is not None
        return validation_metrics(model, validation, mask_seen)

    result = fit(
        model,
        batches,
        config.training,
        validate=None if validation is None else validate,
        metric=f"recall@{CUTOFF}",
        work_dir=work_dir,
        label=label,
        identity=_identity(train, content, config),
    )
    return TwoTower.from_model(model.cpu().eval(), result)


def validation_metrics(
    model: TwoTowerModel, questions: EvaluationSet, mask_seen: bool
) -> dict[str, float]:
    """recall@10 and ndcg@10 over all items; the target's rank counts equals as better."""
    inputs, vectors = model.catalogue()
    ranks = []
    for start in range(0, len(questions), VALIDATION_CHUNK):
        rows = np.arange(start, min(start + VALIDATION_CHUNK, len(questions)))
        requests = RequestBatch.from_histories(questions.histories.select(rows))
        scores = model.read_histories(requests.item_index.to(inputs.device), inputs) @ vectors.T
        target = torch.from_numpy(questions.target[rows]).to(inputs.device)
        ranks.append(_rank(scores.cpu(), target.cpu(), requests, mask_seen))
    rank = torch.cat(ranks)  # [B], 1 is best
    found = rank <= CUTOFF
    gain = torch.where(found, 1 / torch.log2(rank + 1.0), 0.0)
    return {
        f"recall@{CUTOFF}": float(found.float().mean()),
        f"ndcg@{CUTOFF}": float(gain.mean()),
    }


def _rank(scores: Tensor, target: Tensor, requests: RequestBatch, mask_seen: bool) -> Tensor:
    """int64 [B]: 1 + the number of other permitted items that score at least as high."""
    own = scores.gather(1, target[:, None])  # [B, 1]
    rivals = scores >= own  # [B, N], the target among them
    if mask_seen:
        permitted = requests.without_seen().permitted(scores.shape[1])
        assert permitted is not None
        rivals &= permitted.scatter(1, target[:, None], True)
    return rivals.sum(1)


def _identity(
    train: Histories, content: npt.NDArray[np.float32], config: TwoTowerConfig
) -> Mapping[str, Any]:
    """What a checkpoint must agree with to be continued: the data and the model's settings."""
    digest = hashlib.sha256()
    for array in (train.item_index, train.offsets, content):
        digest.update(np.ascontiguousarray(array).tobytes())
    return {"two_tower": asdict(config), "data": digest.hexdigest()}
