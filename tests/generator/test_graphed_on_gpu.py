"""CUDA graphs on a GPU: a replay equals the search operation by operation, and that on the CPU."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genrec.funnel import METHODS, load_sources
from genrec.generator import (
    GenerativeRecommender,
    GeneratorSource,
    GraphConfig,
    GraphedSource,
    LiveCatalogue,
    Mode,
)
from genrec.generator.batches import cut_to_window
from genrec.interactions import NO_ITEM, Histories, Recommendations, RequestBatch
from tests.generator.conftest import NUM_ITEMS, random_codes

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

GRAPH_TOLERANCE = 1e-5
"""Of log-probabilities, a replay against the same kernels one by one, in the same shapes."""
DEVICE_TOLERANCE = 1e-4
"""Of log-probabilities, a GPU against a CPU: other kernels, in fp32 without TF32."""
HISTORIES = [[3, 1, 4, 1, 5], [9, 2], [], list(range(30))]


def asked(histories: list[list[int]] = HISTORIES) -> RequestBatch:
    return RequestBatch.from_histories(Histories.from_lists(histories))


def filtered(requests: RequestBatch, rows: int, seed: int = 0) -> RequestBatch:
    draw = torch.Generator().manual_seed(seed)
    return replace(requests, allowed=torch.rand(rows, NUM_ITEMS, generator=draw) < 0.5)


@pytest.fixture
def on_gpu(model: GenerativeRecommender) -> GenerativeRecommender:
    """The same model, on the GPU."""
    moved = copy.deepcopy(model)
    torch.nn.Module.to(moved, torch.device("cuda"))
    return moved


def close(found: Recommendations, expected: Recommendations, tolerance: float) -> None:
    """Items may change places only where their scores are within the tolerance."""
    torch.testing.assert_close(found.score, expected.score, atol=tolerance, rtol=0)
    for items, others, scores in zip(
        found.item_index, expected.item_index, expected.score, strict=True
    ):
        for place in (items != others).nonzero()[:, 0].tolist():
            near = (scores - scores[place]).abs() <= 2 * tolerance
            assert near.sum() > 1 or place == len(items) - 1


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("rows", [None, 1, len(HISTORIES)])
@pytest.mark.parametrize("leaves_out", [False, True])
def test_a_replay_equals_the_search_operation_by_operation_and_on_the_cpu(
    model: GenerativeRecommender,
    on_gpu: GenerativeRecommender,
    mode: Mode,
    rows: int | None,
    leaves_out: bool,
) -> None:
    requests = asked().without_seen() if leaves_out else asked()
    requests = requests if rows is None else filtered(requests, rows)
    graphed = GraphedSource(on_gpu, mode, num_beams=7)
    found = graphed.recommend(requests, 7)
    assert found.backend == "triton, cuda graph"
    eager = GeneratorSource(on_gpu, mode, num_beams=7).recommend(requests, 7)
    close(found, eager, DEVICE_TOLERANCE)
    close(found, GeneratorSource(model, mode, num_beams=7).recommend(requests, 7), DEVICE_TOLERANCE)
    again = graphed.recommend(requests, 7)
    close(again, found, GRAPH_TOLERANCE)
    assert graphed.counts == {"captured": 1, "replayed": 2}


def test_replays_of_many_buckets_with_other_inputs_do_not_disturb_each_other(
    model: GenerativeRecommender, on_gpu: GenerativeRecommender
) -> None:
    """Graphs share their memory: each is replayed after every other."""
    graphed = GraphedSource(on_gpu, Mode.COMBINED, num_beams=7)
    plain = GeneratorSource(model, Mode.COMBINED, num_beams=7)
    draw = np.random.default_rng(0)
    for turn in range(30):
        lengths = draw.integers(0, 12, int(draw.choice([1, 2, 4])))
        requests = asked([draw.integers(0, NUM_ITEMS, length).tolist() for length in lengths])
        if turn % 3:
            requests = requests.without_seen()
        if turn % 2:
            requests = filtered(requests, int(draw.choice([1, len(requests)])), turn)
        close(graphed.recommend(requests, 7), plain.recommend(requests, 7), DEVICE_TOLERANCE)
    assert graphed.counts["replayed"] == 30
    assert 1 < graphed.counts["captured"] < 30


def test_graphs_that_were_let_go_of_are_captured_again(
    model: GenerativeRecommender, on_gpu: GenerativeRecommender
) -> None:
    graphed = GraphedSource(on_gpu, Mode.GENERATIVE, num_beams=5, config=GraphConfig(max_graphs=1))
    plain = GeneratorSource(model, Mode.GENERATIVE, num_beams=5)
    for requests in (asked(), asked([[1]]), asked(), asked([[2]])):
        close(graphed.recommend(requests, 5), plain.recommend(requests, 5), DEVICE_TOLERANCE)
    assert graphed.counts == {"captured": 4, "replayed": 4, "evicted": 3}


def test_no_graph_answers_for_another_catalogue(on_gpu: GenerativeRecommender) -> None:
    live = LiveCatalogue(on_gpu, room=1)
    graphed = GraphedSource(on_gpu, Mode.GENERATIVE, num_beams=NUM_ITEMS + 9, tables=live)
    graphed.recommend(asked(), 5)
    new = live.add(random_codes(NUM_ITEMS + 9)[NUM_ITEMS:], np.ones((9, 8), dtype=np.float32))
    live.remove(np.array([0, 7]))
    plain = GeneratorSource(on_gpu, Mode.GENERATIVE, num_beams=NUM_ITEMS + 9, tables=live)
    for _ in range(3):
        found = graphed.recommend(asked(), NUM_ITEMS + 9)
        close(found, plain.recommend(asked(), NUM_ITEMS + 9), DEVICE_TOLERANCE)
        for items in found.item_index.tolist():
            assert set(new.tolist()) <= set(items)
            assert not {0, 7} & set(items)
    assert graphed.counts["captured"] == 2


@contextmanager
def nobody_waits() -> Iterator[None]:
    """An operation that makes the host wait for the device is an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("mode", list(Mode))
