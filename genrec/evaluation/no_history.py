"""What somebody without a history is given: the test questions, asked with nothing known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from genrec.evaluation.metrics import target_ranks
from genrec.evaluation.offline import EvaluationTask
from genrec.interactions import Histories, RequestBatch, Source

__all__ = ["MADE_BY", "no_history_lists", "no_history_ranks"]

IntArray = npt.NDArray[np.int64]

EMPTY_STATE = "a learnt empty state, trained on what histories begin with"
MADE_BY = {
    "generative": EMPTY_STATE,
    "dense": EMPTY_STATE,
    "combined": EMPTY_STATE,
    "two_tower": EMPTY_STATE,
    "two_tower_ranked": "the ranker's order of what two_tower and popularity offer",
    "popularity": "the number of training events",
}
"""What the list of a person without events comes from, by the methods of a run."""


def no_history_lists(sources: Mapping[str, Source], k: int) -> dict[str, IntArray]:
    """int64 [k] a source: what it gives to a person of whom nothing is known, not even who it is.

    One question is enough: there is nothing by which one such person differs from another.
    """
    nobody = RequestBatch.from_histories(Histories.from_lists([[]]))
    with torch.inference_mode():
        return {
            name: source.recommend(nobody, k).item_index[0].cpu().numpy()
            for name, source in sources.items()
        }


def no_history_ranks(items: IntArray, task: EvaluationTask) -> IntArray:
    """int64 [B, 1]: where the target of every question stands in the one list `items` [k]."""
    everybody = np.broadcast_to(items, (len(task), items.size))
    return target_ranks(everybody, task.questions.target)
