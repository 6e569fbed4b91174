"""The generator on a GPU: a whole request, from events to items, replayed as one CUDA graph."""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Lock

from torch import Tensor

from genrec.errors import DeadlineExceededError, InputError
from genrec.generator.batches import cut_to_window
from genrec.generator.buckets import Bucket, GraphConfig
from genrec.generator.captures import Capture, CudaGraphs
from genrec.generator.combination import Weights
from genrec.generator.encoded import EncodedRequests, as_known
from genrec.generator.items import ItemTables
from genrec.generator.live import LiveCatalogue
from genrec.generator.model import GenerativeRecommender
from genrec.generator.source import (
    DEFAULT_BEAMS,
    GeneratorSource,
    Mode,
)
from genrec.generator.static_request import StaticRequest
from genrec.interactions import NO_ITEM, Histories, Recommendations, RequestBatch

__all__ = ["GraphedSource", "Ungraphed"]

log = logging.getLogger(__name__)


class Ungraphed(StrEnum):
    """Why a request was answered without a graph: operation by operation, with the same answer."""

    TOO_WIDE = "too-wide"
    """A table of the request would have more than `GraphConfig.max_places` places."""
    CATALOGUE_CHANGED = "catalogue-changed"
    """It is the first one after items came or went, or after weights were replaced. The next one
    without a deadline captures, or `prepare`: where the catalogue changes between any two requests,
    a capture would never pay."""
    NOT_CAPTURED = "not-captured"
    """It has a deadline, and there is no graph yet; `prepare` makes them beforehand."""
    ENCODED = "encoded-before"
    """Its histories came encoded, as a slate's do; a graph begins with events."""


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """A captured request."""

    request: StaticRequest
    replay: Callable[[], Recommendations]


