"""Expanding a trie: both implementations and their gradients against the specification."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.errors import InputError
from genrec.kernels import Backend, trie_expand
from genrec.kernels.trie_expand.reference import trie_expand_reference
from genrec.kernels.trie_expand.torch_kernel import MOST_COPIED
from genrec.kernels.trie_expand.triton_kernel import BLOCK_SIZES
from tests.kernels.conftest import CompileKernel, RunKernel

Arguments = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
Expand = Callable[..., Tensor]
Gradients = Callable[..., tuple[Tensor, Tensor]]

ROOT = Path(__file__).parents[2]
MODULE = "genrec.kernels.trie_expand.triton_kernel"
BLOCK_E, BLOCK_D = BLOCK_SIZES.values()
ABSOLUTE_TOLERANCE = 1e-5
RELATIVE_TOLERANCE = 2e-6  # of the largest product of norms, which bounds every score, float32

THREADS_AT_FIRST_USE = """
import threading, torch
from genrec.kernels import trie_expand

failures = []
threading.excepthook = failures.append
one, two = torch.ones(1, dtype=torch.int64), torch.ones(3, 2)
expand = lambda: trie_expand(two[:1], two, one, one - 1, one)
threads = [threading.Thread(target=expand) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What an example's tensors are drawn from."""

    seed: int
    num_rows: int
    num_nodes: int
    width: int
    most: int
    """Children of a row."""
    layout: str
    """ragged: row behind row; padded: rows as long as the longest may be; loose: with gaps of any
    length before the rows."""
    scale: float = 1.0

    def arguments(self) -> Arguments:
        generator = torch.Generator().manual_seed(self.seed)
        integers = partial(torch.randint, generator=generator)
        queries = torch.randn(self.num_rows, self.width, generator=generator) * self.scale
        nodes = torch.randn(self.num_nodes, self.width, generator=generator)
        degree = integers(0, self.most + 1, (self.num_rows,))
        gaps = {
            "ragged": torch.zeros_like(degree),
            "padded": self.most - degree,
            "loose": integers(0, 4, degree.shape),  # at most 3
        }[self.layout]
        start = (degree + gaps).cumsum(0) - degree
        if self.layout != "loose":
            start = start - gaps
        places = int((degree + gaps).sum())
        return queries, nodes, integers(0, self.num_nodes, (places,)), start, degree


CASES = st.builds(
    Case,
    seed=st.integers(0, 2**31),
    num_rows=st.integers(0, 5),
    num_nodes=st.integers(2 * BLOCK_E + 6, 2 * BLOCK_E + 20),
    width=st.integers(1, 4) | st.sampled_from([BLOCK_D - 1, BLOCK_D, BLOCK_D + 1]),
    most=st.integers(0, 5) | st.sampled_from([BLOCK_E - 1, BLOCK_E, BLOCK_E + 1, 2 * BLOCK_E + 3]),
    layout=st.sampled_from(["ragged", "padded", "loose"]),
    scale=st.sampled_from([1e-3, 1.0, 14.0, 1e3]),
)
drawn = partial(settings, deadline=None, derandomize=True, database=None)


@pytest.fixture(params=Backend, scope="module")
def expand(request: pytest.FixtureRequest) -> Expand:
    """`trie_expand` on each of its backends."""
    if request.param is Backend.TORCH:
        return partial(trie_expand, backend=Backend.TORCH)
    return partial(request.getfixturevalue("run_kernel"), trie_expand, backend=Backend.TRITON)


@pytest.fixture
def gradients(request: pytest.FixtureRequest, expand: Expand) -> Gradients:
    """`gradients_of` on the backend that `expand` has."""
    backend = request.node.callspec.params["expand"]
    if backend is Backend.TORCH:
        return partial(gradients_of, backend=Backend.TORCH)
    return partial(request.getfixturevalue("run_kernel"), gradients_of, backend=Backend.TRITON)


def gradients_of(
    queries: Tensor,
    nodes: Tensor,
    child: Tensor,
    start: Tensor,
    degree: Tensor,
    grad: Tensor,
    *,
    backend: Backend | None,
) -> tuple[Tensor, Tensor]:
    """By queries and by nodes, given the gradient by the log-probabilities; None: reference."""
    queries, nodes = queries.clone().requires_grad_(), nodes.clone().requires_grad_()
    function = trie_expand_reference if backend is None else partial(trie_expand, backend=backend)
    log_probs = function(queries, nodes, child, start, degree)
    query_grad, node_grad = torch.autograd.grad(log_probs, (queries, nodes), grad)
    return query_grad, node_grad


def check_log_probs(expand: Expand, arguments: Arguments) -> None:
    queries, nodes, *_ = arguments
    found, expected = expand(*arguments), trie_expand_reference(*arguments)
    largest = queries.norm(dim=1).amax() * nodes.norm(dim=1).amax() if len(queries) else 0.0
    assert found.dtype == torch.float32
    assert torch.equal(found == -torch.inf, expected == -torch.inf)
    torch.testing.assert_close(
        found, expected, rtol=0, atol=ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * float(largest)
    )


@pytest.mark.parametrize(
    ("layout", "width"),
    [("padded", BLOCK_D), ("padded", BLOCK_D + 1), ("ragged", 4 * BLOCK_D), ("loose", 4 * BLOCK_D)],
    ids=["most that is copied", "one column more", "many, ragged", "many, loose"],
)
def test_few_and_many_edges_are_scored_alike(layout: str, width: int) -> None:
    most = MOST_COPIED // BLOCK_D // 4
    case = Case(seed=1, num_rows=4, num_nodes=most, width=width, most=most, layout=layout)
    check_log_probs(partial(trie_expand, backend=Backend.TORCH), case.arguments())


def check_gradients(gradients: Gradients, arguments: Arguments) -> None:
    expected_log_probs = trie_expand_reference(*arguments)
    padding = expected_log_probs == -torch.inf
    generator = torch.Generator().manual_seed(0)
    grad = torch.randn(padding.shape, generator=generator)
    if not arguments[4].any():
        expected = (torch.zeros_like(arguments[0]), torch.zeros_like(arguments[1]))
    else:
        expected = gradients_of(*arguments, grad.masked_fill(padding, 0.0), backend=None)
    found = gradients(*arguments, grad.masked_fill(padding, torch.nan))
    for name, ours, theirs in zip(("queries", "nodes"), found, expected, strict=True):
        largest = float(theirs.abs().amax()) if theirs.numel() else 0.0
        difference = float((ours - theirs).abs().amax()) if theirs.numel() else 0.0
        assert ours.shape == theirs.shape
        assert difference <= ABSOLUTE_TOLERANCE * (1 + largest), f"gradient by {name}"


@drawn(max_examples=80)
@given(CASES)
def test_log_probabilities_are_those_of_the_specification(case: Case) -> None:
    check_log_probs(trie_expand, case.arguments())


@drawn(max_examples=8)
@given(CASES)
def test_log_probabilities_of_the_triton_twin_are_those_of_the_specification(
    run_kernel: RunKernel, case: Case
) -> None:
    check_log_probs(partial(run_kernel, trie_expand, backend=Backend.TRITON), case.arguments())


@drawn(max_examples=40)
@given(CASES)
def test_gradients_are_those_of_the_specification(case: Case) -> None:
    if case.scale <= 14.0:  # beyond, a last bit of a score is a visible part of a probability
        check_gradients(partial(gradients_of, backend=Backend.TORCH), case.arguments())


@pytest.mark.parametrize("layout", ["ragged", "padded", "loose"])
@pytest.mark.parametrize("width", [1, BLOCK_D, BLOCK_D + 1])
def test_log_probabilities_and_gradients_at_the_blocks_boundaries(
    expand: Expand, gradients: Gradients, layout: str, width: int
) -> None:
    case = Case(seed=1, num_rows=6, num_nodes=99, width=width, most=0, layout=layout)
    queries, nodes, _, _, _ = case.arguments()
    degree = torch.tensor([0, BLOCK_E - 1, BLOCK_E, 0, BLOCK_E + 1, 1])
    places = torch.full_like(degree, BLOCK_E + 1) if layout == "padded" else degree
    places = places + 2 if layout == "loose" else places
    start = places.cumsum(0) - places
    child = torch.arange(int(places.sum())) % 99
    check_log_probs(expand, (queries, nodes, child, start, degree))
    check_gradients(gradients, (queries, nodes, child, start, degree))


@pytest.mark.parametrize("num_rows", [1, 3])
def test_a_row_with_all_nodes_is_a_softmax_over_all(
    expand: Expand, gradients: Gradients, num_rows: int
) -> None:
    case = Case(seed=0, num_rows=num_rows, num_nodes=7, width=4, most=7, layout="ragged")
    queries, nodes, *_ = case.arguments()
    child = torch.arange(7).repeat(num_rows)
    start, degree = torch.arange(num_rows) * 7, torch.full((num_rows,), 7)
    found = expand(queries, nodes, child, start, degree)
    torch.testing.assert_close(found, (queries @ nodes.T).log_softmax(dim=1).flatten())
    check_gradients(gradients, (queries, nodes, child, start, degree))
    backwards = child.flip(0)
    torch.testing.assert_close(
        expand(queries, nodes, backwards, start, degree).view(num_rows, 7).flip(1),
        found.view(-1, 7),
    )


def test_the_probabilities_of_a_row_sum_to_one_however_large_the_scores(expand: Expand) -> None:
    for scale in (1e-20, 1.0, 1e6):
        case = Case(seed=2, num_rows=4, num_nodes=43, width=8, most=40, layout="loose", scale=scale)
        queries, nodes, child, start, degree = case.arguments()
        probabilities = expand(queries, nodes, child, start, degree).exp()
        for begin, length in zip(start.tolist(), degree.tolist(), strict=True):
            total = float(probabilities[begin : begin + length].sum())
            assert total == pytest.approx(1.0 if length else 0.0, abs=1e-5)
        assert float(probabilities.sum()) == pytest.approx(int((degree > 0).sum()), abs=1e-4)


def test_the_highest_score_may_stand_in_any_block(expand: Expand) -> None:
    places = 3 * BLOCK_E
    nodes = torch.linspace(-20.0, 20.0, places)[:, None]
    start, degree = torch.zeros(1, dtype=torch.int64), torch.tensor([places])
    for sign in (-1.0, 1.0):
        query = torch.full((1, 1), sign)
        check_log_probs(expand, (query, nodes, torch.arange(places), start, degree))


def test_only_what_needs_a_gradient_gets_one() -> None:
    case = Case(seed=0, num_rows=3, num_nodes=9, width=4, most=5, layout="ragged")
    queries, nodes, child, start, degree = case.arguments()
    for wanted in (queries, nodes):
        wanted.requires_grad_()
        trie_expand(queries, nodes, child, start, degree).sum().backward()
        wanted.requires_grad_(False)
    assert queries.grad is not None and nodes.grad is not None


def test_scores_are_float32_where_autocast_would_round_them() -> None:
    for num_nodes, rows in ((5, 2), (9, 2)):
        case = Case(
            seed=0, num_rows=rows, num_nodes=num_nodes, width=64, most=5, layout="ragged", scale=9.0
        )
        queries, nodes, *_ = case.arguments()
        child = torch.arange(5).repeat(rows)
        arguments = (queries, nodes, child, torch.arange(rows) * 5, torch.full((rows,), 5))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = trie_expand(*arguments)
        assert torch.equal(found, trie_expand(*arguments))


def test_notices_about_sparse_tensors_stay_unheard_in_all_threads() -> None:
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", THREADS_AT_FIRST_USE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "Sparse" not in answer.stderr


def changed(**changes: Tensor) -> dict[str, Any]:
    """Arguments of two rows with two children each, but for the changes."""
    arguments = {
        "queries": torch.zeros(2, 3),
        "nodes": torch.zeros(5, 3),
        "child": torch.tensor([0, 1, 3, 4]),
        "start": torch.tensor([0, 2]),
        "degree": torch.tensor([2, 2]),
    }
    return arguments | changes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (changed(nodes=torch.zeros(5, 4)), r"\[2, 3\] and \[5, 4\]"),
        (changed(start=torch.zeros(3, dtype=torch.int64)), "one entry for each of 2 queries"),
        (changed(child=torch.zeros(2, 2, dtype=torch.int64)), r"child \[E\]"),
        (changed(queries=torch.zeros(2, 3).double()), "float32 queries"),
        (changed(degree=torch.tensor([2, 2]).int()), "int64 degree"),
        (changed(nodes=torch.zeros(5, 3, device="meta")), "move one of them"),
        (changed(nodes=torch.zeros(1, 3)), "4 places are more than 2 queries"),
        (changed(start=torch.tensor([0, 1])), "row 0 has 2 children from 0 on"),
        (changed(start=torch.tensor([2, 0])), "sort rows by start"),
        (changed(start=torch.tensor([-1, 2])), "row 0 has 2 children from -1 on"),
        (changed(degree=torch.tensor([2, 3])), "row 1 has 3 children from 2 on"),
        (changed(degree=torch.tensor([2, -1])), "row 1 has -1 children"),
        (changed(child=torch.tensor([0, 1, 3, 5])), "5 nodes, in padding too, got 0 to 5"),
        (changed(child=torch.tensor([-1, 1, 3, 4])), "got -1 to 4"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        trie_expand(**arguments)


def test_a_device_without_an_implementation_is_refused_not_replaced() -> None:
    arguments = {name: tensor.to("meta") for name, tensor in changed().items()}
    with pytest.raises(InputError, match="not meta"):
        trie_expand(**arguments)
    with pytest.raises(InputError, match="in PyTorch runs on cpu, not meta"):
        trie_expand(**arguments, backend=Backend.TORCH)


@pytest.mark.parametrize(
    ("kernel", "floats"),
    [
        ("row_log_softmax_kernel", ("queries_ptr", "nodes_ptr", "log_probs_ptr")),
        (
            "row_softmax_gradient_kernel",
            ("nodes_ptr", "log_probs_ptr", "grad_ptr", "weights_ptr", "query_grad_ptr"),
        ),
    ],
)
def test_the_kernels_compile_for_sm_90_without_a_gpu(
    compile_for_sm_90: CompileKernel, kernel: str, floats: tuple[str, ...]
) -> None:
    integers = dict.fromkeys(("child_ptr", "start_ptr", "degree_ptr"), "*i64")
    signature = {**dict.fromkeys(floats, "*fp32"), **integers, "width": "i32"}
    assert ".target sm_90" in compile_for_sm_90(MODULE, kernel, signature, {**BLOCK_SIZES})
