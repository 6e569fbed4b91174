"""Sums of code embeddings: both implementations and their gradients against the specification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from genrec.errors import InputError
from genrec.kernels import Backend, code_embedding_bag
from genrec.kernels.code_embedding_bag.reference import code_embedding_bag_reference
from genrec.kernels.code_embedding_bag.triton_kernel import BLOCK_SIZES
from tests.kernels.conftest import CompileKernel, RunKernel

Bag = Callable[..., tuple[Tensor, Tensor]]

BLOCK_N, BLOCK_D = BLOCK_SIZES.values()
TOLERANCE = 1e-6  # of the sum of the sizes that are added up, float32


@dataclass(frozen=True, kw_only=True)
class Case:
    """What an example's tensors are drawn from."""

    seed: int
    num_items: int
    num_levels: int
    most_codes: int
    width: int
    dtype: torch.dtype = torch.int64

    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Codes, table, offsets, and a gradient by the sums; levels differ in size."""
        generator = torch.Generator().manual_seed(self.seed)
        sizes = torch.randint(1, self.most_codes + 1, (self.num_levels,), generator=generator)
        drawn = torch.rand(self.num_items, self.num_levels, generator=generator)
        return (
            (drawn * sizes).long().to(self.dtype),
            torch.randn(int(sizes.sum()), self.width, generator=generator),
            sizes.cumsum(0) - sizes,
            torch.randn(self.num_items, self.width, generator=generator),
        )


CASES = st.builds(
    Case,
    seed=st.integers(0, 2**31),
    num_items=st.integers(0, 5) | st.sampled_from([BLOCK_N - 1, BLOCK_N, BLOCK_N + 1]),
    num_levels=st.integers(1, 4),
    most_codes=st.integers(1, 9),
    width=st.integers(1, 4) | st.sampled_from([BLOCK_D - 1, BLOCK_D, BLOCK_D + 1]),
    dtype=st.sampled_from([torch.uint8, torch.uint16, torch.int16, torch.int32, torch.int64]),
)
drawn = partial(settings, deadline=None, derandomize=True, database=None)


def sums_and_gradient(
    codes: Tensor, table: Tensor, offsets: Tensor, grad: Tensor, *, backend: Backend | None
) -> tuple[Tensor, Tensor]:
    """The sums and the gradient by the table; None: of the reference."""
    table = table.clone().requires_grad_()
    function = (
        code_embedding_bag_reference
        if backend is None
        else partial(code_embedding_bag, backend=backend)
    )
    vectors = function(codes, table, offsets)
    return vectors.detach(), torch.autograd.grad(vectors, table, grad)[0]


@pytest.fixture(params=Backend, scope="module")
def bag(request: pytest.FixtureRequest) -> Bag:
    """`sums_and_gradient` on each backend."""
    if request.param is Backend.TORCH:
        return partial(sums_and_gradient, backend=Backend.TORCH)
    return on_triton(request.getfixturevalue("run_kernel"))


def on_triton(run_kernel: RunKernel) -> Bag:
    return partial(run_kernel, sums_and_gradient, backend=Backend.TRITON)


def check(bag: Bag, case: Case) -> None:
    arguments = case.arguments()
    found, expected = bag(*arguments), sums_and_gradient(*arguments, backend=None)
    for name, ours, theirs in zip(("sums", "gradient by table"), found, expected, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == torch.float32
        difference = float((ours - theirs).abs().amax()) if theirs.numel() else 0.0
        added = 5.0 * max(case.num_levels, case.num_items)
        assert difference <= TOLERANCE * added, name


@drawn(max_examples=80)
@given(CASES)
def test_sums_and_gradients_are_those_of_the_specification(case: Case) -> None:
    check(partial(sums_and_gradient, backend=Backend.TORCH), case)


@drawn(max_examples=10)
@given(CASES)
def test_sums_and_gradients_of_the_triton_twin_are_those_of_the_specification(
    run_kernel: RunKernel, case: Case
) -> None:
    check(on_triton(run_kernel), case)


@pytest.mark.parametrize("num_items", [0, 1, BLOCK_N, BLOCK_N + 1])
@pytest.mark.parametrize("width", [1, BLOCK_D, BLOCK_D + 1])
def test_sums_and_gradients_at_the_blocks_boundaries(bag: Bag, num_items: int, width: int) -> None:
    check(bag, Case(seed=5, num_items=num_items, num_levels=3, most_codes=7, width=width))


@drawn(max_examples=20)
@given(CASES)
def test_on_a_cpu_every_bit_is_that_of_pytorchs_embedding_bag(case: Case) -> None:
    codes, table, offsets, grad = case.arguments()
    table.requires_grad_()
    theirs = F.embedding_bag(codes.long() + offsets, table, mode="sum")
    (their_gradient,) = torch.autograd.grad(theirs, table, grad)
    ours, our_gradient = sums_and_gradient(
        codes, table.detach(), offsets, grad, backend=Backend.TORCH
    )
    assert torch.equal(ours, theirs) and torch.equal(our_gradient, their_gradient)


def test_each_level_reads_its_own_part_of_the_table(bag: Bag) -> None:
    table = torch.tensor([[1.0], [2.0], [10.0], [20.0], [30.0], [100.0]])
    codes = torch.tensor([[0, 0, 0], [1, 2, 0], [1, 1, 0]])
    sums, gradient = bag(codes, table, torch.tensor([0, 2, 5]), torch.tensor([[1.0], [4.0], [6.0]]))
    assert sums[:, 0].tolist() == [111.0, 132.0, 122.0]
    assert gradient[:, 0].tolist() == [1.0, 10.0, 1.0, 6.0, 4.0, 11.0]


def test_strided_codes_and_trained_tables_are_taken_as_they_are() -> None:
    codes, table, offsets, _ = Case(
        seed=6, num_items=9, num_levels=3, most_codes=5, width=4
    ).arguments()
    expected = code_embedding_bag(codes, table, offsets)
    found = code_embedding_bag(codes.T.contiguous().T, nn.Parameter(table), offsets)
    assert torch.equal(found, expected) and found.requires_grad


CODES, TABLE, OFFSETS = (
    torch.zeros(3, 2, dtype=torch.int64),
    torch.zeros(5, 4),
    torch.tensor([0, 2]),
)


@pytest.mark.parametrize(
    ("codes", "table", "offsets", "message"),
    [
        (CODES[0], TABLE, OFFSETS, r"codes \[N, L\]"),
        (CODES, TABLE, OFFSETS[:1], r"\[3, 2\], \[5, 4\] and \[1\]"),
        (CODES[:, :0], TABLE, OFFSETS[:0], "L at least 1"),
        (CODES, TABLE[0], OFFSETS, r"and \[2\]"),
        (CODES.float(), TABLE, OFFSETS, "integer codes, got torch.float32"),
        (CODES.bool(), TABLE, OFFSETS, "integer codes, got torch.bool"),
        (CODES, TABLE.double(), OFFSETS, "float32 table"),
        (CODES, TABLE, OFFSETS.int(), "int64 offsets"),
        (CODES, TABLE, OFFSETS.to("meta"), "move one of them"),
        (CODES.to("meta"), TABLE.to("meta"), OFFSETS.to("meta"), "not meta"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    codes: Tensor, table: Tensor, offsets: Tensor, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        code_embedding_bag(codes, table, offsets)


@pytest.mark.parametrize("codes", ["*u16", "*i32", "*i64"])
def test_the_kernel_compiles_for_sm_90_without_a_gpu(
    compile_for_sm_90: CompileKernel, codes: str
) -> None:
    signature = {
        "codes_ptr": codes,
        "table_ptr": "*fp32",
        "offsets_ptr": "*i64",
        "vectors_ptr": "*fp32",
        **dict.fromkeys(("num_items", "num_levels", "width"), "i32"),
    }
    module = "genrec.kernels.code_embedding_bag.triton_kernel"
    ptx = compile_for_sm_90(module, "code_bag_kernel", signature, {**BLOCK_SIZES})
    assert ".target sm_90" in ptx
