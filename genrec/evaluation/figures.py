"""Results as rows of JSON values: what one method, one deadline, one pair of methods shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.evaluation.latency import DeadlineRun, Latency
from genrec.evaluation.metrics import ndcg_at, recall_at, reciprocal_rank_at
from genrec.evaluation.offline import RankedLists
from genrec.evaluation.statistics import (
    BootstrapConfig,
    Estimate,
    PairedDifference,
    bootstrap_mean,
    compare_paired,
)

__all__ = [
    "METRICS",
    "Json",
    "accuracy_row",
    "deadline_row",
    "estimates",
    "latency_row",
    "paired_row",
]

Json = dict[str, Any]
"""A tree of JSON values; Any because its leaves have no common type."""
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

METRICS: dict[str, Callable[[IntArray], FloatArray]] = {
    "recall@5": lambda ranks: recall_at(ranks, 5),
    "ndcg@5": lambda ranks: ndcg_at(ranks, 5),
    "recall@10": lambda ranks: recall_at(ranks, 10),
    "ndcg@10": lambda ranks: ndcg_at(ranks, 10),
    "mrr@10": lambda ranks: reciprocal_rank_at(ranks, 10),
}
"""What is reported of every method, from ranks int64 [B, R] to float64 [B]."""
PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}


def estimates(ranks: IntArray, names: Iterable[str], bootstrap: BootstrapConfig) -> Json:
    """The metrics of these names, each with its interval.

    Args:
        ranks: int64 [B, R].
        names: keys of METRICS.
        bootstrap: of the intervals.
    """
    row: Json = {}
    for name in names:
        estimate = bootstrap_mean(METRICS[name](ranks), bootstrap)
        row[name] = estimate.mean
        row[f"{name}_ci95"] = _interval(estimate)
    return row


def accuracy_row(lists: RankedLists, bootstrap: BootstrapConfig) -> Json:
    """Every metric with its interval, and what stands in the lists that must not."""
    row = estimates(lists.ranks, METRICS, bootstrap)
    row["invalid"] = asdict(lists.faults) | {"total": lists.faults.total}
    row["seconds"] = lists.seconds
    return row


def latency_row(latency: Latency | None) -> Json:
    """Percentiles of a method and of its stages, milliseconds; null where it was not timed."""
    if latency is None:
        return {"latency_ms": dict.fromkeys(PERCENTILES), "stage_ms": {}}
    return {
        "latency_ms": _percentiles(latency.total_ms),
        "stage_ms": {name: _percentiles(ms) for name, ms in latency.stage_ms.items()},
    }


def deadline_row(
    run: DeadlineRun | None, ranks_without: IntArray | None, bootstrap: BootstrapConfig
) -> Json:
    """What is left under the enforced deadline; null where it was not tried.

    Args:
        run: n people answered under the deadline.
        ranks_without: int64 [n, 1]: the ranks of the same people's targets without one.
        bootstrap: of the cost's interval.
    """
    if run is None or ranks_without is None:
        names = ("within_budget", "recall@10_in_budget", "recall@10_without_deadline")
        return dict.fromkeys(names) | {"deadline_cost": None, "served_by": {}}
    kept = np.where(run.in_time, recall_at(run.ranks, 10), 0.0)  # a late answer is a miss
    without = recall_at(ranks_without, 10)
    served = Counter(run.served_by)
    return {
        "within_budget": float(run.in_time.mean()),
        "recall@10_in_budget": float(kept.mean()),
        "recall@10_without_deadline": float(without.mean()),
        "deadline_cost": paired_row(compare_paired(without, kept, bootstrap)),
        "served_by": {name: count / len(run.served_by) for name, count in served.most_common()},
    }


def paired_row(paired: PairedDifference) -> Json:
    """A paired difference as report.json holds it."""
    return {
        "difference": paired.difference.mean,
        "ci95": _interval(paired.difference),
        "excludes_zero": paired.excludes_zero,
        "p_value": paired.p_value,
        "effect_size": paired.effect_size,
        "num_better": paired.num_better,
        "num_worse": paired.num_worse,
    }


def _percentiles(milliseconds: FloatArray) -> Json:
    values = np.percentile(milliseconds, list(PERCENTILES.values()))
    return {name: float(value) for name, value in zip(PERCENTILES, values, strict=True)}


def _interval(estimate: Estimate) -> list[float]:
    return [estimate.low, estimate.high]
