"""Linear maps in int8: weights rounded once per output, inputs anew in every product.

Dynamic quantisation as PyTorch's FBGEMM does it. The functions that make quantised tensors are
marked as going to be removed from PyTorch; this is the one place that calls them.
"""

from __future__ import annotations

import warnings
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.errors import InputError, MissingDependencyError
from genrec.kernels.packed_linear import PackedLinear

__all__ = ["QuantisedLinear", "largest_input"]

LARGEST = 127  # of an int8, the same on both sides of zero
LARGEST_BYTE = 255


class QuantisedLinear(PackedLinear):
    """As `PackedLinear`, a few percent beside it and in less time; on a CPU alone.

    A weight is an int8 times the scale of its output. The inputs of a call share a scale and a zero
    point, so that a row may come out a little otherwise in other company.

    Args:
        weight: float32 [out, in].
        bias: float32 [out]; None adds nothing.
        pack: changes nothing: int8 weights are packed always.

    Raises:
        InputError: weights that are not on a CPU.
        MissingDependencyError: this PyTorch has no int8 products.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, pack: bool = True) -> None:
        if weight.device.type != "cpu":
            raise InputError(
                f"int8 products run on cpu, not {weight.device.type}; move the model, or leave "
                "int8 out"
            )
        super().__init__(weight[:0], None if bias is None else bias[:0], pack=pack)
        self._packed = _prepack(weight.detach(), None if bias is None else bias.detach())

    def __call__(self, rows: Tensor) -> Tensor:
        """See `PackedLinear`."""
        product: Tensor = torch.ops.quantized.linear_dynamic(
            rows, self._packed, largest_input() < LARGEST_BYTE
        )
        return product

    def relu(self, rows: Tensor) -> Tensor:
        """See `PackedLinear.relu`."""
        product: Tensor = torch.ops.quantized.linear_relu_dynamic(
            rows, self._packed, largest_input() < LARGEST_BYTE
        )
        return product

    def gelu(self, rows: Tensor) -> Tensor:
        """See `PackedLinear.gelu`."""
        return F.gelu(self(rows), approximate="tanh")

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        """See `PackedLinear.plus`."""
        return self(rows).add_(other)


@cache
def largest_input() -> int:
    """What the largest input of a call becomes: 255, or 127 where that would overflow.

    Processors without VNNI add two products of bytes in 16 bits, and cut off what is beyond: found
    by a product that is.
    """
    weight = torch.full((1, 2), float(LARGEST))
    rows = torch.tensor([[LARGEST_BYTE, LARGEST_BYTE], [0.0, 0.0]])
    product = torch.ops.quantized.linear_dynamic(rows, _prepack(weight, None))
    is_exact = float(product[0, 0]) == 2 * LARGEST * LARGEST_BYTE
    return LARGEST_BYTE if is_exact else LARGEST


def _prepack(weight: Tensor, bias: Tensor | None) -> torch.ScriptObject:
    """The weights as FBGEMM reads them."""
    scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny).double() / LARGEST
    zero = torch.zeros(len(weight), dtype=torch.int64)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")
            rounded = torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8)
        packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(rounded, bias)
    except (AttributeError, RuntimeError) as error:
        raise MissingDependencyError(
            f"PyTorch {torch.__version__} has no int8 products here "
            f"({str(error).splitlines()[0]}); leave int8 out"
        ) from error
    return packed
