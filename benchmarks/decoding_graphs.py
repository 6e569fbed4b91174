"""The decoding benchmark on a GPU: whole requests as CUDA graphs, by the device's clock and ours.

Every row has a `clock`. `cuda_events` is what the device takes for one replay: the graph alone.
`host` is what a caller waits: inputs copied in, the replay, the answer copied out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.decoding_engines import DefaultEngine, GenrecEngine
from benchmarks.decoding_figures import Answer, GateError, compare, count_invalid, times_of
from benchmarks.decoding_subjects import Point, Subject, subject_of
from genrec.decoding import Beams, Edges, PrefixIndex, beam_search
from genrec.generator import GraphedSource, Mode
from genrec.generator.captures import Capture, CudaGraphs
from genrec.generator.losses import child_log_probs
from genrec.generator.tiger import T5Decoder, T5Weights, tiger_t5

__all__ = ["graphed_rows"]

SEED = 0
QUERY_WIDTH = 128
"""Of our default generator."""
FEWEST_REPEATS, MOST_REPEATS = 20, 2000

Row = dict[str, Any]


class GraphedDefault:
    """Our default generator, its whole request a graph."""

    name = "genrec"

    def __init__(
        self, subject: Subject, point: Point, device: torch.device, capture: Capture
    ) -> None:
        self.plain = DefaultEngine(subject.catalogue, point)
        self.prepare = self.plain.prepare
        moved = DefaultEngine(subject.catalogue, point).source.model
        moved.load_state_dict(self.plain.source.model.state_dict())
        torch.nn.Module.to(moved, device)
        self.source = GraphedSource(moved, Mode.GENERATIVE, num_beams=point.beam, capture=capture)

    def replay(self) -> None:
        """The graph alone, on what was asked last."""
        [kept] = self.source._graphs.values()
        kept.replay()

    def search(self, question: Any) -> Answer:
        """From histories on the host to items on the host."""
        found = self.source.recommend(question, self.plain.num_beams)
        return Answer(item_index=found.item_index.numpy(), score=found.score.numpy())


class GraphedT5:
    """The T5 of `same_weights`, from tokens to items a graph."""

    name = "t5"

    def __init__(
        self, subject: Subject, point: Point, device: torch.device, capture: Capture
    ) -> None:
        self.plain, self.point = GenrecEngine(subject, point), point
        self.prepare = self.plain.prepare
        model = tiger_t5(subject.shape, seed=SEED)
        torch.nn.Module.to(model, device)
        self.weights = T5Weights(model, subject.shape)
        self.index = PrefixIndex(subject.catalogue.codes).to(device).static()
        shape = (point.batch, point.history * point.levels)
        self.tokens = torch.ones(shape, dtype=torch.int64, device=device)
        self.weights.encoder_bias(shape[1])  # kept from here on; a capture must not make it
        self.replay_graph: Callable[[], Beams] = capture(self._answer)

    def replay(self) -> None:
        """The graph alone, on what was asked last."""
        self.replay_graph()

    def search(self, question: Tensor) -> Answer:
        """From tokens on the host to items on the host."""
        self.tokens.copy_(question, non_blocking=True)
        found = self.replay_graph()
        return Answer(
            item_index=found.item_index.to("cpu", copy=True).numpy(),
            score=found.log_prob.to("cpu", copy=True).numpy(),
        )

    def _answer(self) -> Beams:
        return beam_search(
            T5Decoder(self.weights, self.index, self.tokens),
            self.index,
            num_requests=self.point.batch,
            num_beams=self.point.beam,
        )


class QueriesOnly:
    """A `Decoder` without a model: what is left of a search is expanding, scoring, selecting."""

    def __init__(self, index: PrefixIndex, num_rows: int) -> None:
        generator = torch.Generator().manual_seed(SEED)
        shapes = [num_rows, *index.num_nodes]
        vectors = [torch.randn(size, QUERY_WIDTH, generator=generator) for size in shapes]
        queries, *self.nodes = [F.normalize(each, dim=1).to(index.device) for each in vectors]
        self.queries = queries / 0.07

    def score_children(self, level: int, edges: Edges) -> Tensor:
        """See `Decoder`."""
        return child_log_probs(self.queries[: edges.start.numel()], self.nodes[level], edges)

    def advance(self, level: int, parents: Tensor, nodes: Tensor) -> None:
        """See `Decoder`; nothing goes on."""


def graphed_rows(
    point: Point,
    histories: list[Tensor],
    seconds: float,
    *,
    device: torch.device,
    capture: Callable[[torch.device], Capture] = CudaGraphs,
) -> list[Row]:
    """Every graphed engine at one point, after it agreed with the CPU; then the search alone.

    Args:
        point: what is asked.
        histories: batches of histories, int64 [B, T] each, to be asked in turn.
        seconds: timed for each row.
        device: where the graphs run.
        capture: makes what captures on a device.

    Raises:
        GateError: a graph finds other items or scores than the CPU, or ids that are no item's.
    """
    rows = []
    for make in (GraphedDefault, GraphedT5):
        engine = make(subject_of(point), point, device, capture(device))
        questions = [engine.prepare(each) for each in histories]
        figures = _agreement(engine, questions[0], point)
        found = {"host": _host_times(engine.search, questions, seconds)}
        if device.type == "cuda":
            found["cuda_events"] = _device_times(engine.replay, seconds)
        for clock, times in found.items():
            row = {"part": "graphs", "point": point.label, "engine": engine.name}
            row |= {"device": device.type, "clock": clock, **point.as_row()}
            rows.append({**row, **times_of(times), **figures})
    rows.append(_selection_row(point, seconds, device, capture(device)))
    return rows


def _agreement(engine: GraphedDefault | GraphedT5, question: Any, point: Point) -> Row:
    found = engine.search(question)
    agreement = compare(found, engine.plain.answer(question))
    invalid = count_invalid(found, point.items)
    if agreement.failure or invalid:
        what = agreement.failure or f"{invalid} ids are no item's"
        raise GateError(f"{point.label}: the graph of {engine.name} against the CPU: {what}")
    return {
        "overlap": agreement.overlap,
        "max_score_diff": agreement.max_score_diff,
        "invalid": invalid,
        "reference": "cpu",
    }


def _selection_row(point: Point, seconds: float, device: torch.device, capture: Capture) -> Row:
    """Expanding, scoring and selecting, microseconds a level: a search without a model."""
    index = PrefixIndex(subject_of(point).catalogue.codes).to(device).static()
    decoder = QueriesOnly(index, point.batch * point.beam)
    replay = capture(
        lambda: beam_search(decoder, index, num_requests=point.batch, num_beams=point.beam)
    )
    clock = "cuda_events" if device.type == "cuda" else "host"
    times = _device_times if device.type == "cuda" else _replay_times
    taken = times(replay, seconds)
    row = {"part": "expand_select", "point": point.label, "engine": "genrec"}
    row |= {"device": device.type, "clock": clock, **point.as_row(), **times_of(taken)}
    level_us = float(np.median(taken)) * 1e6 / point.levels
    return {**row, "us_per_level": round(level_us, 2)}


def _host_times(
    search: Callable[[Any], Answer], questions: list[Any], seconds: float
) -> list[float]:
    """Seconds of searches, by the host's clock; an answer is on the host when it stops."""
    turn = iter(range(MOST_REPEATS + 1))
    return _replay_times(lambda: search(questions[next(turn) % len(questions)]), seconds)


def _replay_times(replay: Callable[[], Any], seconds: float) -> list[float]:
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while len(taken) < FEWEST_REPEATS or time.perf_counter() < until:
        started = time.perf_counter()
        replay()
        taken.append(time.perf_counter() - started)
        if len(taken) >= MOST_REPEATS:
            break
    return taken


def _device_times(replay: Callable[[], Any], seconds: float) -> list[float]:
    """Seconds of replays, by the device's clock."""
    started, stopped = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def between_events() -> float:
        started.record()
        replay()
        stopped.record()
        stopped.synchronize()
        return float(started.elapsed_time(stopped)) / 1e3

    taken: list[float] = []
    until = time.perf_counter() + seconds
    while len(taken) < FEWEST_REPEATS or time.perf_counter() < until:
        taken.append(between_events())
        if len(taken) >= MOST_REPEATS:
            break
    return taken