class GraphedSource(GeneratorSource):
    """Keeps the `Source` protocol as `GeneratorSource` does, and gives the same answers.

    A request is padded to its bucket, copied into the bucket's buffers, and the bucket's graph is
    replayed: the host launches once, and waits once, for the answer. A graph is captured when its
    bucket is first asked for. It holds for one state of the catalogue and the weights; once they
    are replaced, all graphs go. Weights that are changed in place are for another source, as with
    every `GeneratorSource`: its decoder answers with those of the moment it was made. What is
    answered without a graph says so in its `backend`, in the log and in `counts`.

    Safe to share between threads; graphs take turns.

    Args:
        model: a trained generator on a CUDA device; it is put into eval mode.
        mode: which scores decide.
        num_beams: as for `GeneratorSource`.
        tables: as for `GeneratorSource`.
        config: which requests share a graph, and how many are kept.
        capture: what makes a graph; None captures CUDA graphs.

    Raises:
        InputError: no beams, or CUDA graphs are asked for and the model is on no CUDA device.
    """

    def __init__(
        self,
        model: GenerativeRecommender,
        mode: Mode,
        *,
        num_beams: int | Sequence[int] = DEFAULT_BEAMS,
        tables: ItemTables | LiveCatalogue | None = None,
        config: GraphConfig | None = None,
        capture: Capture | None = None,
    ) -> None:
        self.capture = CudaGraphs(model.device) if capture is None else capture
        self.config = config or GraphConfig()
        super().__init__(model, mode, num_beams=num_beams, tables=tables)
        self._lock, self._counting = Lock(), Lock()
        self._graphs: OrderedDict[Bucket, _Kept] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._present = (self.tables, self._weights())
        self._static: ItemTables | None = None

    @property
    def counts(self) -> dict[str, int]:
        """What happened so far, by name.

        Graphs were `captured`, `replayed`, `evicted` to make room, and `dropped` because they were
        of another catalogue; requests that were answered without one count by their `Ungraphed`.
        """
        with self._counting:
            return dict(self._counts)

    @property
    def buckets(self) -> list[Bucket]:
        """What there are graphs for; the one that was unused for longest comes first."""
        return list(self._graphs)

    def prepare(self, *, num_requests: int = 1, k: int = 10) -> None:
        """Captures a graph for every length of history, without and with seen items left out.

        Call it again after the catalogue has changed: requests with a deadline capture nothing.
        Longer lists of items to leave out, and filters, have graphs of their own, which requests
        without a deadline capture.

        Args:
            num_requests: asked at once.
            k: items asked for; up to the number of beams it makes no difference.
        """
        length = self.config.shortest
        while True:
            history = [0] * min(length, self.model.config.history)
            asked = RequestBatch.from_histories(Histories.from_lists([history] * num_requests))
            for requests in (asked, asked.without_seen()):
                self.recommend(requests, k)
            if length >= self.model.config.history:
                return
            length *= 2

    def rank(
        self,
        asked: EncodedRequests,
        k: int,
        *,
        num_beams: Sequence[int],
        deadline: float | None = None,
    ) -> Recommendations:
        """See `GeneratorSource.rank`; always without a graph."""
        self._without_graph(Ungraphed.ENCODED, f"{len(asked.requests)} encoded requests")
        return super().rank(asked, k, num_beams=num_beams, deadline=deadline)

    def _recommend(self, requests: RequestBatch, k: int, deadline: float | None) -> Recommendations:
        tables, num_beams = self.tables, self._at_least(k)
        history = self.model.config.history
        window = cut_to_window(requests.item_index, history)
        _require_items(window, tables.num_items)
        bucket = Bucket.of(
            requests, window, num_beams=num_beams, history=history, config=self.config
        )
        with self._turn(deadline):
            kept = self._graph_for(bucket, tables, in_a_hurry=deadline is not None)
            if isinstance(kept, _Kept):
                known = as_known(requests, tables)
                found = self._replayed(kept, known, window, tables)
                return replace(found, item_index=found.item_index[:, :k], score=found.score[:, :k])
        self._without_graph(kept, str(bucket))
        return super().rank(self._encode(requests), k, num_beams=num_beams, deadline=deadline)

    def _graph_for(
        self, bucket: Bucket, tables: ItemTables, *, in_a_hurry: bool
    ) -> _Kept | Ungraphed:
        """The bucket's graph for these tables, or why there is none."""
        weights = self._weights()
        if tables is not self._present[0] or weights != self._present[1]:
            self._count("dropped", len(self._graphs))
            self._graphs.clear()
            self._present, self._static = (tables, weights), None
            return Ungraphed.CATALOGUE_CHANGED
        if bucket in self._graphs:
            self._graphs.move_to_end(bucket)
            return self._graphs[bucket]
        if in_a_hurry:
            return Ungraphed.NOT_CAPTURED
        if self._static is None:
            self._static = replace(tables, index=tables.index.static())
        if bucket.num_places(self._static.index.max_degree) > self.config.max_places:
            return Ungraphed.TOO_WIDE
        return self._captured(StaticRequest(self, self._static, bucket))

    def _captured(self, request: StaticRequest) -> _Kept:
        started = time.perf_counter()
        self._make_room(request.num_bytes)
        kept = _Kept(request=request, replay=self.capture(request.answer))
        self._graphs[request.bucket] = kept
        self._count("captured")
        log.info(
            "%s answers %s by %s, %s: captured in %.2f s",
            self.name,
            request.bucket,
            self.backend,
            self.capture.name,
            time.perf_counter() - started,
        )
        return kept

    def _make_room(self, num_bytes: int) -> None:
        """Lets go of graphs until one more, with these bytes of inputs, is within the bounds."""
        taken = sum(kept.request.num_bytes for kept in self._graphs.values())
        while self._graphs and (
            len(self._graphs) >= self.config.max_graphs
            or taken + num_bytes > self.config.max_buffer_bytes
        ):
            _, oldest = self._graphs.popitem(last=False)
            taken -= oldest.request.num_bytes
            self._count("evicted")

    def _replayed(
        self, kept: _Kept, requests: RequestBatch, window: Tensor, tables: ItemTables
    ) -> Recommendations:
        """The answers of a graph, on the CPU: another replay writes over them on the device."""
        kept.request.fill(requests, window, self.filters_of(tables.index))
        found = kept.replay()
        self._count("replayed")
        return replace(
            found,
            item_index=found.item_index.to("cpu", copy=True)[: len(requests)],
            score=found.score.to("cpu", copy=True)[: len(requests)],
            backend=f"{self.backend}, {self.capture.name}",
        )

    def _without_graph(self, reason: Ungraphed, what: str) -> None:
        level = logging.WARNING if self._count(reason) == 1 else logging.INFO
        log.log(
            level, "%s answers %s by %s without a graph: %s", self.name, what, self.backend, reason
        )

    def _count(self, name: str, times: int = 1) -> int:
        """How often it has happened now."""
        with self._counting:
            self._counts[name] += times
            return self._counts[name]

    def _weights(self) -> tuple[float, ...]:
        """Where the weights lie, and what is read of them when a graph is captured."""
        addresses = (parameter.data_ptr() for parameter in self.model.parameters())
        chosen = Weights.of(self.model.config)
        return (chosen.generative, chosen.followed, chosen.content, *addresses)

    @contextmanager
    def _turn(self, deadline: float | None) -> Iterator[None]:
        """One request at a time: graphs share their memory.

        Raises:
            DeadlineExceededError: the time was up before it was this one's turn.
        """
        patience = -1.0 if deadline is None else max(deadline - time.perf_counter(), 0.0)
        if not self._lock.acquire(timeout=patience):
            raise DeadlineExceededError("another request's graph took what time there was")
        try:
            if deadline is not None and time.perf_counter() > deadline:
                raise DeadlineExceededError("the time was up before the graph was replayed")
            yield
        finally:
            self._lock.release()


def _require_items(window: Tensor, num_items: int) -> None:
    """A GPU that is given an item it does not know stops for good.

    Raises:
        InputError: an event is of no item.
    """
    highest, lowest = (int(window.max()), int(window.min())) if window.numel() else (-1, -1)
    if highest >= num_items or lowest < NO_ITEM:
        raise InputError(
            f"histories hold items {lowest} to {highest}, the catalogue has {num_items}; leave out "
            "unknown items"
        )
