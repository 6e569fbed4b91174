"""The encoded histories of the people who were asked about last, so that only new events cost."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Sequence
from threading import Lock

import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.generator.items import ItemTables
from genrec.generator.model import GenerativeRecommender
from genrec.generator.state import HistoryEncoder, HistoryState
from genrec.interactions import NO_ITEM

__all__ = ["DEFAULT_STATE_BYTES", "UserStates"]

DEFAULT_STATE_BYTES = 256 << 20


class UserStates:
    """A bounded cache of states; whoever was asked about longest ago goes first.

    A key only says where to look: a state is used if the window asked about begins with its very
    items, and is replaced otherwise. States are values that never change, so threads that ask about
    the same person at once may compute the same twice and cannot disturb each other.

    States of other weights, or of a catalogue where an item has another vector than before, mean
    nothing: make another cache then. Items that are added change nothing.

    Args:
        model: whose states are kept.
        max_bytes: of all kept states together; an event takes 4 · D · (1 + 2 · encoder layers)
            bytes. With 0 nothing is kept.

    Raises:
        InputError: `max_bytes` is negative.
    """

    def __init__(
        self, model: GenerativeRecommender, *, max_bytes: int = DEFAULT_STATE_BYTES
    ) -> None:
        if max_bytes < 0:
            raise InputError(f"max_bytes must not be negative, got {max_bytes}")
        self.encoder = HistoryEncoder(model)
        self.max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, HistoryState] = OrderedDict()
        self._num_bytes = 0
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    @property
    def num_bytes(self) -> int:
        """Memory that the kept states take."""
        with self._lock:
            return self._num_bytes

    @property
    def counts(self) -> dict[str, int]:
        """What happened so far, by name.

        `hits` went on from a kept state, `appended` are the events that this cost. `misses` found
        nothing under the key, `restarts` a state that the window does not continue (it has moved,
        or the history is another one). `evicted` states made room for others.
        """
        with self._lock:
            return dict(self._counts)

    def read(
        self, tables: ItemTables, windows: Tensor, keys: Sequence[Hashable | None]
    ) -> HistoryState:
        """The states of B people, made from what is kept where that is possible, and kept in turn.

        Args:
            tables: of the model's present weights.
            windows: int64 [B, T], on the CPU, as `cut_to_window` gives.
            keys: B names of people; for None nothing is looked up and nothing kept.
        """
        if not keys:
            return self.encoder.start(0)
        lengths = (windows != NO_ITEM).sum(1)
        found = [
            self._find(key, window[:length])
            for key, window, length in zip(keys, windows, lengths.tolist(), strict=True)
        ]
        known = HistoryState.join(found)
        state = self.encoder.append(tables, known, _behind(windows, known.lengths))
        if state is not known:
            changed = (lengths > known.lengths).tolist()
            for row, key in enumerate(keys):
                if key is not None and changed[row]:
                    self._keep(key, state.row(row))
        return state

    def _find(self, key: Hashable | None, window: Tensor) -> HistoryState:
        """The kept state that the events of one window, int64 [T], continue; or nobody's."""
        if key is None:
            return self.encoder.start(1)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                self._counts["misses"] += 1
                return self.encoder.start(1)
            self._kept.move_to_end(key)
            items = kept.item_index[0]
            if not torch.equal(items, window[: items.numel()]):
                self._counts["restarts"] += 1
                return self.encoder.start(1)
            self._counts["hits"] += 1
            self._counts["appended"] += window.numel() - items.numel()
            return kept

    def _keep(self, key: Hashable, state: HistoryState) -> None:
        with self._lock:
            replaced = self._kept.pop(key, None)
            if replaced is not None:
                self._num_bytes -= replaced.num_bytes
            self._kept[key] = state
            self._num_bytes += state.num_bytes
            while self._num_bytes > self.max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._num_bytes -= oldest.num_bytes
                self._counts["evicted"] += 1


def _behind(windows: Tensor, lengths: Tensor) -> Tensor:
    """int64 [B, S]: what stands in each window [B, T] behind its first `lengths` [B] events."""
    columns = lengths[:, None] + torch.arange(windows.shape[1] - int(lengths.min()))
    inside = columns < windows.shape[1]
    behind = windows.gather(1, columns.clamp(max=windows.shape[1] - 1))
    return behind.masked_fill(~inside, NO_ITEM)
