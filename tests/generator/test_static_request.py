"""The whole request as a CUDA graph would hold it: no operator waits, and the answer is the same.

Three proofs, each with an exemption of its own:
- on the meta device, where tensors have no values at all, everything runs but the launches of the
  Triton kernels: whatever would read a value, or leave the device, fails;
- on the CPU, with values, everything is watched but what the kernels' CPU implementations do;
- on Triton's interpreter, with values, everything is watched but the interpreter itself, which
  stands for the launch.
"""

from __future__ import annotations

import copy
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from genrec.decoding import PrefixIndex
from genrec.generator import (
    GenerativeRecommender,
    GeneratorConfig,
    GeneratorSource,
    GraphedSource,
    LiveCatalogue,
    Mode,
)
from genrec.generator.buckets import Bucket
from genrec.generator.decoder import DecoderWeights
from genrec.generator.items import ItemTables
from genrec.generator.model import make_model
from genrec.generator.static_request import StaticRequest
from genrec.interactions import NO_ITEM, Histories, Recommendations, RequestBatch
from genrec.kernels import backend
from genrec.kernels.backend import Backend
from genrec.kernels.beam_select import triton_kernel as select
from genrec.kernels.beam_self_attention import triton_kernel as attention
from genrec.kernels.trie_expand import triton_kernel as expand
from tests.generator.conftest import NUM_ITEMS, random_codes
from tests.generator.no_host import NoHost, unseen
from tests.generator.reruns import NoLaunch, Rerun, exempt_cpu_kernels

META = torch.device("meta")
HISTORIES = [[3, 1, 4, 1, 5], [9, 2], [], list(range(30)), [7]]


def asked(histories: list[list[int]] = HISTORIES) -> RequestBatch:
    return RequestBatch.from_histories(Histories.from_lists(histories))


def allowing(requests: RequestBatch, shares: list[float], num_items: int) -> RequestBatch:
    """One filter for all, or one of a share each."""
    draw = torch.Generator().manual_seed(0)
    drawn = torch.rand(len(shares), num_items, generator=draw)
    return replace(requests, allowed=drawn < torch.tensor(shares)[:, None])


def same(found: Recommendations, expected: Recommendations) -> None:
    assert found.item_index.tolist() == expected.item_index.tolist()
    torch.testing.assert_close(found.score, expected.score, atol=1e-5, rtol=1e-5)
    assert found.source == expected.source


