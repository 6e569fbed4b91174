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
    keys_values: Tensor,
    ancestors: Tensor,
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """Each beam's attention to the steps it descends from, in a cache that only ever grows.

    At step s, beam m of request b reads slot `ancestors[b, m, s]`; so when beams are selected, only
    the table of ancestors is re-ordered, never a key or a value. For answering: the result knows no
    gradients.

    Args:
        query: float32 [B, M, H, d].
        keys_values: float32 [B, S, W, 2, H, d], in every slot the key and the value of a step, or
            the first steps or slots of such a cache; S, H and d at least 1.
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
    _check(query, keys_values, ancestors, bias)
    scale = query.shape[3] ** -0.5 if scale is None else scale
    query, keys_values = query.detach(), keys_values.detach()
    bias = None if bias is None else bias.detach()
    if choose_backend("beam_self_attention", query.device, backend) is Backend.TORCH:
        return beam_self_attention_torch(query, keys_values, ancestors, scale, bias)
    from genrec.kernels.beam_self_attention.triton_kernel import beam_self_attention_triton

    return beam_self_attention_triton(query, keys_values, ancestors, scale, bias)


def _check(query: Tensor, keys_values: Tensor, ancestors: Tensor, bias: Tensor | None) -> None:
    if query.ndim != 4 or keys_values.ndim != 6 or keys_values.shape[3] != 2:
        raise InputError(
            "beam_self_attention needs query [B, M, H, d] and keys_values [B, S, W, 2, H, d], got "
            f"{list(query.shape)} and {list(keys_values.shape)}"
        )
    batch, beams, heads, width = query.shape
    cached, steps, _, _, cached_heads, cached_width = keys_values.shape
    is_empty = not (steps and heads and width)
    if (cached, cached_heads, cached_width) != (batch, heads, width) or is_empty:
        raise InputError(
            f"query {list(query.shape)} and keys_values {list(keys_values.shape)} must agree in B, "
            "H and d, and S, H and d be at least 1"
        )
    if ancestors.shape != (batch, beams, steps):
        raise InputError(
            f"ancestors must be [B, M, S] = {[batch, beams, steps]}, got {list(ancestors.shape)}"
        )
    tensors = {"query": query, "keys_values": keys_values}
    if bias is not None:
        if bias.shape != (heads, steps):
            raise InputError(f"bias must be [H, S] = {[heads, steps]}, got {list(bias.shape)}")
        tensors["bias"] = bias
    check_dtype("beam_self_attention", torch.float32, **tensors)
    check_dtype("beam_self_attention", torch.int64, ancestors=ancestors)
    check_devices(**tensors, ancestors=ancestors)
    _check_strides(keys_values)


def _check_strides(cache: Tensor) -> None:
    """What is no slice of steps or slots would have to be copied whole."""
    _, _, _, _, heads, width = cache.shape
    request, step, slot, kind, head, entry = (  # of a dimension with one entry none is ever used
        stride if length > 1 else 0
        for length, stride in zip(cache.shape, cache.stride(), strict=True)
    )
    row = 2 * heads * width
    dense = kind == heads * width and head in {0, width} and entry in {0, 1}
    if not dense or request % row or step % row or slot % row:
        raise InputError(
            f"keys_values {list(cache.shape)} must be a contiguous cache or its first steps or "
            f"slots, got strides {cache.stride()}; call contiguous() where the cache is made"
        )
