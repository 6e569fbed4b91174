"""Which events a model may learn from, which select it and which judge it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from genrec.errors import InputError
from genrec.interactions.histories import UNKNOWN_TIME, Histories

__all__ = ["EvaluationSet", "Protocol", "Split", "find_shortfalls", "split_histories"]

IntArray = npt.NDArray[np.int64]
TRAIN_AND_VALIDATION_END = (0.8, 0.9)
"""Quantiles of all event times at which a global-temporal split cuts."""
MIN_EVENTS_TO_EVALUATE = 3
"""Leave-last-out needs an input, a validation target and a test target."""
MIN_EVENTS_TO_LEARN = 2
"""One to learn from, and the one that followed."""
MIN_ITEMS = 2


class Protocol(StrEnum):
    """How a log is divided."""

    LEAVE_LAST_OUT = "leave-last-out"
    GLOBAL_TEMPORAL = "global-temporal"


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """One next-item question per person: the input history and the item that came next."""

    user_index: IntArray
    """int64 [B]: who is asked about."""
    histories: Histories
    """B histories: all that is known before the target."""
    target: IntArray
    """int64 [B]: item_index of what came next."""
    target_time: IntArray
    """int64 [B]: when it came, or UNKNOWN_TIME."""

    def __len__(self) -> int:
        return int(self.target.size)

    def sample(self, size: int, seed: int) -> EvaluationSet:
        """At most `size` of its questions, drawn without replacement, in their order."""
        if size >= len(self):
            return self
        return self.select(
            np.sort(np.random.default_rng(seed).choice(len(self), size, replace=False))
        )

    def select(self, rows: IntArray) -> EvaluationSet:
        """These of its questions, in this order."""
        return EvaluationSet(
            user_index=self.user_index[rows],
            histories=self.histories.select(rows),
            target=self.target[rows],
            target_time=self.target_time[rows],
        )


@dataclass(frozen=True, kw_only=True)
class Split:
    """Training histories of all users, and the two sets of questions."""

    protocol: Protocol
    train: Histories
    """U histories (some may be empty): what a model may learn from."""
    validation: EvaluationSet
    """Selects models and settings."""
    test: EvaluationSet
    """Judges, once; its inputs include what validation asked for."""
    num_excluded: int = 0
    """People whom a global-temporal split leaves out, in training and evaluation alike, because
    one of their events has no time; their training history is empty."""


def split_histories(histories: Histories, protocol: Protocol) -> Split:
    """Divides a log.

    leave-last-out: each person's last event is the test target, the one before it the validation
    target, all before that is training; people with fewer than 3 events only train.
    global-temporal: training ends at the 80 % quantile of all event times, validation asks for
    each person's last event between 80 % and 90 %, test for the last event after 90 %, each input
    being all that the person did before it. People with an event of unknown time cannot be placed:
    they are left out of training and evaluation, and counted in `num_excluded`. Where a given
    order runs against the times, a history is cut before its first event behind a boundary.

    Raises:
        InputError: nobody can be evaluated, or no event has a time and the protocol needs it.
    """
    if protocol is Protocol.LEAVE_LAST_OUT:
        return _leave_last_out(histories)
    return _global_temporal(histories)


def find_shortfalls(histories: Histories) -> list[str]:
    """What cannot be trained or judged on this data, in sentences; none where everything can be."""
    shortfalls = []
    longest = int(histories.lengths.max(initial=0))
    num_items = np.unique(histories.item_index).size
    if num_items < MIN_ITEMS:
        shortfalls.append(
            f"nothing can be recommended: the events are of {num_items} item(s), and a choice "
            f"needs {MIN_ITEMS}"
        )
    if longest < MIN_EVENTS_TO_EVALUATE:
        shortfalls.append(
            "nothing can be trained or judged: that needs a person with 3 events (leave-last-out "
            f"keeps the last two for validation and test), the longest history has {longest}"
        )
    elif not _has_pair(histories):
        shortfalls.append(
            "the generator and the ranker cannot be trained: they learn what follows what, and "
            "leave-last-out leaves nobody two events to learn from; it needs people with at least "
            "4 events, or with just 2, who are not asked about"
        )
    return shortfalls


def _has_pair(histories: Histories) -> bool:
    return bool((_leave_last_out(histories).train.lengths >= MIN_EVENTS_TO_LEARN).any())


def _leave_last_out(histories: Histories) -> Split:
    lengths = histories.lengths
    evaluated = lengths >= MIN_EVENTS_TO_EVALUATE
    users = np.flatnonzero(evaluated)
    if not users.size:
        raise InputError(
            "leave-last-out needs at least one person with 3 events, "
            f"the longest history has {int(lengths.max(initial=0))}"
        )
    return Split(
        protocol=Protocol.LEAVE_LAST_OUT,
        train=histories.keep_first(np.where(evaluated, lengths - 2, lengths)),
        validation=_questions(histories, users, lengths[users] - 2),
        test=_questions(histories, users, lengths[users] - 1),
    )


def _global_temporal(histories: Histories) -> Split:
    excluded = _events_until(histories, histories.event_time == UNKNOWN_TIME) < histories.lengths
    timed = histories.event_time[np.repeat(~excluded, histories.lengths)]
    if not timed.size:
        raise InputError(
            "a global-temporal split needs times, and nobody's history has a time at every event; "
            "use leave-last-out, or import the log with a time column"
        )
    train_end, validation_end = np.quantile(timed, TRAIN_AND_VALIDATION_END)
    total = np.where(excluded, 0, histories.lengths)
    in_training, in_validation = (
        np.minimum(_events_until(histories, histories.event_time >= end), total)
        for end in (train_end, validation_end)
    )
    validation_users = np.flatnonzero(in_validation > in_training)
    test_users = np.flatnonzero(total > in_validation)
    if not validation_users.size or not test_users.size:
        raise InputError(
            "a global-temporal split needs events in the last fifth of the time span; "
            f"{validation_users.size} people can be validated on and {test_users.size} tested on"
        )
    return Split(
        protocol=Protocol.GLOBAL_TEMPORAL,
        train=histories.keep_first(in_training),
        validation=_questions(histories, validation_users, in_validation[validation_users] - 1),
        test=_questions(histories, test_users, total[test_users] - 1),
        num_excluded=int(excluded.sum()),
    )


def _events_until(histories: Histories, stop: npt.NDArray[np.bool_]) -> IntArray:
    """int64 [U]: events of each person before their first one that `stop` [E] marks."""
    stops_before = np.concatenate([np.zeros(1, np.int64), np.cumsum(stop)])
    stops_of_user = stops_before[1:] - np.repeat(
        stops_before[histories.offsets[:-1]], histories.lengths
    )
    users = np.repeat(np.arange(len(histories)), histories.lengths)
    return np.bincount(users[stops_of_user == 0], minlength=len(histories))


def _questions(histories: Histories, users: IntArray, position: IntArray) -> EvaluationSet:
    """Asks, of each of these users, for the event at `position`, given all before it."""
    rows = histories.offsets[users] + position
    return EvaluationSet(
        user_index=users,
        histories=histories.select(users).keep_first(position),
        target=histories.item_index[rows],
        target_time=histories.event_time[rows],
    )
