"""Selecting beams: both implementations equal the specification, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.errors import InputError
from genrec.kernels import Backend, beam_select
from genrec.kernels.beam_select.reference import beam_select_reference
from genrec.kernels.beam_select.torch_kernel import (
    CONTIGUOUS_GROUP,
    FEWEST_ENTRIES,
    SMALLEST_GROUP,
)
from genrec.kernels.beam_select.triton_kernel import BLOCK_W
from tests.kernels.conftest import CompileKernel, RunKernel

Select = Callable[..., tuple[Tensor, Tensor]]

MODULE = "genrec.kernels.beam_select.triton_kernel"
SCORES = {
    "real": lambda shape, generator: torch.randn(shape, generator=generator) * 5 - 10,
    "few": lambda shape, generator: torch.randint(-2, 3, shape, generator=generator) * -0.5,
    "bits": lambda shape, generator: (
        torch.randint(-(2**31), 2**31, shape, generator=generator, dtype=torch.int32)
        .view(torch.float32)
        .nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    ),
}
"""Real numbers; five different values, both zeros among them; any number that float32 has."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What an example's tensors are drawn from."""

    seed: int
    num_rows: int
    width: int
    num_beams: int
    scores: str
    missing: float
    """Share of the entries that are -inf."""
    shares_index: bool

    def arguments(self) -> tuple[Tensor, Tensor, int]:
        generator = torch.Generator().manual_seed(self.seed)
        shape = (self.num_rows, self.width)
        scores = SCORES[self.scores](shape, generator)
        scores[torch.rand(shape, generator=generator) < self.missing] = -torch.inf
        index = torch.rand(shape, generator=generator).argsort(dim=1)
        largest = 2**31 - 1
        index = largest - index * (largest // max(self.width, 1))
        return scores, index[0] if self.shares_index and self.num_rows else index, self.num_beams


def cases(widths: st.SearchStrategy[int]) -> st.SearchStrategy[Case]:
    return st.builds(
        Case,
        seed=st.integers(0, 2**31),
        num_rows=st.integers(0, 3),
        width=widths,
        num_beams=st.integers(1, 60),
        scores=st.sampled_from(list(SCORES)),
        missing=st.sampled_from([0.0, 0.0, 0.5, 0.99, 1.0]),
        shares_index=st.booleans(),
    )


drawn = partial(settings, deadline=None, derandomize=True, database=None)


@pytest.fixture(params=Backend, scope="module")
def select(request: pytest.FixtureRequest) -> Select:
    """`beam_select` on each of its backends, scores and index first."""
    if request.param is Backend.TORCH:
        return partial(beam_select, backend=Backend.TORCH)
    return on_triton(request.getfixturevalue("run_kernel"))


def on_triton(run_kernel: RunKernel) -> Select:
    return lambda scores, index, num_beams: run_kernel(
        beam_select, scores, index, num_beams=num_beams, backend=Backend.TRITON
    )


def check(select: Select, scores: Tensor, index: Tensor, num_beams: int) -> None:
    found_scores, found_position = select(scores, index, num_beams)
    expected_scores, expected_position = beam_select_reference(scores, index, num_beams)
    assert torch.equal(found_scores, expected_scores)
    assert torch.equal(found_position, expected_position)


@drawn(max_examples=150)
@given(cases(st.integers(0, 3) | st.integers(0, 300)))
def test_what_is_selected_is_what_the_specification_selects(case: Case) -> None:
    check(partial(beam_select, backend=Backend.TORCH), *case.arguments())


@drawn(max_examples=40)
@given(cases(st.integers(FEWEST_ENTRIES, 2 * FEWEST_ENTRIES)))
def test_what_is_selected_from_groups_is_what_the_specification_selects(case: Case) -> None:
    check(partial(beam_select, backend=Backend.TORCH), *case.arguments())


@drawn(max_examples=10)
@given(cases(st.integers(0, 3) | st.sampled_from([BLOCK_W - 1, BLOCK_W, BLOCK_W + 1])))
def test_what_the_triton_twin_selects_is_what_the_specification_selects(
    run_kernel: RunKernel, case: Case
) -> None:
    check(on_triton(run_kernel), *case.arguments())


@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize(
    "size", [SMALLEST_GROUP - 1, SMALLEST_GROUP, CONTIGUOUS_GROUP - 1, CONTIGUOUS_GROUP]
)
@pytest.mark.parametrize("rest", [0, 1, 3])
def test_groups_of_every_size_with_and_without_a_rest(size: int, rest: int, scores: str) -> None:
    num_beams = FEWEST_ENTRIES // size**2 + 1
    case = Case(
        seed=size + rest,
        num_rows=2,
        width=size**2 * (num_beams + 1) + rest,
        num_beams=num_beams,
        scores=scores,
        missing=0.3,
        shares_index=False,
    )
    drawn_scores, index, num_beams = case.arguments()
    check(beam_select, drawn_scores, index, num_beams)
    drawn_scores[:, -1] = torch.inf
    check(beam_select, drawn_scores, index, num_beams)


@pytest.mark.parametrize("width", [20, FEWEST_ENTRIES + 3])
def test_the_lowest_index_of_equal_scores_wins_wherever_it_stands(
    select: Select, width: int
) -> None:
    scores = torch.zeros(1, width)
    scores[0, ::2] = -0.0
    falling = torch.arange(width).flip(0)
    assert select(scores, falling, 3)[1].tolist() == [[width - 1, width - 2, width - 3]]
    assert select(scores, falling.flip(0), 3)[1].tolist() == [[0, 1, 2]]
    scores[0, 7] = 1.0
    assert select(scores, falling, 3)[1].tolist() == [[7, width - 1, width - 2]]
    assert select(scores, falling, 2)[1].tolist() == [[7, width - 1]]


@pytest.mark.parametrize("width", [0, 1, 2, 5])
def test_places_without_an_entry_have_no_score_and_the_first_position(
    select: Select, width: int
) -> None:
    scores = torch.tensor([[-torch.inf, 2.0, -torch.inf, 3.0, -torch.inf]])[:, :width]
    best, position = select(scores, torch.arange(width), 4)
    found = [3.0, 2.0] if width == 5 else [2.0] if width == 2 else []
    assert best.tolist() == [found + [-torch.inf] * (4 - len(found))]
    expected = [3, 1] if width == 5 else [1] if width == 2 else []
    assert position.tolist() == [expected + [0] * (4 - len(found))]


def test_the_order_holds_at_the_edges_of_float32(select: Select) -> None:
    info = torch.finfo(torch.float32)
    rising = [-torch.inf, info.min, -1.0, -info.tiny, -1e-45, 0.0, 1e-45, info.tiny, info.max]
    scores = torch.tensor([[*rising, torch.inf]])
    best, position = select(scores, torch.arange(10), 10)
    assert best.tolist() == [[*reversed(scores[0].tolist())]]
    assert position.tolist() == [[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]]


def test_strided_scores_and_scores_with_a_gradient_are_taken_as_they_are(select: Select) -> None:
    scores = torch.arange(12.0).view(4, 3).T
    best, position = select(scores, torch.arange(4), 1)
    assert best.tolist() == [[9.0], [10.0], [11.0]] and position.tolist() == [[3]] * 3
    assert torch.equal(beam_select(scores.clone().requires_grad_(), torch.arange(4), 1)[0], best)


@pytest.mark.parametrize(
    ("scores", "index", "num_beams", "message"),
    [
        (torch.zeros(3), torch.arange(3), 1, r"scores \[B, W\]"),
        (torch.zeros(2, 3), torch.arange(2), 1, r"\[2, 3\] and \[2\]"),
        (torch.zeros(2, 3), torch.arange(3), 0, "num_beams must be at least 1, got 0"),
        (torch.zeros(2, 3).double(), torch.arange(3), 1, "float32 scores"),
        (torch.zeros(2, 3), torch.arange(3).int(), 1, "int64 index"),
        (torch.zeros(2, 3), torch.arange(3).to("meta"), 1, "move one of them"),
        (torch.zeros(2, 3).to("meta"), torch.arange(3).to("meta"), 1, "not meta"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    scores: Tensor, index: Tensor, num_beams: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        beam_select(scores, index, num_beams)


ENTRIES = {"scores_ptr": "*fp32", "index_ptr": "*i64", "threshold_ptr": "*i64"}
SIZES = {"width": "i32", "index_stride": "i32"}


@pytest.mark.parametrize(
    ("kernel", "signature", "constants"),
    [
        (
            "count_digits_kernel",
            {**ENTRIES, "counts_ptr": "*i32", **SIZES, "shift": "i32"},
            {"READS_INDEX": True, "BLOCK_W": BLOCK_W},
        ),
        (
            "choose_digit_kernel",
            {"counts_ptr": "*i32", "threshold_ptr": "*i64", "wanted_ptr": "*i32", "shift": "i32"},
            {},
        ),
        (
            "collect_kernel",
            {
                **ENTRIES,
                "taken_ptr": "*i32",
                "keys_ptr": "*i64",
                "places_ptr": "*i64",
                **SIZES,
                "num_beams": "i32",
            },
            {"BLOCK_W": BLOCK_W},
        ),
    ],
)
def test_the_kernels_compile_for_sm_90_without_a_gpu(
    compile_for_sm_90: CompileKernel,
    kernel: str,
    signature: dict[str, str],
    constants: dict[str, object],
) -> None:
    assert ".target sm_90" in compile_for_sm_90(MODULE, kernel, signature, constants)
