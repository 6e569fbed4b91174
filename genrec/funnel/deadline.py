"""An answer in time, whatever happens: the cheap one first, the good one if it will fit.

Python cannot abort a forward pass, and a thread that is left alone burns the core. So nothing
slow is started that is not expected to finish, and what was started looks at the clock itself.
"""

from __future__ import annotations

import inspect
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Protocol, cast, runtime_checkable

from genrec.errors import DeadlineExceededError, InputError
from genrec.funnel.last_resort import LastResort
from genrec.funnel.latency import Admission, LatencyPredictor, RequestSize, Verdict
from genrec.funnel.stages import Answer, Clock, StageTimes
from genrec.interactions import Recommendations, RequestBatch, Source

__all__ = ["DeadlineConfig", "DeadlineFunnel", "InterruptibleSource"]

log = logging.getLogger(__name__)

INTERRUPTED_FACTOR = 2.0
"""An interrupted run counts as this many times what it took: its true time is not known."""

OVERRUNS_REMEMBERED = 16


class InterruptibleSource(Protocol):
    """A source that looks at the clock between its steps."""

    @property
    def name(self) -> str:
        """As tables and `served_by` show it."""

    def recommend(
        self, requests: RequestBatch, k: int, *, deadline: float | None = None
    ) -> Recommendations:
        """Raises DeadlineExceededError once `time.perf_counter()` has passed `deadline`."""


@runtime_checkable
class _Answering(Protocol):
    """A source that has stages of its own to report."""

    def answer(self, requests: RequestBatch, k: int) -> Answer:
        """The list and its times."""


