"""The whole comparison as one JSON tree: every method, the same people, the same rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genrec.errors import InputError
from genrec.evaluation.figures import (
    METRICS,
    Json,
    accuracy_row,
    deadline_row,
    latency_row,
    paired_row,
)
from genrec.evaluation.latency import measure_deadline, measure_latency
from genrec.evaluation.metrics import NOT_FOUND, recall_at
from genrec.evaluation.no_history import MADE_BY, no_history_lists, no_history_ranks
from genrec.evaluation.offline import EvaluationTask, RankedLists, evaluate_source
from genrec.evaluation.order import choose_example, num_changed, num_shared, shuffled_task
from genrec.evaluation.predictions import PredictedLists, PredictionReading, load_predictions
from genrec.evaluation.segments import segment_rows, segments_of
from genrec.evaluation.statistics import BootstrapConfig, compare_paired, holm
from genrec.funnel import FALLBACKS, LastResort, make_funnel
from genrec.interactions import InteractionDataset, Source, Split

__all__ = ["CompareConfig", "compare"]

LIST_LENGTH = 10
COMPARED_METRICS = ("recall@10", "ndcg@10")
LAST_RESORT = "popularity"
"""Whose list, made beforehand, is always in time."""
REFERENCES = ("dense", "two_tower")
"""Beside the best method, whom every other is compared with."""
ORDER_CONTROL_OF = "combined"
"""Whose histories are shuffled; the best method where this one is not compared."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """How the comparison is made; saved with the report."""

    history: int = 50
    """Events that the models read at most; stated, and set beside the order control."""
    budget_ms: float = 50.0
    """Milliseconds that one answer may take on one thread."""
    deadline_users: int = 1000
    """People, drawn from the test users, who are answered under the enforced deadline."""
    timed_requests: int = 300
    """The first of them, whose requests are timed without a deadline."""
    batch_size: int = 256
    """Questions at once where only accuracy is measured."""
    num_resamples: int = 10_000
    """Bootstrap resamples and sign flips."""
    seed: int = 0
    """Of the sample of people, the shuffled histories and the resamples."""

    def __post_init__(self) -> None:
        if not 0 < self.budget_ms < math.inf:
            raise InputError(f"budget_ms must be above 0 and finite, got {self.budget_ms}")
        for name in ("history", "deadline_users", "timed_requests", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def bootstrap(self) -> BootstrapConfig:
        """The same, as statistics take it."""
        return BootstrapConfig(num_resamples=self.num_resamples, seed=self.seed)


def compare(
    dataset: InteractionDataset,
    split: Split,
    sources: Mapping[str, Source],
    config: CompareConfig,
    *,
    predictions: Mapping[str, Path] | None = None,
    reading: PredictionReading | None = None,
) -> Json:
    """Every source and every file of predictions judged on the test questions of a split.

    Accuracy is measured without a deadline over all test users; latency and what is left under
    the budget over a sample of them, one request at a time on one thread.

    Args:
        dataset: catalogue, names of users, repeat policy.
        split: its test questions are asked; its training part says which items and people are new.
        sources: who is compared, in the order of the tables.
        config: how.
        predictions: tables of lists that other models made, by name.
        reading: how these are read, and which of their columns mean what.

    Returns:
        A tree of JSON values without NaN; `report.json` holds it.

    Raises:
        InputError: a fallback is not among the sources, a name twice, a file that is not there.
        DataError: a file of predictions with defects.
    """
    predictions = predictions or {}
    _check_names(sources, predictions)
    task = _task_of(dataset, split)
    foreign = {
        name: load_predictions(path, name, dataset, task, reading)
        for name, path in predictions.items()
    }  # first: their defects should not wait for an hour of evaluation
    lists = {
        name: evaluate_source(source, task, batch_size=config.batch_size, label=name)
        for name, source in sources.items()
    } | {name: predicted.lists for name, predicted in foreign.items()}
    methods = {name: _untimed_row(each, config) for name, each in lists.items()}
    best = max(lists, key=lambda name: methods[name]["recall@10"])
    order_control, control_row = _order_control(dataset, task, sources, lists, config)
    _add_speed(methods, sources, lists, task, config)
    for name, predicted in foreign.items():
        methods[name] |= _about_file(predicted)
    return _protocol(dataset, split, task, config) | {
        "best": best,
        "methods": methods | control_row,
        "paired": _paired(lists, best, config),
        "order_control": order_control,
        "segments": segment_rows(
            segments_of(split, task, config.history),
            {name: each.ranks for name, each in lists.items()},
            config.bootstrap,
        ),
        "no_history": _no_history(dataset, task, sources, config),
    }


def _task_of(dataset: InteractionDataset, split: Split) -> EvaluationTask:
    return EvaluationTask(
        questions=split.test,
        num_items=dataset.num_items,
        repeats=dataset.repeats,
        k=LIST_LENGTH,
    )


def _protocol(
    dataset: InteractionDataset, split: Split, task: EvaluationTask, config: CompareConfig
) -> Json:
    """What was asked, of whom and how."""
    return {
        "dataset": dataset.name,
        "split": str(split.protocol),
        "repeats": str(dataset.repeats),
        "repeat_share": dataset.repeat_share,
        "history": config.history,
        "num_users": len(task),
        "num_items": dataset.num_items,
        "k": task.k,
        "budget_ms": config.budget_ms,
        "deadline_users": min(config.deadline_users, len(task)),
        "timed_requests": min(config.timed_requests, config.deadline_users, len(task)),
        "num_resamples": config.num_resamples,
        "seed": config.seed,
    }


def _check_names(sources: Mapping[str, Source], predictions: Mapping[str, Path]) -> None:
    missing = [name for name in (*FALLBACKS, LAST_RESORT) if name not in sources]
    if missing:
        raise InputError(
            f"a comparison needs the methods that answer in time for others; {', '.join(missing)} "
            f"is not among {list(sources)}"
        )
    rows = {*sources, *(_shuffled(name) for name in sources)}
    taken = [name for name in predictions if name in rows]
    if taken:
        raise InputError(
            f"predictions are named like a method of the run: {', '.join(taken)}; "
            "choose another NAME in NAME=FILE"
        )


def _shuffled(name: str) -> str:
    return f"{name}_shuffled"


def _untimed_row(lists: RankedLists, config: CompareConfig) -> Json:
    bootstrap = config.bootstrap
    return accuracy_row(lists, bootstrap) | latency_row(None) | deadline_row(None, None, bootstrap)


def _about_file(predicted: PredictedLists) -> Json:
    return {
        "num_missing_users": predicted.num_missing_users,
        "num_other_users": predicted.num_other_users,
        "seconds": None,
    }


def _add_speed(
    methods: dict[str, Json],
    sources: Mapping[str, Source],
    lists: Mapping[str, RankedLists],
    task: EvaluationTask,
    config: CompareConfig,
) -> None:
    """Times every source, and answers the sampled people under the deadline."""
    rows = task.draw(config.deadline_users, config.seed)
    sample = task.select(rows)
    timed = sample.select(np.arange(min(config.timed_requests, len(sample))))
    latency = measure_latency(sources, timed)
    last_resort = LastResort.of(sources[LAST_RESORT], task.num_items)
    for name in sources:
        run = measure_deadline(make_funnel(sources, name, last_resort), sample, config.budget_ms)
        methods[name] |= latency_row(latency[name])
        methods[name] |= deadline_row(run, lists[name].ranks[rows], config.bootstrap)


def _paired(lists: Mapping[str, RankedLists], best: str, config: CompareConfig) -> list[Json]:
    """Every method against the best and against the references, each pair once, Holm a metric."""
    references = [best, *(name for name in REFERENCES if name in lists and name != best)]
    pairs = [
        (name, reference)
        for place, reference in enumerate(references)
        for name in lists
        if name not in references[: place + 1]
    ]
    rows: list[Json] = []
    for metric in COMPARED_METRICS:
        values = {name: METRICS[metric](each.ranks) for name, each in lists.items()}
        found = [
            compare_paired(values[first], values[second], config.bootstrap)
            for first, second in pairs
        ]
        adjusted = holm([each.p_value for each in found])
        rows += [
            {"first": first, "second": second, "metric": metric, "p_holm": p_holm}
            | paired_row(each)
            for (first, second), each, p_holm in zip(pairs, found, adjusted, strict=True)
        ]
    return rows


def _no_history(
    dataset: InteractionDataset,
    task: EvaluationTask,
    sources: Mapping[str, Source],
    config: CompareConfig,
) -> Json:
    """Every source asked with empty histories: its list, where that is from, how often it is right.

    Figures are over the same people as all others, whose histories are kept from the sources.
    """
    lists = no_history_lists(sources, task.k)
    ranks = {name: no_history_ranks(items, task) for name, items in lists.items()}
    everybody = {"no history": np.ones(len(task), dtype=bool)}
    [row] = segment_rows(everybody, ranks, config.bootstrap)
    popular = lists[LAST_RESORT]
    return row | {
        "lists": {name: _items(dataset, items) for name, items in lists.items()},
        "shared_with_popularity": {
            name: int(num_shared(items[None], popular[None])[0]) for name, items in lists.items()
        },
        "made_by": {name: MADE_BY[name] for name in lists if name in MADE_BY},
    }


def _order_control(
    dataset: InteractionDataset,
    task: EvaluationTask,
    sources: Mapping[str, Source],
    lists: Mapping[str, RankedLists],
    config: CompareConfig,
) -> tuple[Json, dict[str, Json]]:
    """True order against shuffled for one method, and that method's row for the tables."""
    name = ORDER_CONTROL_OF
    if name not in sources:
        name = max(sources, key=lambda each: float(recall_at(lists[each].ranks, 10).mean()))
    label = _shuffled(name)
    shuffled = shuffled_task(task, config.seed, config.history)
    control = evaluate_source(sources[name], shuffled, batch_size=config.batch_size, label=label)
    true = lists[name]
    changed = num_changed(task.questions.histories, shuffled.questions.histories)
    differences = {
        metric: paired_row(
            compare_paired(
                METRICS[metric](true.ranks), METRICS[metric](control.ranks), config.bootstrap
            )
        )
        for metric in COMPARED_METRICS
    }
    example = choose_example(task, shuffled, true, control)
    tree: Json = {
        "method": name,
        "row": label,
        "seed": config.seed,
        "num_changed_histories": int((changed > 0).sum()),
        "mean_shared_items": float(num_shared(true.items, control.items).mean()),
        "differences": differences,
        "example": None,
    }
    if example is not None:
        target = int(task.questions.target[example.row])
        tree["example"] = {
            "user_id": dataset.user_ids[int(task.questions.user_index[example.row])],
            "target": _items(dataset, [target])[0],
            "history": _items(dataset, example.history),
            "shuffled": _items(dataset, example.shuffled),
            "answer": _items(dataset, example.answer),
            "answer_shuffled": _items(dataset, example.answer_shuffled),
            "rank": _rank(true, example.row),
            "rank_shuffled": _rank(control, example.row),
            "num_shared": example.num_shared,
        }
    return tree, {label: _untimed_row(control, config)}


def _items(
    dataset: InteractionDataset, item_index: Sequence[int] | npt.NDArray[np.int64]
) -> list[Json]:
    present = [int(i) for i in item_index if i >= 0]
    ids, titles = dataset.catalogue.ids(present), dataset.catalogue.titles(present)
    return [
        {"item_id": item_id, "title": title} for item_id, title in zip(ids, titles, strict=True)
    ]


def _rank(lists: RankedLists, row: int) -> int | None:
    rank = int(lists.ranks[row, 0])
    return None if rank == NOT_FOUND else rank
