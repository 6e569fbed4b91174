"""Residual assignment: both implementations against the specification, and the compiled kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from genrec.errors import InputError
from genrec.kernels import Backend, residual_assign
from genrec.kernels.residual_assign.reference import residual_assign_reference
from genrec.kernels.residual_assign.torch_kernel import BLOCK_FLOATS, FEWEST_ROWS, propose_torch
from genrec.kernels.residual_assign.triton_kernel import BLOCK_SIZES, propose_triton
from tests.kernels.conftest import CompileKernel, RunKernel

Assign = Callable[[Tensor, Tensor], Tensor]

BLOCK_N, BLOCK_K, BLOCK_D = BLOCK_SIZES.values()
RELATIVE_TOLERANCE = 1e-5  # of two squared distances, float32


@dataclass(frozen=True, kw_only=True)
class Case:
    """What an example's tensors are drawn from."""

    seed: int
    num_items: int
    num_levels: int
    num_codes: int
    width: int
    scale: float = 1.0
    shrinkage: float = 1.0
    """Size of a level's codes beside those of the level before."""
    offset: float = 0.0
    """Of items and first codes from zero, in scales: rounding grows with it, distances do not."""

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


def near(block: int, *, least: int, most: int) -> st.SearchStrategy[int]:
    """Any size, and a block's boundary more often than chance would have it."""
    return st.integers(least, most) | st.sampled_from([block - 1, block, block + 1])


SIZES = {
    "seed": st.integers(0, 2**31),
    "num_items": near(BLOCK_N, least=0, most=70),
    "num_levels": st.integers(1, 4),
    "num_codes": near(BLOCK_K, least=1, most=300),
    "width": near(BLOCK_D, least=1, most=80),
}
INTEGER_CASES = st.builds(Case, **SIZES)
FLOAT_CASES = st.builds(
    Case,
    **SIZES,
    scale=st.floats(-3, 3).map(lambda exponent: 10**exponent),
    shrinkage=st.floats(0.01, 1),
    offset=st.sampled_from([0.0, 0.0, 1.0, 100.0]),
)
drawn = partial(settings, deadline=None, derandomize=True, database=None)


@pytest.fixture(params=Backend, scope="module")
def assign(request: pytest.FixtureRequest) -> Assign:
    """`residual_assign` on each of its backends."""
    if request.param is Backend.TORCH:
        return partial(residual_assign, backend=Backend.TORCH)
    run_kernel = request.getfixturevalue("run_kernel")
    return partial(run_kernel, residual_assign, backend=Backend.TRITON)


@pytest.fixture
def num_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads for torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def coarse_matmul() -> Iterator[None]:
    """Allows bfloat16 in float32 matmul; only some processors make use of it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


def integers(case: Case) -> tuple[Tensor, Tensor]:
    """Items and codebooks of small whole numbers: distances are exact, and many are equal."""
    generator = case.generator()
    items = torch.randint(-2, 3, (case.num_items, case.width), generator=generator)
    shape = (case.num_levels, case.num_codes, case.width)
    return items.float(), torch.randint(-2, 3, shape, generator=generator).float()


def floats(case: Case) -> tuple[Tensor, Tensor]:
    """Items and codebooks; a third of the codes repeat others, a third of the items are codes."""
    generator = case.generator()
    shape = (case.num_levels, case.num_codes, case.width)
    codebooks = torch.randn(shape, generator=generator) * case.scale
    codebooks *= case.shrinkage ** torch.arange(case.num_levels)[:, None, None]
    codebooks[0] += case.offset * case.scale
    repeated = torch.randint(case.num_codes, (2, case.num_codes // 3), generator=generator)
    codebooks[:, repeated[0]] = codebooks[:, repeated[1]]
    items = torch.randn(case.num_items, case.width, generator=generator) + case.offset
    items *= case.scale
    taken = torch.randint(case.num_codes, (case.num_items // 3,), generator=generator)
    items[: len(taken)] = codebooks[0, taken]
    return items, codebooks


def assert_nearest(found: Tensor, vectors: Tensor, codebooks: Tensor) -> None:
    """Every code is the specification's, or as near to what the codes before it left over."""
    residual = vectors
    for level, codebook in enumerate(codebooks):
        code = found[:, level]
        expected = residual_assign_reference(residual, codebook[None])[:, 0]
        distance, least = (
            (residual.double() - codebook[codes].double()).square().sum(dim=1)
            for codes in (code, expected)
        )
        assert ((distance - least).abs() <= RELATIVE_TOLERANCE * least).all()
        copies = (codebook[code][:, None] == codebook[None]).all(dim=2)  # [N, K]
        assert torch.equal(copies.int().argmax(dim=1), code), (
            "a copy of the code has a lower number"
        )
        residual = residual - codebook[code]


