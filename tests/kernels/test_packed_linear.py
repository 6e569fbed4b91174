"""A packed linear map is the plain one, whatever the rows, and says where it cannot pack."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.errors import InputError
from genrec.kernels import packed_linear
from genrec.kernels.packed_linear import FEWEST_ENTRIES, PAGE, PackedLinear, can_pack

TOLERANCE = 1e-5
WIDTH = 256
SHAPES = {
    "one entry": (1, 1),
    "one entry below packing": (3, FEWEST_ENTRIES // 3),
    "exactly packed": (FEWEST_ENTRIES // WIDTH, WIDTH),
    "a block and one more": (FEWEST_ENTRIES // WIDTH + 1, WIDTH + 1),
    "rows of a page": (PAGE, WIDTH // 4),
}
ROWS = [(0,), (1,), (5,), (128,), (129,), (2, 3)]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Normal, of a size that keeps products around one."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values / math.sqrt(shape[-1])


@pytest.fixture(params=["packed", "no oneDNN", "MKL"])
def build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """PyTorch as elsewhere, as if it had been built without oneDNN, and as on Intel's machines."""
    monkeypatch.setattr(packed_linear, "_is_at_home_in_mkl", lambda: request.param == "MKL")
    if request.param == "no oneDNN":
        monkeypatch.setattr(packed_linear, "_pack", _no_operator)
    can_pack.cache_clear()
    yield request.param
    can_pack.cache_clear()


def _no_operator(weight: Tensor) -> Tensor:
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute")


@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_form_is_the_plain_product(
    build: str, shape: tuple[int, int], with_bias: bool, rows: tuple[int, ...]
) -> None:
    weight, bias = drawn(*shape), drawn(shape[0], seed=1) if with_bias else None
    inputs, other = drawn(*rows, shape[1], seed=2) * shape[1] ** 0.5, drawn(*rows, shape[0], seed=3)
    linear, plain = PackedLinear(weight, bias), F.linear(inputs, weight, bias)
    with torch.inference_mode():
        torch.testing.assert_close(linear(inputs), plain, atol=TOLERANCE, rtol=TOLERANCE)
        torch.testing.assert_close(
            linear.relu(inputs), plain.relu(), atol=TOLERANCE, rtol=TOLERANCE
        )
        gelu = F.gelu(plain, approximate="tanh")
        torch.testing.assert_close(linear.gelu(inputs), gelu, atol=TOLERANCE, rtol=TOLERANCE)
        torch.testing.assert_close(
            linear.plus(inputs, other), plain + other, atol=TOLERANCE, rtol=TOLERANCE
        )


def test_only_large_matrices_are_packed(build: str) -> None:
    packed = [PackedLinear(drawn(*shape)).is_packed for shape in SHAPES.values()]
    assert packed == [False, False, *[build == "packed"] * 3]
    assert not PackedLinear(drawn(WIDTH, WIDTH), pack=False).is_packed


def test_a_build_without_onednn_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(packed_linear, "_is_at_home_in_mkl", lambda: False)
    monkeypatch.setattr(packed_linear, "_pack", _no_operator)
    can_pack.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            PackedLinear(drawn(WIDTH, WIDTH))
    can_pack.cache_clear()
    [record] = caplog.records
    assert "weights are not packed" in record.getMessage()


@pytest.mark.parametrize(
    ("maker", "has_mkl", "packs"),
    [("GenuineIntel", True, False), ("GenuineIntel", False, True), ("AuthenticAMD", True, True)],
)
def test_mkl_takes_the_products_where_it_is_at_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, maker: str, has_mkl: bool, packs: bool
) -> None:
    known = tmp_path / "cpuinfo"
    known.write_text(f"processor : 0\nvendor_id : {maker}\n")
    monkeypatch.setattr(packed_linear, "CPU_INFO", known)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: has_mkl)
    packed_linear._is_at_home_in_mkl.cache_clear()
    assert packed_linear.packs() is packs
    packed_linear._is_at_home_in_mkl.cache_clear()


def test_later_changes_of_the_weights_are_not_seen() -> None:
    for width in (4, WIDTH):
        weight, bias, inputs = drawn(width, width), drawn(width), drawn(2, width)
        linear, expected = PackedLinear(weight, bias), F.linear(inputs, weight, bias)
        weight.zero_()
        bias.zero_()
        torch.testing.assert_close(linear(inputs), expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_maps_that_read_the_same_stand_side_by_side() -> None:
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 4)
    inputs = drawn(5, 3)
    joined = torch.cat([first(inputs), second(inputs)], dim=1)
    torch.testing.assert_close(
        PackedLinear.of(first, second)(inputs), joined, atol=TOLERANCE, rtol=TOLERANCE
    )


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (torch.zeros(3), None, r"weight \[out, in\]"),
        (torch.zeros(3, 2), torch.zeros(2), r"bias \[out\], got \[3, 2\] and \[2\]"),
        (torch.zeros(3, 2, dtype=torch.float64), None, "float32, got torch.float64"),
        (torch.zeros(3, 2, device="meta"), None, "runs on cpu and cuda, not meta"),
    ],
)
def test_what_is_no_linear_map_is_refused(
    weight: Tensor, bias: Tensor | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        PackedLinear(weight, bias)
