"""From the user's words to a request: ids to item_index, times to seconds, rules to permissions."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec.errors import InputError, UnknownItemError
from genrec.interactions import (
    UNKNOWN_TIME,
    Catalogue,
    Histories,
    InteractionDataset,
    Repeats,
    RequestBatch,
    as_id,
)

__all__ = ["CONTEXT_KEYS", "EventTime", "Question", "QuestionReader", "UnknownItems"]

log = logging.getLogger(__name__)

EventTime = int | datetime | None
"""Seconds since 1970 (UTC), a datetime with a zone, or None where the time is not known."""

LONGEST_HISTORY = 10_000
"""Events of a history that are read: the last ones. Models read far fewer; what a person had
before these may be recommended again."""
CONTEXT_KEYS = ("now",)
"""What a context may say: `now`, the time of the question (seconds since 1970, or a datetime).
Any other name is refused."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One person asked about, in the user's own ids."""

    history: Sequence[str] | None = None
    """Item ids, oldest first; None takes what the data knows of `user_id`."""
    user_id: str | None = None
    """Who it is; need not be in the data if a history is given."""
    event_times: Sequence[EventTime] | None = None
    """One per item of the history, never falling."""
    context: Mapping[str, Any] = field(default_factory=dict)  # Any: values differ by key
    """What else is known of the moment: see CONTEXT_KEYS."""

    def __post_init__(self) -> None:
        if self.history is not None:
            object.__setattr__(self, "history", _as_sequence(self.history))
        if self.history is None and self.user_id is None:
            raise InputError("give a history or a user_id; history=[] asks for a new person")
        if self.history is None and self.event_times is not None:
            raise InputError("event_times belong to a history; give the history too")
        num_items = 0 if self.history is None else len(self.history)
        if self.event_times is not None and len(self.event_times) != num_items:
            raise InputError(
                f"{len(self.event_times)} event_times for a history of {num_items} "
                "items; give one each, None where it is not known"
            )
        unknown = sorted(set(self.context) - set(CONTEXT_KEYS))
        if unknown:
            raise InputError(
                f"no model reads a context named {', '.join(unknown)}; "
                f"known names: {', '.join(CONTEXT_KEYS)}"
            )


@dataclass(frozen=True, kw_only=True)
class UnknownItems:
    """How many ids of a history the catalogue does not know."""

    num_unknown: int = 0
    num_read: int = 0
    """Ids that were looked at, unknown ones among them."""

    @property
    def is_all(self) -> bool:
        """Whether there was a history and nothing of it is known."""
        return 0 < self.num_unknown == self.num_read


def _as_sequence(history: object) -> Sequence[str]:
    """The ids in their order; of an array or Series only what is read is converted, later.

    Raises:
        InputError: it is no list of ids.
    """
    if isinstance(history, str | bytes):
        words = history.split(",") if isinstance(history, str) else ["a", "b"]
        raise InputError(f"a history is a list of item ids, not a string; write {words}")
    if hasattr(history, "to_numpy"):
        history = history.to_numpy()
    if isinstance(history, np.ndarray) and history.ndim != 1:
        raise InputError(
            f"a history is one list of item ids, got an array {list(history.shape)}; ask for each "
            "row by itself, or for all with recommend_many"
        )
    if not isinstance(history, Sequence | np.ndarray):
        raise InputError(
            f"a history is a list of item ids, oldest first, got a {type(history).__name__}"
        )
    return history  # type: ignore[return-value]  # ids become texts where they are read