@torch.inference_mode()
def test_the_host_waits_neither_for_inputs_nor_in_a_replay(
    on_gpu: GenerativeRecommender, mode: Mode
) -> None:
    graphed = GraphedSource(on_gpu, mode, num_beams=7)
    requests = filtered(asked().without_seen(), 1)
    graphed.recommend(requests, 7)
    [kept] = graphed._graphs.values()
    filters = graphed.filters_of(graphed.tables.index)
    window = cut_to_window(requests.item_index, on_gpu.config.history)
    with nobody_waits():
        kept.request.fill(requests, window, filters)
        found = kept.replay()
        by_hand = kept.request.answer()
    torch.cuda.synchronize()
    close(
        replace(found, item_index=found.item_index.cpu(), score=found.score.cpu()),
        replace(by_hand, item_index=by_hand.item_index.cpu(), score=by_hand.score.cpu()),
        GRAPH_TOLERANCE,
    )


def test_threads_get_their_own_answers_while_graphs_are_captured(
    model: GenerativeRecommender, on_gpu: GenerativeRecommender
) -> None:
    graphed = GraphedSource(on_gpu, Mode.GENERATIVE, num_beams=5)
    plain = GeneratorSource(model, Mode.GENERATIVE, num_beams=5)
    failures: list[BaseException] = []

    def ask(item: int) -> None:
        try:
            for size in (1, 2, 3):
                requests = asked([[item]] * size)
                found = graphed.recommend(requests, 5)
                close(found, plain.recommend(requests, 5), DEVICE_TOLERANCE)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(item,)) for item in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_run_is_loaded_onto_the_gpu(tiny_run: Path) -> None:
    on_gpu, on_cpu = (load_sources(tiny_run, device=device) for device in ("cuda", "cpu"))
    requests = asked()
    for name in METHODS:
        found = on_gpu[name].recommend(requests, 5)
        close(found, on_cpu[name].recommend(requests, 5), DEVICE_TOLERANCE)
        assert found.item_index.device == torch.device("cpu")
        assert (found.item_index != NO_ITEM).all()
    assert isinstance(on_gpu["combined"], GraphedSource)