def check_integers(assign: Assign, case: Case) -> None:
    found = assign(*integers(case))
    assert found.dtype == torch.int64
    assert torch.equal(found, residual_assign_reference(*integers(case)))


def check_floats(assign: Assign, case: Case) -> None:
    vectors, codebooks = floats(case)
    assert_nearest(assign(vectors, codebooks), vectors, codebooks)


@drawn(max_examples=100)
@given(INTEGER_CASES)
def test_codes_of_whole_numbers_equal_the_specification_ties_included(
    assign: Assign, case: Case
) -> None:
    check_integers(assign, case)


@drawn(max_examples=100)
@given(FLOAT_CASES)
def test_codes_of_real_numbers_are_as_near_as_those_of_the_specification(
    assign: Assign, case: Case
) -> None:
    check_floats(assign, case)


@pytest.mark.slow
@drawn(max_examples=1000)
@given(INTEGER_CASES, FLOAT_CASES)
def test_a_thousand_more_cases_keep_to_the_specification(
    assign: Assign, whole: Case, real: Case
) -> None:
    check_integers(assign, whole)
    check_floats(assign, real)


@pytest.mark.parametrize("num_items", [0, 1, BLOCK_N - 1, BLOCK_N, BLOCK_N + 1, 3 * BLOCK_N + 5])
@pytest.mark.parametrize(
    ("num_levels", "num_codes", "width"),
    [(1, 1, 1), (2, BLOCK_K, BLOCK_D), (2, BLOCK_K + 1, BLOCK_D + 1), (2, 20, 600)],
)
def test_codes_equal_the_specification_at_the_blocks_boundaries(
    assign: Assign, num_items: int, num_levels: int, num_codes: int, width: int
) -> None:
    case = Case(
        seed=num_items,
        num_items=num_items,
        num_levels=num_levels,
        num_codes=num_codes,
        width=width,
    )
    check_integers(assign, case)


@pytest.mark.parametrize("num_threads", [1, 2], indirect=True)
@pytest.mark.parametrize("num_items", [FEWEST_ROWS, FEWEST_ROWS + 1, 3 * FEWEST_ROWS])
def test_codes_equal_the_specification_where_items_are_taken_in_blocks(
    num_threads: int, num_items: int
) -> None:
    num_codes = 2 * BLOCK_FLOATS // FEWEST_ROWS
    case = Case(seed=0, num_items=num_items, num_levels=2, num_codes=num_codes, width=3)
    check_integers(residual_assign, case)
    vectors, codebooks = floats(case)
    assert torch.equal(
        residual_assign(vectors, codebooks),
        torch.cat([residual_assign(vector[None], codebooks) for vector in vectors]),
    )


@pytest.mark.parametrize("num_threads", [3], indirect=True)
def test_torch_has_as_many_threads_afterwards_as_before(num_threads: int) -> None:
    residual_assign(torch.zeros(BLOCK_FLOATS + 1, 1), torch.zeros(1, 1, 1))
    with ThreadPoolExecutor(1) as another:
        assert another.submit(torch.get_num_threads).result() == num_threads
    assert torch.get_num_threads() == num_threads


def test_the_lowest_of_equally_near_codes_wins_across_blocks(assign: Assign) -> None:
    codebooks = torch.ones(2, 300, 4)
    codebooks[0, 7] = codebooks[0, 299] = 0.0
    codebooks[1, 140] = codebooks[1, 290] = 0.0
    found = assign(torch.zeros(3, 4), codebooks)
    assert found.tolist() == [[7, 140]] * 3


def test_the_lowest_of_many_equally_near_codes_wins(assign: Assign) -> None:
    codebooks = torch.zeros(1, 300, 600)
    codebooks[0, 0] = 1.0
    assert assign(torch.zeros(5, 600), codebooks).tolist() == [[1]] * 5