class QuestionReader:
    """Translates questions for one data set, and counts what it could not.

    The last LONGEST_HISTORY events of a history are read, so that what a question costs is bounded.
    Item ids that the catalogue does not know are left out with a warning, or refused if `strict`.
    Times are carried along for models that read them; none does yet, which is logged once.

    Args:
        dataset: catalogue, people and their histories.
        repeats: whether items of the history may be recommended.
        strict: raise for an unknown item id instead of leaving it out.
    """

    def __init__(self, dataset: InteractionDataset, *, repeats: Repeats, strict: bool) -> None:
        self._dataset = dataset
        self._repeats = repeats
        self._strict = strict
        self._user_index = {user_id: row for row, user_id in enumerate(dataset.user_ids)}
        self._num_unknown = 0
        self._noted: set[str] = set()
        self._lock = Lock()

    @property
    def num_unknown_items(self) -> int:
        """How often an item id was left out so far."""
        with self._lock:
            return self._num_unknown

    def read(
        self,
        questions: Sequence[Question],
        exclude: Iterable[str] = (),
        only: Iterable[str] | None = None,
    ) -> RequestBatch:
        """The request that asks these questions together.

        Args:
            questions: B of them.
            exclude: item ids that must not be recommended.
            only: the item ids that may be; None permits all.

        Raises:
            InputError: a user without a history who is not in the data, or times that fall.
            UnknownItemError: an item id is not in the catalogue, and the reader is strict.
        """
        return self.read_counted(questions, exclude, only)[0]

    def read_counted(
        self,
        questions: Sequence[Question],
        exclude: Iterable[str] = (),
        only: Iterable[str] | None = None,
    ) -> tuple[RequestBatch, list[UnknownItems]]:
        """As `read`, and for each question how many ids of its history are unknown."""
        rows = [self._events(question) for question in questions]
        unknown = [row[2] for row in rows]
        users = [self._user_index.get(question.user_id or "", -1) for question in questions]
        requests = RequestBatch.from_histories(
            Histories.from_lists([row[0] for row in rows], [row[1] for row in rows]),
            np.array(users, dtype=np.int64),
        )
        requests = replace(requests, allowed=self._allowed(exclude, only), now=self._now(questions))
        if self._repeats is Repeats.MASK:
            requests = requests.without_seen()
        return requests, unknown

    def _events(self, question: Question) -> tuple[list[int], list[int], UnknownItems]:
        """Item_index and time of each event that the catalogue knows, and how many it does not."""
        if question.history is None:
            return *self._recorded(question.user_id or ""), UnknownItems()
        self._note_length(len(question.history))
        items = self._index(question.history[-LONGEST_HISTORY:], "the history")
        if question.event_times is None:
            times = np.full(items.shape, UNKNOWN_TIME)
        else:
            times = _seconds(question.event_times[-LONGEST_HISTORY:])
            self._note_times("event_times")
        known = items >= 0
        count = UnknownItems(num_unknown=int((~known).sum()), num_read=known.size)
        return items[known].tolist(), times[known].tolist(), count

    def _recorded(self, user_id: str) -> tuple[list[int], list[int]]:
        row = self._user_index.get(user_id)
        if row is None:
            raise InputError(
                f"user {user_id!r} is not in the data; give a history (history=[] asks for a "
                "new person)"
            )
        histories = self._dataset.histories
        items, times = histories.items_of(row), histories.times_of(row)
        self._note_length(len(items))
        return items[-LONGEST_HISTORY:].tolist(), times[-LONGEST_HISTORY:].tolist()

    def _index(self, item_ids: Iterable[str], place: str) -> npt.NDArray[np.int64]:
        """int64 [n]: item_index of each id, -1 where the catalogue does not know it."""
        ids = _as_ids(item_ids, place)
        catalogue: Catalogue = self._dataset.catalogue
        items = catalogue.index(ids, missing="mark")
        unknown = [str(item_id) for item_id, item in zip(ids, items, strict=True) if item < 0]
        if not unknown:
            return items
        if self._strict:
            raise UnknownItemError(
                f"{len(unknown)} item id(s) of {place} are not in the catalogue: {unknown[:5]}"
            )
        with self._lock:
            is_first, self._num_unknown = not self._num_unknown, self._num_unknown + len(unknown)
        if is_first:
            log.warning(
                "%d item id(s) of %s are not in the catalogue and are left out: %s; further ones "
                "are counted, not told",
                len(unknown),
                place,
                unknown[:5],
            )
        return items

    def _allowed(self, exclude: Iterable[str], only: Iterable[str] | None) -> Tensor | None:
        """bool [1, N], or None where everything is permitted."""
        for name, ids in (("exclude", exclude), ("only", only)):
            if isinstance(ids, str):
                raise InputError(f"{name} is a list of item ids, not a string; got {ids!r}")
        forbidden = self._index(exclude, "exclude")
        if only is None and not forbidden.size:
            return None
        allowed = torch.full((1, self._dataset.num_items), only is None)
        if only is not None:
            chosen = self._index(only, "only")
            allowed[0, torch.from_numpy(chosen[chosen >= 0])] = True
        allowed[0, torch.from_numpy(forbidden[forbidden >= 0])] = False
        return allowed

    def _now(self, questions: Sequence[Question]) -> Tensor | None:
        """int64 [B], or None where no question says when it is asked."""
        said = [question.context.get("now") for question in questions]
        if all(moment is None for moment in said):
            return None
        if any(moment is None for moment in said):
            raise InputError("some questions of this batch say `now` and some do not; ask apart")
        self._note_times("now")
        return torch.tensor([_second(moment) for moment in said], dtype=torch.int64)

    def _note_times(self, name: str) -> None:
        if self._is_new(name):
            log.warning("%s: no model of this run reads times; the order alone counts", name)

    def _note_length(self, length: int) -> None:
        if length > LONGEST_HISTORY and self._is_new("length"):
            log.warning(
                "a history has %d events; the last %d of each are read, and what a person had "
                "before them may be recommended again",
                length,
                LONGEST_HISTORY,
            )

    def _is_new(self, name: str) -> bool:
        """Whether this is noted for the first time."""
        with self._lock:
            first = name not in self._noted
            self._noted.add(name)
        return first


def _as_ids(item_ids: Iterable[object], place: str) -> list[str]:
    """The ids as texts.

    Raises:
        InputError: one of them is none.
    """
    ids = []
    for item_id in item_ids:
        try:
            ids.append(item_id if type(item_id) is str else as_id(item_id))
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
    return ids


def _seconds(times: Sequence[EventTime]) -> npt.NDArray[np.int64]:
    seconds = np.array([_second(moment) for moment in times], dtype=np.int64)
    known = seconds[seconds != UNKNOWN_TIME]
    if np.any(np.diff(known) < 0):
        raise InputError("event_times fall; a history is told oldest first")
    return seconds


def _second(moment: EventTime) -> int:
    if moment is None:
        return UNKNOWN_TIME
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise InputError(f"{moment} has no time zone; give one, or seconds since 1970 (UTC)")
        return int(moment.timestamp())
    if isinstance(moment, bool) or not isinstance(moment, int):
        raise InputError(f"a time is whole seconds since 1970 (UTC) or a datetime, got {moment!r}")
    return moment