def drawn_model(
    seed: int, num_items: int, num_levels: int, num_codes: int
) -> GenerativeRecommender:
    """A catalogue whose levels are anything from full to thin."""
    random = np.random.default_rng(seed)
    codes = np.unique(random.integers(0, num_codes, (num_items, num_levels)), axis=0)
    codes = codes[random.permutation(len(codes))].astype(np.int32)
    config = GeneratorConfig(
        num_items=len(codes),
        codebook_sizes=[num_codes] * num_levels,
        content_width=4,
        history=6,
        width=8,
        num_heads=2,
        encoder_layers=1,
    )
    torch.manual_seed(seed)
    model = make_model(config, codes=codes, content=random.standard_normal((len(codes), 4)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.train(False)
    return model


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("leaves_out", [False, True], ids=["all may come", "seen left out"])
@pytest.mark.parametrize("shares", [None, [0.4], [0.0, 0.03, 0.5, 1.0, 0.2]])
def test_the_answer_is_the_ordinary_one_and_nothing_waits(
    model: GenerativeRecommender,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    leaves_out: bool,
    shares: list[float] | None,
) -> None:
    """Histories of no, one and too many events; beams fewer and more than what is permitted."""
    exempt_cpu_kernels(monkeypatch)
    requests = asked().without_seen() if leaves_out else asked()
    if shares is not None:
        requests = allowing(requests, shares, NUM_ITEMS)
    capture = Rerun()
    static = GraphedSource(model, mode, num_beams=7, capture=capture)
    plain = GeneratorSource(model, mode, num_beams=7)
    for part, k in ((requests, 5), (requests.rows(1, 2), 7), (requests.rows(2, 3), 1)):
        same(static.recommend(part, k), plain.recommend(part, k))
    assert capture.runs == 3


@pytest.mark.parametrize("num_beams", [1, NUM_ITEMS, [2, 5, 9]])
def test_beams_of_every_width_find_the_same(
    model: GenerativeRecommender, monkeypatch: pytest.MonkeyPatch, num_beams: int | list[int]
) -> None:
    exempt_cpu_kernels(monkeypatch)
    static = GraphedSource(model, Mode.GENERATIVE, num_beams=num_beams, capture=Rerun())
    plain = GeneratorSource(model, Mode.GENERATIVE, num_beams=num_beams)
    for k in (1, NUM_ITEMS + 3):
        same(static.recommend(asked(), k), plain.recommend(asked(), k))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    num_items=st.integers(1, 50),
    num_levels=st.integers(1, 4),
    num_codes=st.sampled_from([1, 2, 4, 40]),
    num_beams=st.sampled_from([1, 3, 60]),
    share=st.sampled_from([None, 0.0, 0.3, 1.0]),
    num_excluded=st.sampled_from([0, 1, 9]),
    mode=st.sampled_from(list(Mode)),
)
def test_drawn_catalogues_are_answered_alike(
    seed: int,
    num_items: int,
    num_levels: int,
    num_codes: int,
    num_beams: int,
    share: float | None,
    num_excluded: int,
    mode: Mode,
) -> None:
    model = drawn_model(seed, num_items, num_levels, num_codes)
    n, random = model.config.num_items, np.random.default_rng(seed)
    lengths = random.integers(0, 9, int(random.integers(1, 5)))
    requests = asked([random.integers(0, n, length).tolist() for length in lengths])
    if num_excluded:  # with repeats, with places that hold none, and with what is no item
        left_out = random.integers(NO_ITEM, n + 2, (len(requests), num_excluded))
        if mode is not Mode.GENERATIVE:  # the ordinary path knows no such items there
            left_out = np.minimum(left_out, n - 1)
        requests = replace(requests, excluded=torch.from_numpy(left_out))
    if share is not None:
        requests = allowing(requests, [share] * int(random.choice([1, len(requests)])), n)
    with pytest.MonkeyPatch.context() as monkeypatch:
        exempt_cpu_kernels(monkeypatch)
        static = GraphedSource(model, mode, num_beams=num_beams, capture=Rerun())
        plain = GeneratorSource(model, mode, num_beams=num_beams)
        same(static.recommend(requests, 4), plain.recommend(requests, 4))


@pytest.mark.parametrize("mode", list(Mode))
def test_a_catalogue_that_changed_is_answered_alike(
    model: GenerativeRecommender, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    exempt_cpu_kernels(monkeypatch)
    live = LiveCatalogue(model, room=2)
    static = GraphedSource(model, mode, num_beams=5, tables=live, capture=Rerun())
    requests = allowing(asked().without_seen(), [0.7], NUM_ITEMS)
    new = random_codes(NUM_ITEMS + 9)[NUM_ITEMS:]
    live.add(new, np.ones((9, 8), dtype=np.float32))
    live.remove(np.array([0, 4, 17, NUM_ITEMS + 2]))
    plain = GeneratorSource(model, mode, num_beams=5, tables=live)
    for part in (requests, requests, asked([[NUM_ITEMS + 1, 3]])):
        same(static.recommend(part, 6), plain.recommend(part, 6))
    assert static.counts["replayed"] == 2


def on_meta(model: GenerativeRecommender, tables: ItemTables) -> ItemTables:
    """The model without values, in place; and the same tables without values."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.to(META)))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(META))
    return ItemTables(
        items=tables.items.to(META),
        directions=tables.directions.to(META),
        nodes=[level.to(META) for level in tables.nodes],
        index=index_on_meta(tables.index),
        added_content=None if tables.added_content is None else tables.added_content.to(META),
        gone=None if tables.gone is None else tables.gone.to(META),
    )


def index_on_meta(index: PrefixIndex) -> PrefixIndex:
    """A copy of an index without values; what is no tensor stays."""
    moved = copy.copy(index)
    for name, value in vars(index).items():
        if isinstance(value, PrefixIndex):
            setattr(moved, name, index_on_meta(value))
        elif isinstance(value, Tensor):
            setattr(moved, name, value.to(META))
        elif isinstance(value, list) and value and isinstance(value[0], Tensor):
            setattr(moved, name, [each.to(META) for each in value])
        elif name == "_levels":
            tables = [
                {key: each.to(META) for key, each in vars(level).items() if torch.is_tensor(each)}
                for level in value
            ]
            setattr(
                moved, name, [replace(old, **new) for old, new in zip(value, tables, strict=True)]
            )
    return moved


def launch_nothing(monkeypatch: pytest.MonkeyPatch) -> NoLaunch:
    """Tensors without values are answered by the Triton twins, whose kernels do nothing."""
    nothing = NoLaunch()
    for module, names in (
        (select, ("count_digits_kernel", "choose_digit_kernel", "collect_kernel")),
        (attention, ("beam_attention_kernel",)),
        (expand, ("row_log_softmax_kernel",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, nothing)
    monkeypatch.setattr(backend, "_backend_of", lambda kernel, device: Backend.TRITON)
    return nothing


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("grown", [False, True], ids=["as built", "grown"])
@pytest.mark.parametrize(("filter_rows", "excluded"), [(0, 0), (1, 8), (4, 0), (4, 8)])
@torch.inference_mode()
def test_no_operator_reads_a_value_or_leaves_the_device(
    model: GenerativeRecommender,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    grown: bool,
    filter_rows: int,
    excluded: int,
) -> None:
    tables = model.item_tables()
    if grown:
        live = LiveCatalogue(model)
        live.add(random_codes(NUM_ITEMS + 1)[NUM_ITEMS:], np.ones((1, 8), dtype=np.float32))
        live.remove(np.array([3]))
        tables = live.tables
    source = GeneratorSource(model, mode, tables=tables)
    static = on_meta(model, replace(tables, index=tables.index.static()))
    bucket = Bucket(
        batch=4, length=8, num_beams=(5, 6, 7), excluded=excluded, filter_rows=filter_rows
    )
    launches = launch_nothing(monkeypatch)
    source._decoder = DecoderWeights(model)
    request = StaticRequest(source, static, bucket)
    with NoHost(META) as watch:
        found = request.answer()
    assert found.item_index.device == found.score.device == META
    assert found.item_index.shape == (4, 7)
    assert launches.launches > 10
    assert "scaled_dot_product_attention" in " ".join(watch.seen)


def interpreted() -> list[tuple[list[list[int]], list[list[float]]]]:
    """On Triton's interpreter: what a replay of every mode gives, then what the CPU gives."""
    from triton.runtime.interpreter import GridExecutor

    model = drawn_model(5, 30, 3, 4)
    requests = allowing(asked([[3, 1, 4], []]).without_seen(), [0.8], model.config.num_items)
    answers = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(GridExecutor, "__call__", unseen(GridExecutor.__call__))
        for name in ("triton", "torch"):
            if name == "triton":
                monkeypatch.setattr(backend, "_backend_of", lambda kernel, device: Backend.TRITON)
            else:
                monkeypatch.undo()
            for mode in Mode:
                source = GeneratorSource(model, mode, num_beams=4)
                if name == "triton":
                    source = GraphedSource(model, mode, num_beams=4, capture=Rerun())
                found = source.recommend(requests, 4)
                answers.append((found.item_index.tolist(), found.score.tolist()))
    return answers


@pytest.mark.slow
def test_triton_twins_answer_alike_and_nothing_waits_but_their_interpreter() -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TRITON_INTERPRET", "1")
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
            answers = pool.submit(interpreted).result()
    for (items, scores), (expected, expected_scores) in zip(answers[:3], answers[3:], strict=True):
        assert items == expected
        torch.testing.assert_close(
            torch.tensor(scores), torch.tensor(expected_scores), atol=1e-5, rtol=1e-5
        )


X = torch.arange(6.0).view(2, 3)


@pytest.mark.parametrize(
    "operator",
    [
        lambda: X.sum().item(),
        lambda: int(X[0, 0]),
        lambda: bool((X > 0).any()),
        X.nonzero,
        lambda: X[X > 1],
        lambda: torch.masked_select(X, X > 1),
        X.unique,
        lambda: torch.repeat_interleave(torch.tensor(2).expand(3)),
        lambda: X[0].repeat_interleave(X[0].long()),
        lambda: torch.equal(X, X),
        lambda: X[0].long().bincount(),
        lambda: torch.tensor([1, 2]),
        lambda: X.new_tensor([1.0]),
        lambda: X.to(META),
        lambda: torch.zeros(2, device=META),
    ],
)
def test_the_watch_sees_what_a_graph_cannot_hold(operator: object) -> None:
    assert callable(operator)
    with NoHost(torch.device("cpu")), pytest.raises(AssertionError, match=r"host|values|is on"):
        operator()


def test_what_reads_values_without_an_operator_fails_on_meta() -> None:
    for read in (Tensor.tolist, Tensor.numpy, Tensor.item):
        with pytest.raises((NotImplementedError, RuntimeError, TypeError)):
            read(X.to(META))