@dataclass(frozen=True, kw_only=True)
class DeadlineConfig:
    """How a budget is spent."""

    cheap_share: float = 0.1
    """The share of the budget that the first, cheap answer may take, in (0, 1]."""
    reserve_ms: float = 1.0
    """Kept back for handing the answer over, milliseconds."""
    step_share: float = 0.2
    """How much of its time the primary is assumed to spend between two looks at the clock, until
    an interruption has shown it; in [0, 1]."""

    def __post_init__(self) -> None:
        if not 0.0 < self.cheap_share <= 1.0:
            raise ValueError(f"cheap_share must be in (0, 1], got {self.cheap_share}")
        if self.reserve_ms < 0.0:
            raise ValueError(f"reserve_ms must not be negative, got {self.reserve_ms}")
        if not 0.0 <= self.step_share <= 1.0:
            raise ValueError(f"step_share must be in [0, 1], got {self.step_share}")


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One question on its way."""

    requests: RequestBatch
    k: int
    size: RequestSize
    times: StageTimes
    deadline: float
    """Clock seconds; infinite where there is no hurry."""


class DeadlineFunnel:
    """The primary source under an enforced deadline, with fallbacks behind it.

    1. The best fallback that is predicted to take at most `cheap_share` of the budget answers;
       where none is, the last resort does. From here on there is an answer.
    2. The primary is started if its predicted time fits in what is left (see `Admission` for how
       a refused one comes back). It is told its deadline, less one of its steps; what was seen
       of steps under a load is forgotten once the primary is done in time again.
    3. Where it did not answer, each fallback better than the cheap one has the same chance.

    An error of a stage is logged with its trace and counted, and the next stage takes over.
    Before the first `warm_up` no time is known, and only the last resort answers in a hurry.

    Args:
        primary: asked first; if its `recommend` takes a `deadline`, it is told.
        fallbacks: best first; they are slower or better or both than the last resort.
        last_resort: made beforehand.
        config: how the budget is spent.
        predictor: shared with other funnels over the same sources, or None for its own.
        clock: the clock that `deadline` refers to, seconds.
    """

    def __init__(
        self,
        primary: Source,
        fallbacks: Sequence[Source],
        last_resort: LastResort,
        *,
        config: DeadlineConfig | None = None,
        predictor: LatencyPredictor | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.predictor = predictor or LatencyPredictor()
        self.primary = primary
        self._fallbacks = tuple(fallbacks)
        self._last_resort = last_resort
        self._config = config or DeadlineConfig()
        self._clock = clock
        self._admission = Admission(self.predictor)
        self._interruptible = {each.name for each in (primary, *fallbacks) if _takes_deadline(each)}
        self._overruns: dict[str, deque[float]] = {}
        self._num_under_way = 0
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    @property
    def name(self) -> str:
        """The primary's name: what this funnel is meant to serve."""
        return self.primary.name

    @property
    def counts(self) -> dict[str, int]:
        """How often what happened so far: `late`, and `served:NAME` for every NAME that served.

        The same for `refused`, `probe`, `interrupted` and `error`.
        """
        with self._lock:
            return dict(self._counts)

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        """The k best permitted items of each question, without a deadline."""
        return self.answer(requests, k).recommendations

    def answer_by_primary(self, requests: RequestBatch, k: int) -> Recommendations:
        """The primary's own answer or its own error: for what is kept, and is not to be mixed.

        Raises:
            InputError: k is not positive.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        found = self.primary.recommend(requests, min(k, self._last_resort.num_items))
        self._count(f"served:{found.source}")
        return found

    def answer(self, requests: RequestBatch, k: int, budget_ms: float | None = None) -> Answer:
        """One answer for all the questions of this batch, by the best source that fits.

        Args:
            requests: B questions; the budget is for all of them together.
            k: items asked for, at least 1; lists are no longer than the catalogue.
            budget_ms: milliseconds from now; None where there is no hurry.

        Raises:
            InputError: k or the budget is not positive.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        if budget_ms is not None and not budget_ms > 0.0:
            raise InputError(f"budget_ms must be positive, got {budget_ms}; None means no deadline")
        k = min(k, self._last_resort.num_items)
        times, start = StageTimes(self._clock), self._clock()
        task = _Task(
            requests=requests,
            k=k,
            size=RequestSize.of(requests, self.predictor.config.longest_history, k),
            times=times,
            deadline=math.inf if budget_ms is None else start + budget_ms / 1000.0,
        )
        with self._under_way():
            best = self._unhurried(task) if budget_ms is None else self._hurried(task)
        answer = times.answer(best, best.source)
        self._count(f"served:{best.source}")
        if budget_ms is not None and answer.total_ms > budget_ms:
            self._count("late")
        return answer

    def warm_up(self, requests: RequestBatch, k: int, *, repeats: int = 5) -> dict[str, float]:
        """Runs every stage on these requests and remembers its times.

        The first run of each pays for what is set up once and is not remembered. Later times can
        be measured anew by calling this between requests.

        Returns:
            The predicted milliseconds of each stage for requests like these.
        """
        size = RequestSize.of(requests, self.predictor.config.longest_history, k)
        predicted = {}
        for source in (self.primary, *self._fallbacks):
            for repeat in range(repeats + 1):
                try:
                    start = self._clock()
                    source.recommend(requests, k)
                    seconds = self._clock() - start
                except Exception:
                    self._failed(source, "while warming up")
                    break
                if repeat:
                    self.predictor.observe(source.name, size, seconds)
            seconds_expected = self.predictor.predict(source.name, size)
            if seconds_expected is not None:
                predicted[source.name] = 1000.0 * seconds_expected
        self._last_resort.recommend(requests, k)
        return predicted

    def _unhurried(self, task: _Task) -> Recommendations:
        for source in (self.primary, *self._fallbacks):
            found = self._run(source, task, Verdict.ADMITTED, task.deadline)
            if found is not None:
                return found
        return self._serve_last_resort(task)

    def _hurried(self, task: _Task) -> Recommendations:
        cheap, num_better = self._cheap_answer(task)
        for source in (self.primary, *self._fallbacks[:num_better]):
            found = self._attempt(source, task, task.deadline)
            if found is not None:
                return found
        return cheap

    def _cheap_answer(self, task: _Task) -> tuple[Recommendations, int]:
        """An answer that costs little, and how many of the fallbacks are better than it."""
        now = self._clock()
        until = now + self._config.cheap_share * (task.deadline - now)
        for place, source in enumerate(self._fallbacks):
            found = self._attempt(source, task, until)
            if found is not None:
                return found, place
        return self._serve_last_resort(task), len(self._fallbacks)

    def _attempt(self, source: Source, task: _Task, until: float) -> Recommendations | None:
        """Runs the source if it is predicted to be done by `until`."""
        until -= self._config.reserve_ms / 1000.0
        verdict = self._admission.decide(
            source.name,
            task.size,
            until - self._clock(),
            num_under_way=self._num_under_way,
            stops=source.name in self._interruptible,
        )
        if verdict is Verdict.REFUSED:
            self._count(f"refused:{source.name}")
            return None
        if verdict is Verdict.PROBE:
            self._count(f"probe:{source.name}")
        return self._run(source, task, verdict, until)

    def _run(
        self, source: Source, task: _Task, verdict: Verdict, until: float
    ) -> Recommendations | None:
        start = self._clock()
        deadline = None
        if math.isfinite(until):
            deadline = until - self._step_of(source, task.size, verdict, until - start)
        interrupted = False
        found = None
        try:
            with task.times.stage(source.name):
                found = self._ask(source, task, deadline)
        except DeadlineExceededError:
            interrupted = True
            self._interrupted(source, None if deadline is None else max(deadline, start))
        except Exception:
            self._failed(source, "while answering")
            return None
        now = self._clock()
        seconds = (now - start) * (INTERRUPTED_FACTOR if interrupted else 1.0)
        fits = None if interrupted or now > until else until - start
        if verdict is Verdict.PROBE and fits is not None:
            self._forget_steps(source)
        self._admission.report(source.name, task.size, verdict, seconds, fits=fits)
        return found

    def _ask(self, source: Source, task: _Task, deadline: float | None) -> Recommendations:
        if deadline is not None and source.name in self._interruptible:
            interruptible = cast(InterruptibleSource, source)
            return interruptible.recommend(task.requests, task.k, deadline=deadline)
        if isinstance(source, _Answering):
            answer = source.answer(task.requests, task.k)
            task.times.add(answer.stage_ms, within=source.name)
            return answer.recommendations
        return source.recommend(task.requests, task.k)

    def _serve_last_resort(self, task: _Task) -> Recommendations:
        with task.times.stage(self._last_resort.name):
            return self._last_resort.recommend(task.requests, task.k)

    def _step_of(
        self, source: Source, size: RequestSize, verdict: Verdict, seconds_left: float
    ) -> float:
        """Seconds that may pass between a deadline and the source's noticing it.

        Of what was seen and what is assumed, all but the longest tenth, at least one: a pause of
        the machine is no step. What was seen takes no time away in which the source is predicted
        to be done. A probe asks whether the load is over, so it goes by what is assumed, and may
        be as fast as it ever was; one that was never fast enough goes by the longest, so that it
        is not late.
        """
        probes = verdict is Verdict.PROBE
        seconds = (self.predictor.fastest if probes else self.predictor.predict)(source.name, size)
        seconds = seconds or 0.0
        assumed = self._config.step_share * seconds
        with self._lock:
            steps: list[float] = sorted([assumed, *self._overruns.get(source.name, ())])
        if probes:
            spare = seconds_left - seconds
            return min(assumed, spare) if spare >= 0.0 else steps[-1]
        num_pauses = max(1, len(steps) // 10) if len(steps) > 1 else 0
        return min(steps[-1 - num_pauses], max(assumed, seconds_left - seconds))

    def _forget_steps(self, source: Source) -> None:
        with self._lock:
            self._overruns.pop(source.name, None)

    def _interrupted(self, source: Source, since: float | None) -> None:
        """Remembers how long it took a source to notice what it could have noticed since then."""
        self._count(f"interrupted:{source.name}")
        if since is None:
            log.warning("%s stopped for a deadline although none was set", source.name)
            return
        with self._lock:
            overruns = self._overruns.setdefault(source.name, deque(maxlen=OVERRUNS_REMEMBERED))
            overruns.append(max(self._clock() - since, 0.0))

    def _failed(self, source: Source, when: str) -> None:
        self._count(f"error:{source.name}")
        log.exception("%s failed %s; another stage answers", source.name, when)

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        """Inside it, one answer more is being made."""
        with self._lock:
            self._num_under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_under_way -= 1

    def _count(self, event: str) -> None:
        with self._lock:
            self._counts[event] += 1


def _takes_deadline(source: Source) -> bool:
    return "deadline" in inspect.signature(source.recommend).parameters
