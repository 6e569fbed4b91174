"""Linear maps whose weights are laid out once for many products: the one place that knows oneDNN.

A product of a few dozen rows spends a part of its time on bringing the weights into the order in
which they are multiplied. oneDNN can do that once. PyTorch has no public function for it: these are
the operators that its compiler writes into its own code. On Intel's processors MKL multiplies by
weights that stand as [in, out] faster than oneDNN by those in its order, and is taken.
"""

from __future__ import annotations

import logging
import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import InputError
from genrec.kernels.backend import choose_backend

__all__ = ["PackedLinear", "can_pack", "packs"]

logger = logging.getLogger(__name__)

FEWEST_ENTRIES = 1 << 16  # of a matrix; oneDNN's call costs more than it saves for a smaller one
ROWS_PACKED_FOR = 128  # the order that suits so many rows suits one as well as a thousand
PAGE, CACHE_LINE = 1024, 16  # float32 in each
CPU_INFO = Path("/proc/cpuinfo")


class PackedLinear:
    """A linear map for answering: it knows no gradients, and later changes of the weights.

    On a CPU the weights of large matrices are kept in oneDNN's order and in no other. Those of
    small ones, of all where MKL is at home or PyTorch was built without oneDNN, and those on a GPU
    are kept as [in, out], which plain products read fastest. Results differ by roundings of
    float32.

    Args:
        weight: float32 [out, in], copied.
        bias: float32 [out], copied; None adds nothing.
        pack: False keeps large matrices as [in, out] too: for a single row that is faster.

    Raises:
        InputError: shapes or dtypes that are no linear map's, or a device without kernels.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, pack: bool = True) -> None:
        _check(weight, bias)
        weight = weight.detach()
        is_large = pack and weight.device.type == "cpu" and weight.numel() >= FEWEST_ENTRIES
        self.is_packed = is_large and packs()
        """Whether the weights are in oneDNN's order."""
        self._weight = _pack(weight) if self.is_packed else _laid_out(weight)
        """In oneDNN's order, or float32 [in, out]."""
        self._bias = None if bias is None else bias.detach().clone()

    @classmethod
    def of(cls, *linears: nn.Linear, pack: bool = True) -> PackedLinear:
        """Linear maps that read the same input, their results side by side; all with a bias."""
        weight = torch.cat([linear.weight for linear in linears])
        return cls(weight, torch.cat([linear.bias for linear in linears]), pack=pack)

    def __call__(self, rows: Tensor) -> Tensor:
        """float32 [..., out] of rows float32 [..., in]."""
        if self.is_packed:
            return _packed_product(rows, self._weight, self._bias)
        return _product(rows, self._weight, self._bias)

    def relu(self, rows: Tensor) -> Tensor:
        """float32 [..., out]: what is below zero is zero."""
        if self.is_packed:
            return _packed_product(rows, self._weight, self._bias, "relu")
        return _product(rows, self._weight, self._bias).relu_()

    def gelu(self, rows: Tensor) -> Tensor:
        """float32 [..., out] behind a GELU, approximated by a hyperbolic tangent."""
        if self.is_packed:
            return _packed_product(rows, self._weight, self._bias, "gelu", "tanh")
        return F.gelu(_product(rows, self._weight, self._bias), approximate="tanh")

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        """float32 [..., out]: the product and `other`, float32 [..., out], added up."""
        if self.is_packed:
            added: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
                rows, other, self._weight, self._bias, "add"
            )
            return added
        if self._bias is None and rows.ndim == 2:
            return torch.addmm(other, rows, self._weight)
        return _product(rows, self._weight, self._bias).add_(other)


def packs() -> bool:
    """Whether large matrices are packed here: oneDNN can, and MKL would not be faster."""
    return not _is_at_home_in_mkl() and can_pack()


@cache
def _is_at_home_in_mkl() -> bool:
    """Whether this is PyTorch with MKL on one of Intel's processors: MKL is slower on others'."""
    known = CPU_INFO.read_text() if CPU_INFO.is_file() else platform.processor()
    return torch.backends.mkl.is_available() and "GenuineIntel" in known


@cache
def can_pack() -> bool:
    """Whether PyTorch has oneDNN's operators here and they work; if not, the log says it once."""
    weight, rows = torch.ones(2, 3), torch.ones(1, 3)
    try:
        works = torch.equal(_packed_product(rows, _pack(weight), None), torch.full((1, 2), 3.0))
        reason = "they do not multiply"
    except (AttributeError, RuntimeError) as error:  # no such operator, or not with this signature
        works, reason = False, str(error).splitlines()[0]
    if not works:
        logger.warning(
            "weights are not packed, products are PyTorch's plain ones: oneDNN's operators are not "
            "to be had in PyTorch %s (%s)",
            torch.__version__,
            reason,
        )
    return works


def _laid_out(weight: Tensor) -> Tensor:
    """A copy of `weight` [out, in] as [in, out].

    Rows a whole number of pages apart would share their places in the caches: they are set a cache
    line further.
    """
    out = weight.shape[0]
    room = weight.new_zeros(weight.shape[1], out if out % PAGE else out + CACHE_LINE)
    room[:, :out] = weight.T
    return room[:, :out]


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS_PACKED_FOR)
    return packed


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """float32 [..., out]; `weight` is [in, out]."""
    if rows.ndim != 2:
        return F.linear(rows, weight.T, bias)
    return torch.mm(rows, weight) if bias is None else torch.addmm(bias, rows, weight)


def _packed_product(
    rows: Tensor, packed: Tensor, bias: Tensor | None, function: str = "none", kind: str = ""
) -> Tensor:
    no_scalars: list[Any] = []
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(
        rows, packed, bias, function, no_scalars, kind
    )
    return product


def _check(weight: Tensor, bias: Tensor | None) -> None:
    choose_backend("packed_linear", weight.device, None)
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise InputError(
            "packed_linear needs weight [out, in] and bias [out], got "
            f"{list(weight.shape)} and {None if bias is None else list(bias.shape)}"
        )
    for tensor in (weight, bias):
        if tensor is not None and tensor.dtype != torch.float32:
            raise InputError(
                f"packed_linear needs float32, got {tensor.dtype}; convert it with .float()"
            )
