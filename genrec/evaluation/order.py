"""The order control: how much of a method's accuracy comes from the order of the history."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from genrec.evaluation.offline import EvaluationTask, RankedLists
from genrec.generator import window_start
from genrec.interactions import NO_ITEM, Histories

__all__ = ["OrderExample", "choose_example", "num_changed", "num_shared", "shuffled_task"]

IntArray = npt.NDArray[np.int64]

EXAMPLE_LENGTHS = (4, 5, 6, 7, 8)
"""Histories short enough to be read, long enough to have an order."""


@dataclass(frozen=True, kw_only=True)
class OrderExample:
    """One person whose two orders give two lists."""

    row: int
    """Which of the B people."""
    history: IntArray
    """int64 [T]: item_index in true order."""
    shuffled: IntArray
    """int64 [T]: the same items as the control asked them."""
    answer: IntArray
    """int64 [k]: recommended for the true order."""
    answer_shuffled: IntArray
    """int64 [k]: recommended for the shuffled order."""
    num_shared: int
    """Items that stand in both lists."""


def shuffled_task(task: EvaluationTask, seed: int, history: int) -> EvaluationTask:
    """The same questions, the items that the generator reads of each history in random order.

    Targets, times and the set of items that are read stay: position t keeps its time, and what lies
    before the generator's window keeps its place, so that nothing but the order differs.

    Args:
        task: the questions.
        seed: of the shuffle.
        history: T, the longest history that the generator reads.
    """
    histories = task.questions.histories
    people = np.repeat(np.arange(len(histories)), histories.lengths)
    places = np.arange(people.size) - histories.offsets[people]
    read = places >= window_start(histories.lengths, history)[people]
    draws = np.random.default_rng(seed).random(people.size)
    order = np.lexsort((np.where(read, draws, places), read, people))
    shuffled = replace(histories, item_index=histories.item_index[order])
    return replace(task, questions=replace(task.questions, histories=shuffled))


def choose_example(
    task: EvaluationTask, shuffled: EvaluationTask, true: RankedLists, control: RankedLists
) -> OrderExample | None:
    """The person with 4 to 8 events whose two lists share the fewest items; of equals, the first.

    Where nobody has so few events, it is one with the shortest history. None where the shuffle
    changed nobody's list.
    """
    histories, mixed = task.questions.histories, shuffled.questions.histories
    shared = num_shared(true.items, control.items)
    lengths = histories.lengths
    excess = np.where(np.isin(lengths, EXAMPLE_LENGTHS), 0, lengths)
    different = (true.items != control.items).any(1)
    changed = num_changed(histories, mixed) > 0
    candidates = np.flatnonzero(different & changed & (lengths >= min(EXAMPLE_LENGTHS)))
    if not candidates.size:
        return None
    row = int(min(candidates, key=lambda each: (excess[each], shared[each], each)))
    return OrderExample(
        row=row,
        history=histories.items_of(row),
        shuffled=mixed.items_of(row),
        answer=true.items[row],
        answer_shuffled=control.items[row],
        num_shared=int(shared[row]),
    )


def num_changed(before: Histories, after: Histories) -> IntArray:
    """int64 [B]: places of each history that hold another item than before."""
    people = np.repeat(np.arange(len(before)), before.lengths)
    different = before.item_index != after.item_index
    return np.bincount(people[different], minlength=len(before))


def num_shared(first: IntArray, second: IntArray) -> IntArray:
    """int64 [B]: items that stand in both of a person's two lists [B, k]."""
    equal = (first[:, :, None] == second[:, None, :]) & (first != NO_ITEM)[:, :, None]
    return np.asarray(equal.any(2).sum(1))
