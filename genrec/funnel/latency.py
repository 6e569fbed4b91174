"""How long a stage will take, judged by how long it took: the gate before everything slow."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from genrec.funnel.questions import LONGEST_HISTORY
from genrec.interactions import RequestBatch

__all__ = ["Admission", "LatencyConfig", "LatencyPredictor", "RequestSize", "Verdict"]

REFUSALS_BEFORE_PROBE = 8
"""Refusals between two probes, for every answer that is under way: a probe of a quiet machine
costs one person the better list, one beside many others costs all of them time."""
MOST_EXCESS = 100.0
"""A stage that needs more than so many times what is left is probed as seldom as one that does."""
USUAL_SPREAD = 2.0
"""On a quiet machine requests of one size differ by no more than so many times."""
LEAST_K = 16
"""Up to so many items a list costs the same: they are chosen from more than that."""


@dataclass(frozen=True, kw_only=True)
class LatencyConfig:
    """What is remembered of past times, and how carefully it is read."""

    quantile: float = 0.95
    """The share of remembered times that a prediction must cover, in (0, 1]."""
    window: int = 128
    """Times remembered per stage and size; older ones are forgotten."""
    longest_history: int = LONGEST_HISTORY
    """Histories from this length on count as equally long. Models read no more than a window, but
    all that a person had is masked."""

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
    """A bucket of requests that cost about the same: every side is a power of two."""

    batch: int
    """Questions, rounded up."""
    history: int
    """Events of the longest history, rounded up."""
    k: int = 1
    """Items asked for, rounded up."""

    @classmethod
    def of(cls, requests: RequestBatch, longest_history: int, k: int = 1) -> RequestSize:
        """The bucket that these requests for k items each fall into."""
        longest = int(requests.lengths.max()) if len(requests) else 0
        return cls(
            _power_of_two(len(requests)),
            min(_power_of_two(longest), _power_of_two(longest_history)),
            max(_power_of_two(k), _power_of_two(LEAST_K)),
        )

    def covers(self, other: RequestSize) -> bool:
        """Whether the other is at most as large in every side."""
        return self.batch >= other.batch and self.history >= other.history and self.k >= other.k


class LatencyPredictor:
    """A running quantile of recent times per stage and size; safe to share between threads.

    A size that was never seen is judged by the smallest seen one that covers it; what nothing
    covers has no prediction.
    """

    def __init__(self, config: LatencyConfig | None = None) -> None:
        self.config = config or LatencyConfig()
        self._times: dict[str, dict[RequestSize, deque[float]]] = {}
        self._fastest: dict[str, dict[RequestSize, float]] = {}
        self._lock = Lock()

    def observe(self, stage: str, size: RequestSize, seconds: float) -> None:
        """Remembers that the stage took so long."""
        with self._lock:
            self._remember(stage, size, seconds)

    def recover(self, stage: str, size: RequestSize, seconds: float, limit: float) -> None:
        """Remembers that the stage took so long, and forgets the times above `limit`.

        They are of a load that is over: the stage has just shown that it is fast again. Of sizes
        that were not tried themselves, what a quiet machine may take is kept, so that one size
        brings back all that fit and none that do not.

        Args:
            stage: its name.
            size: of the request that it answered.
            seconds: what it took.
            limit: seconds that it may take.
        """
        with self._lock:
            covering = self._covering(stage, size)
            self._remember(stage, size, seconds)
            fastest = self._fastest[stage]
            for at, times in self._times[stage].items():
                tried = at == size or times is covering
                most = limit if tried else max(limit, USUAL_SPREAD * fastest[at])
                kept = [each for each in times if each <= most]
                times.clear()
                times.extend(kept or [seconds if tried else fastest[at]])

    def predict(self, stage: str, size: RequestSize) -> float | None:
        """Seconds that the stage will hardly exceed; None where nothing comparable was seen."""
        with self._lock:
            times = sorted(self._covering(stage, size) or ())
        if not times:
            return None
        return times[math.ceil(self.config.quantile * len(times)) - 1]

    def fastest(self, stage: str, size: RequestSize) -> float | None:
        """The shortest time ever seen, seconds; None where nothing comparable was seen.

        It outlasts the window: a load that fills the window says nothing of what is possible.
        """
        with self._lock:
            seen = self._fastest.get(stage, {})
            return min((each for at, each in seen.items() if at.covers(size)), default=None)

    def _remember(self, stage: str, size: RequestSize, seconds: float) -> None:
        sizes = self._times.setdefault(stage, {})
        sizes.setdefault(size, deque(maxlen=self.config.window)).append(seconds)
        fastest = self._fastest.setdefault(stage, {})
        fastest[size] = min(seconds, fastest.get(size, math.inf))

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

    A stage that was slow under load must find its way back as soon as the load is over, although
    its remembered times say no. So after `REFUSALS_BEFORE_PROBE` refusals, of whatever size, times
    the answers under way, one request is a probe. A probe that succeeds makes all remembered times
    forgotten that would not fit, of all sizes (`LatencyPredictor.recover`); one that fails is not
    remembered. A stage whose fastest time ever would not fit is probed more seldom, and only if it
    stops at a deadline: its times may have been measured under load. Without any remembered time a
    stage is refused.
    """

    def __init__(self, predictor: LatencyPredictor) -> None:
        self.predictor = predictor
        self._refusals: Counter[str] = Counter()
        self._lock = Lock()

    def decide(
        self,
        stage: str,
        size: RequestSize,
        seconds_left: float,
        *,
        num_under_way: int = 1,
        stops: bool = False,
    ) -> Verdict:
        """Whether the stage may start with so much time left.

        Args:
            stage: its name.
            size: of the request.
            seconds_left: until the stage must be done.
            num_under_way: answers that are being made now, this one included.
            stops: whether the stage stops at a deadline by itself.
        """
        predicted = self.predictor.predict(stage, size)
        fastest = self.predictor.fastest(stage, size)
        if predicted is None or fastest is None or seconds_left <= 0.0:
            return Verdict.REFUSED
        if predicted <= seconds_left:
            return Verdict.ADMITTED
        if fastest > seconds_left and not stops:
            return Verdict.REFUSED
        excess = math.ceil(min(fastest / seconds_left, MOST_EXCESS))
        return self._probe_or_refuse(stage, REFUSALS_BEFORE_PROBE * num_under_way * excess)

    def report(
        self,
        stage: str,
        size: RequestSize,
        verdict: Verdict,
        seconds: float,
        *,
        fits: float | None,
    ) -> None:
        """Takes note of how an admitted stage did.

        Args:
            stage: its name.
            size: of the request.
            verdict: what `decide` said.
            seconds: what it took.
            fits: seconds that it had, where it was done within them; None where it was not.
        """
        if verdict is not Verdict.PROBE:
            self.predictor.observe(stage, size, seconds)
        elif fits is not None:
            self.predictor.recover(stage, size, seconds, fits)

    def _probe_or_refuse(self, stage: str, wait: int) -> Verdict:
        with self._lock:
            if self._refusals[stage] >= wait:
                self._refusals[stage] = 0
                return Verdict.PROBE
            self._refusals[stage] += 1
            return Verdict.REFUSED


def _power_of_two(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()