def test_both_first_passes_propose_the_same_codes_with_the_same_gaps(run_kernel: RunKernel) -> None:
    case = Case(seed=0, num_items=70, num_levels=1, num_codes=3 * BLOCK_K + 5, width=BLOCK_D + 3)
    residual, (codebook,) = floats(case)
    residual[-1] = torch.nan  # columns read past an item's last would bring this into another's gap
    square_norms = codebook.square().sum(dim=1)
    nearest, gap = propose_torch(residual, codebook, square_norms)
    found, found_gap = run_kernel(propose_triton, residual, codebook, square_norms)
    torch.testing.assert_close(found_gap[:-1], gap[:-1], rtol=1e-5, atol=1e-4)
    clear = gap > 1e-3
    assert clear.any() and torch.equal(found[clear], nearest[clear])


@pytest.mark.parametrize("exponent", [-100, -72, -65, 0, 63, 100])
def test_codes_do_not_depend_on_the_unit_even_where_squares_overflow_or_vanish(
    assign: Assign, exponent: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(70, 5, generator=generator)
    codebooks = torch.randn(2, 90, 5, generator=generator)
    expected = residual_assign_reference(vectors, codebooks)
    unit = 2.0**exponent
    assert torch.equal(assign(vectors * unit, codebooks * unit), expected)


def test_an_item_that_is_not_a_number_leaves_the_others_alone(assign: Assign) -> None:
    case = Case(seed=0, num_items=70, num_levels=2, num_codes=90, width=5)
    vectors, codebooks = floats(case)
    expected = assign(vectors, codebooks)
    vectors[3] = torch.nan
    expected[3] = 0
    assert torch.equal(assign(vectors, codebooks), expected)


def test_each_level_codes_what_the_levels_before_left_over() -> None:
    codebooks = torch.tensor([[[0.0], [10.0]], [[-1.0], [2.0]]])
    found = residual_assign(torch.tensor([[12.0], [9.0], [1.0]]), codebooks)
    assert found.tolist() == [[1, 1], [1, 0], [0, 1]]


def test_strided_vectors_and_trained_codebooks_are_taken_as_they_are(assign: Assign) -> None:
    case = Case(seed=0, num_items=70, num_levels=2, num_codes=90, width=6)
    vectors, codebooks = floats(case)
    strided = vectors.T.contiguous().T
    expected = residual_assign(vectors, codebooks)
    assert torch.equal(assign(strided, codebooks), expected)
    assert torch.equal(residual_assign(strided, nn.Parameter(codebooks)), expected)


def test_codes_are_the_same_where_matmul_may_round_to_bfloat16(
    coarse_matmul: None,
) -> None:
    case = Case(seed=0, num_items=500, num_levels=3, num_codes=256, width=64)
    vectors, codebooks = floats(case)
    assert_nearest(residual_assign(vectors, codebooks), vectors, codebooks)


@pytest.mark.parametrize(
    ("vectors", "codebooks", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(2, 8, 5), r"\[3, 4\] and \[2, 8, 5\]"),
        (torch.zeros(3), torch.zeros(2, 8, 5), r"needs vectors \[N, D\]"),
        (torch.zeros(3, 4), torch.zeros(2, 0, 4), "at least 1"),
        (torch.zeros(3, 4, dtype=torch.float64), torch.zeros(2, 8, 4), "float32"),
        (torch.zeros(3, 4), torch.zeros(2, 8, 4, device="meta"), "move one of them"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    vectors: Tensor, codebooks: Tensor, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        residual_assign(vectors, codebooks)


def test_a_device_without_an_implementation_is_refused_not_replaced() -> None:
    with pytest.raises(InputError, match="not meta"):
        residual_assign(torch.zeros(3, 4, device="meta"), torch.zeros(2, 8, 4, device="meta"))


def test_the_kernel_compiles_for_sm_90_without_a_gpu(compile_for_sm_90: CompileKernel) -> None:
    floats = dict.fromkeys(("residual_ptr", "codebook_ptr", "square_norms_ptr", "gap_ptr"), "*fp32")
    sizes = dict.fromkeys(("num_items", "num_codes", "width"), "i32")
    ptx = compile_for_sm_90(
        "genrec.kernels.residual_assign.triton_kernel",
        "nearest_code_kernel",
        {**floats, "nearest_ptr": "*i64", **sizes},
        {**BLOCK_SIZES},
    )
    assert ".target sm_90" in ptx
