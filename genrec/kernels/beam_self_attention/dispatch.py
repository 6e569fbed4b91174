"""The public function: checks the arguments, then runs the implementation of their device."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.kernels.backend import Backend, choose_backend
from genrec.kernels.beam_self_attention.torch_kernel import beam_self_attention_torch
from genrec.kernels.checks import check_devices, check_dtype

__all__ = ["beam_self_attention"]


def beam_self_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    ancestors: Tensor,
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """Each beam's attention to the steps it descends from, in caches that only ever grow.

    At step s, beam m of request b reads slot `ancestors[b, m, s]`; so when beams are selected, only
    the table of ancestors is re-ordered, never a key or a value. For answering: the result knows no
    gradients.

    Args:
        query: float32 [B, M, H, d].
        keys: float32 [B, S, W, H, d], or the first steps or slots of such a cache; S, H and d at
            least 1.
        values: float32, as the keys.
        ancestors: int64 [B, M, S], slots from 0 to W - 1. On a GPU they are not checked: a look at
            them would make the host wait for it.
        scale: of the dot products; None is 1 / sqrt(d).
        bias: float32 [H, S], finite, added to the scaled products (T5's relative position bias).
        backend: None takes Triton for CUDA tensors and PyTorch for CPU tensors. Triton on CPU
            tensors works on its interpreter only (TRITON_INTERPRET=1).

    Returns:
        float32 [B, M, H, d].

    Raises:
        InputError: shapes, strides, dtypes or devices that do not fit; on a CPU also ancestors that
            are no slots.
        MissingDependencyError: Triton is to run and is not installed.
    """
    _check(query, keys, values, ancestors, bias)
    scale = query.shape[3] ** -0.5 if scale is None else scale
    query, keys, values = query.detach(), keys.detach(), values.detach()
    bias = None if bias is None else bias.detach()
    if choose_backend("beam_self_attention", query.device, backend) is Backend.TORCH:
        return beam_self_attention_torch(query, keys, values, ancestors, scale, bias)
    from genrec.kernels.beam_self_attention.triton_kernel import beam_self_attention_triton

    return beam_self_attention_triton(query, keys, values, ancestors, scale, bias)


def _check(
    query: Tensor, keys: Tensor, values: Tensor, ancestors: Tensor, bias: Tensor | None
) -> None:
    if query.ndim != 4 or keys.ndim != 5 or keys.shape != values.shape:
        raise InputError(
            "beam_self_attention needs query [B, M, H, d] and keys and values [B, S, W, H, d], got "
            f"{list(query.shape)}, {list(keys.shape)} and {list(values.shape)}"
        )
    (batch, beams, *head), steps = query.shape, keys.shape[1]
    if list(keys.shape[3:]) != head or keys.shape[0] != batch or 0 in (steps, *head):
        raise InputError(
            f"query {list(query.shape)} and keys {list(keys.shape)} must agree in B, H and d, and "
            "S, H and d be at least 1"
        )
    if list(ancestors.shape) != [batch, beams, steps]:
        raise InputError(
            f"ancestors must be [B, M, S] = {[batch, beams, steps]}, got {list(ancestors.shape)}"
        )
    tensors = {"query": query, "keys": keys, "values": values}
    if bias is not None:
        if list(bias.shape) != [head[0], steps]:
            raise InputError(f"bias must be [H, S] = {[head[0], steps]}, got {list(bias.shape)}")
        tensors["bias"] = bias
    check_dtype("beam_self_attention", torch.float32, **tensors)
    check_dtype("beam_self_attention", torch.int64, ancestors=ancestors)
    check_devices(**tensors, ancestors=ancestors)
    _check_strides("keys", keys)
    if values.stride() != keys.stride():
        _check_strides("values", values)


def _check_strides(name: str, cache: Tensor) -> None:
    """What is no slice of steps or slots would have to be copied whole."""
    heads, width = cache.shape[3:]
    request, step, slot, head, entry = (  # of a dimension with one entry none is ever used
        stride if length > 1 else 0
        for length, stride in zip(cache.shape, cache.stride(), strict=True)
    )
    dense = head in {0, width} and entry in {0, 1}
    row = heads * width
    if not dense or request % row or step % row or slot % row:
        raise InputError(
            f"{name} {list(cache.shape)} must be a contiguous cache or its first steps or slots, "
            f"got strides {cache.stride()}; call contiguous() where the cache is made"
        )
