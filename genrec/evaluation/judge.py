"""What selects a model while it trains: recall@10 and NDCG@10 on a sample of questions."""

from __future__ import annotations

import numpy as np

from genrec.evaluation.metrics import ndcg_at, recall_at, target_ranks
from genrec.evaluation.offline import EvaluationTask
from genrec.interactions import Source

__all__ = ["judge"]

QUESTIONS_AT_ONCE = 256


def judge(source: Source, task: EvaluationTask) -> dict[str, float]:
    """`recall@k` and `ndcg@k` of a source, k being the task's; quiet, for use inside a training.

    Args:
        source: who answers.
        task: validation questions.
    """
    parts = []
    for start in range(0, len(task), QUESTIONS_AT_ONCE):
        requests = task.requests(start, start + QUESTIONS_AT_ONCE)
        items = source.recommend(requests, task.k).item_index.cpu().numpy()
        parts.append(target_ranks(items, task.questions.target[start : start + len(requests)]))
    ranks = np.concatenate(parts)
    return {
        f"recall@{task.k}": float(recall_at(ranks, task.k).mean()),
        f"ndcg@{task.k}": float(ndcg_at(ranks, task.k).mean()),
    }
