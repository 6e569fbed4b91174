"""How long a stage will take, judged by how long it took: the gate before everything slow."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from genrec.interactions import RequestBatch

__all__ = ["Admission", "LatencyConfig", "LatencyPredictor", "RequestSize", "Verdict"]

FIRST_WAIT = 16
LONGEST_WAIT = 1024


@dataclass(frozen=True, kw_only=True)
class LatencyConfig:
    """What is remembered of past times, and how carefully it is read."""

    quantile: float = 0.95
    """The share of remembered times that a prediction must cover, in (0, 1]."""
    window: int = 128
    """Times remembered per stage and size; older ones are forgotten."""
    longest_history: int = 64
    """Histories from this length on count as equally long: models read no more than a window."""

    def __post_init__(self) -> None:
        if not 0.0 < self.quantile <= 1.0:
            raise ValueError(f"quantile must be in (0, 1], got {self.quantile}")
        if self.window < 1 or self.longest_history < 1:
            raise ValueError(
                f"window and longest_history must be at least 1, got {self.window} and "
                f"{self.longest_history}"
            )


@dataclass(frozen=True, order=True)
class RequestSize:
    """A bucket of requests that cost about the same: both sides are powers of two."""

    batch: int
    """Questions, rounded up."""
    history: int
    """Events of the longest history, rounded up."""

    @classmethod
    def of(cls, requests: RequestBatch, longest_history: int) -> RequestSize:
        """The bucket that these requests fall into."""
        longest = int(requests.lengths.max()) if len(requests) else 0
        return cls(
            _power_of_two(len(requests)),
            min(_power_of_two(longest), _power_of_two(longest_history)),
        )

    def covers(self, other: RequestSize) -> bool:
        """Whether the other is at most as large in both."""
        return self.batch >= other.batch and self.history >= other.history


class LatencyPredictor:
    """A running quantile of recent times per stage and size; safe to share between threads.

    A size that was never seen is judged by the smallest seen one that covers it; what nothing
    covers has no prediction.
    """

    def __init__(self, config: LatencyConfig | None = None) -> None:
        self.config = config or LatencyConfig()
        self._times: dict[str, dict[RequestSize, deque[float]]] = {}
        self._lock = Lock()

    def observe(self, stage: str, size: RequestSize, seconds: float) -> None:
        """Remembers that the stage took so long."""
        with self._lock:
            sizes = self._times.setdefault(stage, {})
            sizes.setdefault(size, deque(maxlen=self.config.window)).append(seconds)

    def predict(self, stage: str, size: RequestSize) -> float | None:
        """Seconds that the stage will hardly exceed; None where nothing comparable was seen."""
        times = self._sorted(stage, size)
        if not times:
            return None
        return times[math.ceil(self.config.quantile * len(times)) - 1]

    def fastest(self, stage: str, size: RequestSize) -> float | None:
        """The shortest remembered time, seconds; None where nothing comparable was seen."""
        times = self._sorted(stage, size)
        return times[0] if times else None

    def forget_slowest(self, stage: str, size: RequestSize) -> None:
        """Drops the longest remembered time, unless it is the only one."""
        with self._lock:
            times = self._covering(stage, size)
            if times is not None and len(times) > 1:
                times.remove(max(times))

    def _sorted(self, stage: str, size: RequestSize) -> list[float]:
        with self._lock:
            return sorted(self._covering(stage, size) or ())

    def _covering(self, stage: str, size: RequestSize) -> deque[float] | None:
        sizes = self._times.get(stage, {})
        covering = [seen for seen in sizes if seen.covers(size)]
        return sizes[min(covering)] if covering else None


class Verdict(StrEnum):
    """What the gate says of a stage for one request."""

    ADMITTED = "admitted"
    PROBE = "probe"
    REFUSED = "refused"


class Admission:
    """Admits a stage where its predicted time fits, and tries a refused one again at times.

    A stage that was slow for a while must find its way back although its remembered times say
    no. So after `FIRST_WAIT` refusals one request is a probe, provided that the fastest
    remembered time would fit: a stage that never was fast enough is never probed. A probe that
    succeeds makes the slowest remembered time forgotten; one that fails doubles the wait, up to
    `LONGEST_WAIT`, and is not remembered itself. Without any remembered time a stage is refused.
    """

    def __init__(self, predictor: LatencyPredictor) -> None:
        self.predictor = predictor
        self._refusals: dict[tuple[str, RequestSize], int] = {}
        self._wait: dict[tuple[str, RequestSize], int] = {}
        self._lock = Lock()

    def decide(self, stage: str, size: RequestSize, seconds_left: float) -> Verdict:
        """Whether the stage may start with so much time left."""
        predicted = self.predictor.predict(stage, size)
        fastest = self.predictor.fastest(stage, size)
        if predicted is None or fastest is None:
            return Verdict.REFUSED
        if predicted <= seconds_left:
            return Verdict.ADMITTED
        if fastest > seconds_left:
            return Verdict.REFUSED
        return self._probe_or_refuse((stage, size))

    def report(
        self, stage: str, size: RequestSize, verdict: Verdict, seconds: float, *, in_time: bool
    ) -> None:
        """Takes note of how an admitted stage did."""
        if verdict is not Verdict.PROBE:
            self.predictor.observe(stage, size, seconds)
            return
        key = (stage, size)
        with self._lock:
            wait = FIRST_WAIT if in_time else 2 * self._wait.get(key, FIRST_WAIT)
            self._wait[key] = min(wait, LONGEST_WAIT)
        if in_time:
            self.predictor.forget_slowest(stage, size)
            self.predictor.observe(stage, size, seconds)

    def _probe_or_refuse(self, key: tuple[str, RequestSize]) -> Verdict:
        with self._lock:
            refusals = self._refusals.get(key, 0)
            if refusals >= self._wait.get(key, FIRST_WAIT):
                self._refusals[key] = 0
                return Verdict.PROBE
            self._refusals[key] = refusals + 1
            return Verdict.REFUSED


def _power_of_two(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()
