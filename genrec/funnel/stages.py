"""What an answer says of itself: who made it, and how long every stage of it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from genrec.interactions import Recommendations

__all__ = ["Answer", "Clock", "StageTimes"]

Clock = Callable[[], float]
"""Gives seconds that never run backwards; `time.perf_counter` everywhere but in tests."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Recommendations with the record of their making."""

    recommendations: Recommendations
    served_by: str
    """The name of the source whose list this is."""
    total_ms: float
    """From the question to the answer, milliseconds."""
    stage_ms: Mapping[str, float]
    """Milliseconds of every stage that ran, in order; `a.b` is stage b within stage a and is
    part of a's time."""


class StageTimes:
    """A stopwatch that belongs to one answer, so that threads never share one."""

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._start = clock()
        self._milliseconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times the block, also one that raises; a name used twice adds up."""
        start = self._clock()
        try:
            yield
        finally:
            self.add({name: 1000.0 * (self._clock() - start)})

    def add(self, milliseconds: Mapping[str, float], within: str | None = None) -> None:
        """Takes over times measured elsewhere; `within` names the stage that they are part of."""
        for name, value in milliseconds.items():
            key = name if within is None else f"{within}.{name}"
            self._milliseconds[key] = self._milliseconds.get(key, 0.0) + value

    def answer(self, recommendations: Recommendations, served_by: str) -> Answer:
        """The finished answer; its total ends now."""
        return Answer(
            recommendations=recommendations,
            served_by=served_by,
            total_ms=1000.0 * (self._clock() - self._start),
            stage_ms=dict(self._milliseconds),
        )
