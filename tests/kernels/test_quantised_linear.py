"""Linear maps in int8 stay within a few percent of the plain ones, and refuse what they cannot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.errors import InputError, MissingDependencyError
from genrec.kernels.quantised_linear import QuantisedLinear, largest_input


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def error(found: Tensor, expected: Tensor) -> float:
    """Of the outputs' size."""
    return float((found - expected).std() / expected.std())


@pytest.mark.parametrize("num_rows", [1, 7, 50])
def test_every_form_is_within_a_few_percent(num_rows: int) -> None:
    weight, bias, rows, other = drawn(48, 64), drawn(48), drawn(num_rows, 64), drawn(num_rows, 48)
    linear, plain = QuantisedLinear(weight, bias), F.linear(rows, weight, bias)
    assert error(linear(rows), plain) < 0.03
    assert error(linear.relu(rows), plain.relu()) < 0.03
    assert error(linear.gelu(rows), F.gelu(plain, approximate="tanh")) < 0.03
    assert error(linear.plus(rows, other), plain + other) < 0.03


def test_what_an_int8_can_hold_is_exact() -> None:
    weight = torch.tensor([[127.0, -127.0], [1.0, 127.0]])
    rows = torch.tensor([[largest_input(), 0.0], [0.0, 1.0]])
    assert torch.equal(QuantisedLinear(weight)(rows), rows @ weight.T)


def test_sums_of_large_products_are_not_cut_off() -> None:
    linear = QuantisedLinear(torch.full((8, 64), 127.0))
    assert torch.equal(linear(torch.ones(3, 64)), torch.full((3, 8), 64 * 127.0))


def test_an_output_without_weights_is_its_bias() -> None:
    linear = QuantisedLinear(torch.zeros(2, 3), torch.tensor([1.0, -2.0]))
    assert torch.equal(linear(drawn(4, 3)), torch.tensor([[1.0, -2.0]]).expand(4, -1))


def test_another_device_is_refused() -> None:
    with pytest.raises(InputError, match="int8 products run on cpu, not meta"):
        QuantisedLinear(torch.zeros(2, 2, device="meta"))


def test_a_pytorch_without_int8_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise RuntimeError("Didn't find engine for operation quantized::linear_prepack")

    monkeypatch.setattr(torch, "quantize_per_channel", missing)
    with pytest.raises(MissingDependencyError, match="has no int8 products here"):
        QuantisedLinear(drawn(2, 2))
