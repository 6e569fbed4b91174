"""Accuracy without a deadline: a source answers every question of an evaluation set, in batches."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from genrec import console
from genrec.errors import InputError
from genrec.evaluation.metrics import target_ranks
from genrec.interactions import (
    NO_ITEM,
    EvaluationSet,
    Recommendations,
    Repeats,
    RequestBatch,
    Source,
)

__all__ = ["EvaluationTask", "Faults", "RankedLists", "count_faults", "evaluate_source"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class EvaluationTask:
    """The questions, and the rules that every method answers them by."""

    questions: EvaluationSet
    """B people, their histories and what came next."""
    num_items: int
    """N: items in the catalogue; all of them are ranked."""
    repeats: Repeats
    """Whether an item of the history may be recommended again."""
    k: int = 10
    """Length of the lists."""

    def __post_init__(self) -> None:
        if not len(self.questions):
            raise InputError("there is nobody to evaluate on; use a log with longer histories")
        if self.k < 1:
            raise InputError(f"k must be at least 1, got {self.k}")

    def __len__(self) -> int:
        return len(self.questions)

    def requests(self, start: int, stop: int) -> RequestBatch:
        """Questions `start` to `stop` as a source is asked them."""
        rows = np.arange(start, min(stop, len(self)))
        batch = RequestBatch.from_histories(
            self.questions.histories.select(rows), self.questions.user_index[rows]
        )
        return batch.without_seen() if self.repeats is Repeats.MASK else batch

    def select(self, rows: IntArray) -> EvaluationTask:
        """The same task for these of its people, in this order."""
        return replace(self, questions=self.questions.select(rows))

    def draw(self, size: int, seed: int) -> IntArray:
        """int64 [n]: rows of at most `size` people, drawn without replacement, ascending."""
        size = min(size, len(self))
        return np.sort(np.random.default_rng(seed).choice(len(self), size, replace=False))


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Entries of recommended lists that must not be there; a sound source has none."""

    not_in_catalogue: int = 0
    """Indices outside 0…N-1 (NO_ITEM at the end of a list is none)."""
    not_permitted: int = 0
    """Items that the request forbids."""
    repeated: int = 0
    """Items that stand in their list already."""
    missing: int = 0
    """Empty places although more items were permitted."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.not_in_catalogue + self.not_permitted + self.repeated + self.missing

    def __add__(self, other: Faults) -> Faults:
        return Faults(
            not_in_catalogue=self.not_in_catalogue + other.not_in_catalogue,
            not_permitted=self.not_permitted + other.not_permitted,
            repeated=self.repeated + other.repeated,
            missing=self.missing + other.missing,
        )


@dataclass(frozen=True, kw_only=True)
class RankedLists:
    """One method's lists for B people, judged."""

    name: str
    items: IntArray
    """int64 [B, k]: best first, NO_ITEM where there is none."""
    ranks: IntArray
    """int64 [B, 1]: where the target stands, NOT_FOUND where it does not."""
    faults: Faults
    seconds: float
    """What it took, in batches."""


def evaluate_source(
    source: Source, task: EvaluationTask, *, batch_size: int = 256, label: str | None = None
) -> RankedLists:
    """Every question of the task answered by the source, with progress shown.

    Args:
        source: who answers.
        task: what is asked.
        batch_size: questions at once.
        label: what the progress bar and the result are called; the source's name if None.
    """
    name = label or source.name
    items = np.empty((len(task), task.k), dtype=np.int64)
    faults = Faults()
    started = time.perf_counter()
    with console.progress(f"evaluating {name}", len(task)) as advance, torch.inference_mode():
        for start in range(0, len(task), batch_size):
            requests = task.requests(start, start + batch_size)
            answer = source.recommend(requests, task.k)
            faults += count_faults(answer, requests, task.num_items)
            items[start : start + len(requests)] = answer.item_index.cpu().numpy()
            advance(len(requests))
    return RankedLists(
        name=name,
        items=items,
        ranks=target_ranks(items, task.questions.target),
        faults=faults,
        seconds=time.perf_counter() - started,
    )


def count_faults(answer: Recommendations, requests: RequestBatch, num_items: int) -> Faults:
    """Whether every item exists, is permitted and unique, and no place is empty without need."""
    items = answer.item_index.cpu()  # [B, k]
    present = items != NO_ITEM
    exists = (items >= 0) & (items < num_items)
    in_order = torch.where(present, items, -1).sort(1).values
    repeated = (in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0)
    permitted = torch.ones_like(present)
    num_permitted = torch.full((len(requests),), num_items)
    mask = requests.permitted(num_items)
    if mask is not None:
        mask = mask.cpu().expand(len(requests), num_items)
        permitted = mask.gather(1, torch.where(exists, items, 0))
        num_permitted = mask.sum(1)
    possible = num_permitted.clamp(max=items.shape[1])
    return Faults(
        not_in_catalogue=int((present & ~exists).sum()),
        not_permitted=int((exists & ~permitted).sum()),
        repeated=int(repeated.sum()),
        missing=int((possible - present.sum(1)).clamp(min=0).sum()),
    )
