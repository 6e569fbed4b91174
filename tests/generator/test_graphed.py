"""When a graph is captured, replayed, let go of and done without; a rerun stands for the graph."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from genrec.errors import DeadlineExceededError, InputError
from genrec.generator import (
    GenerativeRecommender,
    GeneratorSource,
    GraphConfig,
    GraphedSource,
    LiveCatalogue,
    Mode,
    SlateSource,
    Ungraphed,
)
from genrec.generator.captures import CudaGraphs
from genrec.interactions import NO_ITEM, Histories, RequestBatch
from tests.generator.conftest import NUM_ITEMS, random_codes
from tests.generator.reruns import Rerun, Result

SMALL = GraphConfig(shortest=2, fewest_excluded=2)


def asked(*histories: list[int]) -> RequestBatch:
    return RequestBatch.from_histories(Histories.from_lists(list(histories)))


def make(model: GenerativeRecommender, **options: object) -> GraphedSource:
    options = {"config": SMALL, "capture": Rerun(watched=False), "num_beams": 4, **options}
    return GraphedSource(model, Mode.GENERATIVE, **options)  # type: ignore[arg-type]


def counted(source: GraphedSource, **expected: int) -> None:
    assert source.counts == {name.replace("_", "-"): count for name, count in expected.items()}


def test_a_bucket_is_captured_once_and_replayed_for_all_that_fit(
    model: GenerativeRecommender,
) -> None:
    source, plain = make(model), GeneratorSource(model, Mode.GENERATIVE, num_beams=4)
    for histories in ([[1, 2, 3]], [[9, 8, 7, 6]], [[4, 4, 4]]):
        found = source.recommend(asked(*histories), 4)
        expected = plain.recommend(asked(*histories), 4)
        assert torch.equal(found.item_index, expected.item_index)
        assert found.backend == "torch, run again"
        assert expected.backend == "torch"
    counted(source, captured=1, replayed=3)
    source.recommend(asked([1, 2]), 4)
    source.recommend(asked([1, 2], [3]), 4)
    counted(source, captured=3, replayed=5)


def test_what_stood_in_the_buffers_before_is_forgotten(model: GenerativeRecommender) -> None:
    """A short history after a long one, a filter after another, fewer left out than before."""
    source, plain = make(model), GeneratorSource(model, Mode.GENERATIVE, num_beams=4)
    draw = torch.Generator().manual_seed(0)
    wide = replace(
        asked([5, 6, 7, 8], [1, 2, 3], [4]),
        excluded=torch.arange(12).view(3, 4),
        allowed=torch.rand(3, NUM_ITEMS, generator=draw) < 0.5,
    )
    narrow = replace(
        asked([9, 8, 7], [5], []),
        excluded=torch.tensor([[1, NO_ITEM, 2], [NO_ITEM] * 3, [3] * 3]),
        allowed=torch.rand(3, NUM_ITEMS, generator=draw) < 0.5,
    )
    for requests in (wide, narrow, wide):
        found, expected = source.recommend(requests, 4), plain.recommend(requests, 4)
        assert torch.equal(found.item_index, expected.item_index)
        torch.testing.assert_close(found.score, expected.score, atol=1e-5, rtol=0)
    counted(source, captured=1, replayed=3)


def test_lists_may_be_shorter_than_the_beams_and_longer(model: GenerativeRecommender) -> None:
    source = make(model)
    assert source.recommend(asked([1], [2], [3]), 2).item_index.shape == (3, 2)
    assert source.recommend(asked([1]), 9).item_index.shape == (1, 9)
    assert source.recommend(asked([1]).rows(0, 0), 3).item_index.shape == (0, 3)


def test_the_graph_that_was_unused_for_longest_goes_first(model: GenerativeRecommender) -> None:
    source = make(model, config=replace(SMALL, max_graphs=2))
    one, two, four = asked([1]), asked([1], [2]), asked([1], [2], [3])
    for requests in (one, two, one, four):
        source.recommend(requests, 1)
    assert [bucket.batch for bucket in source.buckets] == [1, 4]
    counted(source, captured=3, replayed=4, evicted=1)
    source.recommend(two, 1)
    counted(source, captured=4, replayed=5, evicted=2)


def test_inputs_take_no_more_bytes_than_they_may_but_one_graph_is_kept(
    model: GenerativeRecommender,
) -> None:
    source = make(model, config=replace(SMALL, max_buffer_bytes=100))
    filtered = replace(asked([1]), allowed=torch.ones(1, NUM_ITEMS, dtype=torch.bool))
    for requests in (asked([1]), asked([1], [2]), filtered):  # 16, 32, and more than 100 bytes
        source.recommend(requests, 1)
    assert [bucket.filter_rows for bucket in source.buckets] == [1]
    counted(source, captured=3, replayed=3, evicted=2)


def test_no_graph_answers_for_another_catalogue(model: GenerativeRecommender) -> None:
    live = LiveCatalogue(model)
    source = make(model, tables=live, num_beams=NUM_ITEMS + 1)
    best = int(source.recommend(asked([1, 2]), 1).item_index)
    live.remove(np.array([best]))
    assert best not in source.recommend(asked([1, 2]), NUM_ITEMS).item_index
    counted(source, captured=1, replayed=1, dropped=1, catalogue_changed=1)
    [new] = live.add(random_codes(NUM_ITEMS + 1)[NUM_ITEMS:], np.ones((1, 8), dtype=np.float32))
    for _ in range(2):  # operation by operation, then by a graph of its own
        found = source.recommend(asked([1, 2]), NUM_ITEMS).item_index
        assert new in found
        assert best not in found
    counted(source, captured=2, replayed=2, dropped=1, catalogue_changed=2)


def test_no_graph_answers_for_weights_that_lie_elsewhere(model: GenerativeRecommender) -> None:
    source = make(model)
    source.recommend(asked([1]), 3)
    model.empty_state = torch.nn.Parameter(model.empty_state + 5.0)
    model.empty_state.requires_grad_(False)
    source.recommend(asked([]), 3)
    found = source.recommend(asked([]), 3)
    expected = GeneratorSource(model, Mode.GENERATIVE, num_beams=4, tables=source.tables)
    assert torch.equal(found.item_index, expected.recommend(asked([]), 3).item_index)
    counted(source, captured=2, replayed=2, dropped=1, catalogue_changed=1)


def test_a_request_that_is_too_wide_is_answered_without_a_graph_and_says_so(
    model: GenerativeRecommender, caplog: pytest.LogCaptureFixture
) -> None:
    source = make(model, config=replace(SMALL, max_places=18 * 6))  # see Bucket.num_places
    source.recommend(asked([1]), 4)
    with caplog.at_level(logging.WARNING):
        found = source.recommend(asked([1], [2]), 4)
    assert found.backend == "torch"
    assert "without a graph: too-wide" in caplog.text
    counted(source, captured=1, replayed=1, too_wide=1)


def test_who_is_in_a_hurry_does_not_wait_for_a_capture(model: GenerativeRecommender) -> None:
    source = make(model)
    later = time.perf_counter() + 60
    assert source.recommend(asked([1]), 3, deadline=later).backend == "torch"
    source.recommend(asked([1]), 3)
    assert source.recommend(asked([2]), 3, deadline=later).backend == "torch, run again"
    counted(source, not_captured=1, captured=1, replayed=2)


def test_a_deadline_is_kept_before_a_replay_and_while_others_have_their_turn(
    model: GenerativeRecommender,
) -> None:
    source = make(model)
    with pytest.raises(DeadlineExceededError, match="before the graph"):
        source.recommend(asked([1]), 3, deadline=time.perf_counter() - 1)
    with source._lock, pytest.raises(DeadlineExceededError, match="another request"):
        source.recommend(asked([1]), 3, deadline=time.perf_counter() + 0.01)


def test_prepare_makes_a_graph_for_every_length_with_and_without_seen_items(
    model: GenerativeRecommender,
) -> None:
    source = make(model)
    source.prepare(num_requests=2)
    shapes = {(bucket.batch, bucket.length, bucket.excluded) for bucket in source.buckets}
    assert shapes == {(2, length, left_out) for length in (2, 4, 8) for left_out in (0, length)}
    before = source.counts["captured"]
    source.recommend(asked([1, 2, 3], [4]).without_seen(), 4, deadline=time.perf_counter() + 60)
    assert source.counts["captured"] == before


def test_slates_are_answered_without_graphs_and_counted(model: GenerativeRecommender) -> None:
    source = make(model)
    slate = SlateSource(source).recommend(asked([1, 2]), 3)
    plain = SlateSource(GeneratorSource(model, Mode.GENERATIVE)).recommend(asked([1, 2]), 3)
    assert torch.equal(slate.item_index, plain.item_index)
    assert source.counts == {Ungraphed.ENCODED: 3}


def test_an_item_that_is_none_is_refused_before_the_device_sees_it(
    model: GenerativeRecommender,
) -> None:
    with pytest.raises(InputError, match=f"items 1 to {NUM_ITEMS}, the catalogue has {NUM_ITEMS}"):
        make(model).recommend(asked([1, NUM_ITEMS]), 3)


def test_without_a_gpu_cuda_graphs_are_refused_with_what_to_use_instead(
    model: GenerativeRecommender,
) -> None:
    with pytest.raises(InputError, match="the model is on cpu; use GeneratorSource"):
        GraphedSource(model, Mode.GENERATIVE)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="use GeneratorSource"):
            CudaGraphs(torch.device("cuda"))


def test_a_capture_that_fails_leaves_nothing_behind(model: GenerativeRecommender) -> None:
    class Failing(Rerun):
        def __call__(self, run: Callable[[], Result]) -> Callable[[], Result]:
            raise RuntimeError("out of memory")

    source = make(model, capture=Failing())
    with pytest.raises(RuntimeError, match="out of memory"):
        source.recommend(asked([1]), 3)
    assert source.buckets == []
    source.capture = Rerun(watched=False)
    assert source.recommend(asked([1]), 3).backend == "torch, run again"


def test_threads_get_their_own_answers(model: GenerativeRecommender) -> None:
    source = make(model, capture=Rerun(watched=False, pause=0.002))
    plain = GeneratorSource(model, Mode.GENERATIVE, num_beams=4)
    expected = [plain.recommend(asked([item]), 4).item_index for item in range(8)]
    wrong: list[int] = []

    def ask(item: int) -> None:
        for _ in range(5):
            found = source.recommend(asked([item]), 4).item_index
            wrong.extend([] if torch.equal(found, expected[item]) else [item])

    threads = [threading.Thread(target=ask, args=(item,)) for item in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert source.counts == {"captured": 1, "replayed": 40}
