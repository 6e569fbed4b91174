"""Who is served how well: test questions by length of history and by what training knew."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from genrec.errors import InputError
from genrec.evaluation.figures import Json, estimates
from genrec.evaluation.offline import EvaluationTask
from genrec.evaluation.statistics import BootstrapConfig
from genrec.interactions import Protocol, Split

__all__ = ["FEW_PEOPLE", "SEGMENT_METRICS", "segment_rows", "segments_of"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

SEGMENT_METRICS = ("recall@10", "ndcg@10")
FEW_PEOPLE = 30
"""Below this, a segment's figures are shown with a warning."""
HISTORY_LENGTHS = {
    "0 events": (0, 0),
    "1-2 events": (1, 2),
    "3-5 events": (3, 5),
    "more than 5 events": (6, None),
}
TRAINING_EVENTS = {
    "unseen in training": (0, 0),
    "1-4 training events": (1, 4),
    "5-19 training events": (5, 19),
    "20 or more training events": (20, None),
}


def segments_of(split: Split, task: EvaluationTask, history: int) -> dict[str, BoolArray]:
    """bool [B] a segment, by readable names in the order of tables; a segment may be empty.

    The segments of one kind (`history: …`, `target: …`, `person: …`) divide the people: each is in
    exactly one. The kind `person` is there where a split leaves people out of training altogether.

    Args:
        split: what training knew.
        task: questions of this split.
        history: events that the models read at most.
    """
    questions = task.questions
    read = np.minimum(questions.histories.lengths, history)
    trained = np.bincount(split.train.item_index, minlength=task.num_items)[questions.target]
    segments = {f"history: {name}": _between(read, *ends) for name, ends in HISTORY_LENGTHS.items()}
    segments |= {
        f"target: {name}": _between(trained, *ends) for name, ends in TRAINING_EVENTS.items()
    }
    if split.protocol is Protocol.GLOBAL_TEMPORAL:
        known = split.train.lengths[questions.user_index] > 0
        segments |= {"person: unseen in training": ~known, "person: in training": known}
    return segments


def segment_rows(
    segments: Mapping[str, BoolArray], ranks: Mapping[str, IntArray], bootstrap: BootstrapConfig
) -> list[Json]:
    """A row a segment that has people: how many, whether they are few, each method's figures.

    Args:
        segments: bool [B] each, by name.
        ranks: int64 [B, R] of each method, by name, over the same people.
        bootstrap: of the intervals.

    Raises:
        InputError: a method was judged on another number of people.
    """
    for name, members in segments.items():
        for method, each in ranks.items():
            if len(each) != len(members):
                raise InputError(
                    f"{method} was judged on {len(each)} people, the segment {name!r} divides "
                    f"{len(members)}; take both from one task"
                )
    return [
        {
            "segment": name,
            "num_users": int(members.sum()),
            "few": bool(members.sum() < FEW_PEOPLE),
            "methods": {
                method: estimates(each[members], SEGMENT_METRICS, bootstrap)
                for method, each in ranks.items()
            },
        }
        for name, members in segments.items()
        if members.any()
    ]


def _between(counts: IntArray, low: int, high: int | None) -> BoolArray:
    return np.asarray((counts >= low) & (True if high is None else counts <= high))
