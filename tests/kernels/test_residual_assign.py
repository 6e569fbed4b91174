"""Residual assignment: both implementations against the specification, and the compiled kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.kernels import residual_assign
from genrec.kernels.residual_assign import Backend
from genrec.kernels.residual_assign.reference import residual_assign_reference
from genrec.kernels.residual_assign.triton_kernel import BLOCK_ITEMS

Assign = Callable[[Tensor, Tensor], Tensor]

ROOT = Path(__file__).parents[2]

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from genrec.kernels.residual_assign.triton_kernel import residual_assign_kernel

pointers = {"vectors_ptr": "*fp32", "codebooks_ptr": "*fp32", "codes_ptr": "*i64"}
sizes = dict.fromkeys(("num_items", "num_codes", "width", "num_levels"), "i32")
blocks = {"BLOCK_N": 32, "BLOCK_K": 16, "BLOCK_D": 64}
source = ASTSource(
    residual_assign_kernel,
    {**pointers, **sizes, **dict.fromkeys(blocks, "constexpr")},
    constexprs=blocks,
)
print(triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"])
"""


@pytest.fixture(params=Backend)
def assign(request: pytest.FixtureRequest) -> Assign:
    """`residual_assign` on each of its backends."""
    if request.param is Backend.TORCH:
        return partial(residual_assign, backend=Backend.TORCH)
    run_kernel = request.getfixturevalue("run_kernel")
    return partial(run_kernel, residual_assign, backend=Backend.TRITON)


def integers(*shape: int, seed: int) -> Tensor:
    """Small whole numbers: every distance is exact, and many are equal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, shape, generator=generator).float()


@pytest.mark.parametrize(
    "num_items", [0, 1, BLOCK_ITEMS - 1, BLOCK_ITEMS, BLOCK_ITEMS + 1, 3 * BLOCK_ITEMS + 5]
)
@pytest.mark.parametrize(
    ("num_levels", "num_codes", "width"), [(1, 1, 1), (3, 128, 16), (2, 129, 5), (2, 40, 300)]
)
def test_codes_equal_the_specification_also_where_distances_are_equal(
    assign: Assign, num_items: int, num_levels: int, num_codes: int, width: int
) -> None:
    vectors = integers(num_items, width, seed=num_items)
    codebooks = integers(num_levels, num_codes, width, seed=num_codes)
    found = assign(vectors, codebooks)
    assert found.dtype == torch.int64
    assert torch.equal(found, residual_assign_reference(vectors, codebooks))


def test_the_lowest_of_equally_near_codes_wins_across_blocks(assign: Assign) -> None:
    codebooks = torch.ones(2, 300, 4)
    codebooks[0, 7] = codebooks[0, 299] = 0.0
    codebooks[1, 140] = codebooks[1, 290] = 0.0
    vectors = torch.zeros(3, 4)
    found = assign(vectors, codebooks)
    assert found.tolist() == [[7, 140]] * 3


def test_codes_of_real_numbers_are_as_near_as_the_specification_allows(assign: Assign) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(200, 24, generator=generator)
    codebooks = torch.randn(3, 50, 24, generator=generator) / 2
    found = assign(vectors, codebooks)
    residual = vectors
    for level, codebook in enumerate(codebooks):
        distances = torch.cdist(residual, codebook, compute_mode="donot_use_mm_for_euclid_dist")
        chosen = distances.gather(1, found[:, level, None])[:, 0]
        torch.testing.assert_close(chosen, distances.min(dim=1).values, rtol=1e-5, atol=1e-5)
        residual = residual - codebook[found[:, level]]


def test_each_level_codes_what_the_levels_before_left_over() -> None:
    codebooks = torch.tensor([[[0.0], [10.0]], [[-1.0], [2.0]]])
    found = residual_assign(torch.tensor([[12.0], [9.0], [1.0]]), codebooks)
    assert found.tolist() == [[1, 1], [1, 0], [0, 1]]


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


def test_vectors_too_wide_to_stay_on_chip_are_refused() -> None:
    with pytest.raises(InputError, match="up to width 512, got 513"):
        residual_assign(torch.zeros(1, 513), torch.zeros(1, 2, 513), backend=Backend.TRITON)


def test_the_kernel_compiles_for_sm_90_without_a_gpu(tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    answer = subprocess.run(
        [sys.executable, "-c", COMPILE],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert ".target sm_90" in answer.stdout
