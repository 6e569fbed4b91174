"""Whose turn it is: requests run beside each other, a change of the catalogue by itself.

Python runs one thread at a time. A request and a change beside each other hand over at each of
their hundreds of small operations, and waiting for that takes longer than the change itself. One
after the other, a request waits for one change at most.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Turns"]

PATIENCE = 0.05
"""Seconds after which nobody waits any longer: a change that meets a long request is made beside
it, and so is a request that meets many changes."""


class Turns:
    """First come, first served: a change waits for all before it, a request for changes alone.

    Only times depend on it: whoever has run out of patience may go on at once.
    """

    def __init__(self) -> None:
        self._ended = threading.Condition()
        self._tickets = itertools.count()
        self._changes: dict[int, bool] = {}
        """By ticket, of all who wait or work: whether it is a change."""

    @contextmanager
    def request(self) -> Iterator[None]:
        """Inside it, a request is answered."""
        with self._turn(is_change=False):
            yield

    @contextmanager
    def change(self) -> Iterator[None]:
        """Inside it, a change is made."""
        with self._turn(is_change=True):
            yield

    @contextmanager
    def _turn(self, *, is_change: bool) -> Iterator[None]:
        with self._ended:
            mine = next(self._tickets)
            self._changes[mine] = is_change
        try:
            with self._ended:
                self._ended.wait_for(lambda: self._may(mine, is_change), timeout=PATIENCE)
            yield
        finally:
            with self._ended:
                del self._changes[mine]
                self._ended.notify_all()

    def _may(self, mine: int, is_change: bool) -> bool:
        return not any(
            other < mine and (is_change or other_is_change)
            for other, other_is_change in self._changes.items()
        )
