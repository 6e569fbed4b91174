"""The kernel in PyTorch: the ancestors' keys and values are gathered, one row a beam and step.

A beam has a handful of steps: batched products of such small matrices would spend their time on
being set up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.errors import InputError

__all__ = ["beam_self_attention_torch"]


def beam_self_attention_torch(
    query: Tensor, keys_values: Tensor, ancestors: Tensor, scale: float, bias: Tensor | None
) -> Tensor:
    """float32 [B, M, H, d], as `beam_self_attention` with checked arguments."""
    _check_ancestors(ancestors, keys_values.shape[2])
    heads, width = query.shape[2:]
    shape = (*ancestors.shape, heads, width)
    rows, key_rows = _rows(keys_values), _key_rows(keys_values, ancestors)
    keys = rows.index_select(0, key_rows).view(shape)
    scores = keys.mul_(query[:, :, None]).sum(dim=-1)  # [B, M, S, H]
    if scale != 1:
        scores.mul_(scale)
    if bias is not None:
        scores += bias.T
    weights = scores.softmax(dim=2)
    values = rows.index_select(0, key_rows.add_(1)).view(shape)
    attended: Tensor = values.mul_(weights[..., None]).sum(dim=2)
    return attended


def _check_ancestors(ancestors: Tensor, slots: int) -> None:
    if ancestors.is_cuda or not ancestors.numel():
        return
    lowest, highest = (int(bound) for bound in ancestors.aminmax())
    if lowest < 0 or highest >= slots:
        raise InputError(
            f"ancestors must be slots from 0 to {slots - 1}, got {lowest} to {highest}; number the "
            "beams of each step from 0"
        )


def _rows(cache: Tensor) -> Tensor:
    """float32 [R, H * d]: the memory behind the cache, which may be a slice of a larger one."""
    *counts, heads, width = cache.shape
    strides = cache.stride()[:4]
    last = sum((count - 1) * stride for count, stride in zip(counts, strides, strict=True))
    entries = last + heads * width if cache.numel() else 0
    return cache.as_strided((entries // (heads * width), heads * width), (heads * width, 1))


def _key_rows(cache: Tensor, ancestors: Tensor) -> Tensor:
    """int64 [B * M * S]: the row of each ancestor's key; its value's is the next."""
    batch, steps = cache.shape[:2]
    row = cache.shape[4] * cache.shape[5]
    request_stride, step_stride, slot_stride = (stride // row for stride in cache.stride()[:3])
    first = torch.arange(steps, device=cache.device) * step_stride  # [S]
    if batch > 1:
        requests = torch.arange(batch, device=cache.device) * request_stride
        first = first + requests[:, None, None]  # [B, 1, S]
    return torch.add(first, ancestors, alpha=slot_stride).flatten()
