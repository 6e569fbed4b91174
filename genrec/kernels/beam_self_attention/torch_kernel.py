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
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    ancestors: Tensor,
    scale: float,
    bias: Tensor | None,
) -> Tensor:
    """float32 [B, M, H, d], as `beam_self_attention` with checked arguments."""
    _check_ancestors(ancestors, keys.shape[2])
    places = _places(keys, ancestors)
    scores = (query[:, :, None] * _gather(keys, places)).sum(dim=-1)  # [B, M, S, H]
    if scale != 1:
        scores.mul_(scale)
    if bias is not None:
        scores += bias.T
    weights = scores.softmax(dim=2)
    if values.stride() != keys.stride():
        places = _places(values, ancestors)
    attended: Tensor = _gather(values, places).mul_(weights[..., None]).sum(dim=2)
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


def _places(cache: Tensor, ancestors: Tensor) -> Tensor:
    """int64 [B, M, S]: which row of the cache's memory is each beam's entry of every step."""
    request_stride, step_stride, slot_stride = _row_strides(cache)
    batch, _, steps = ancestors.shape
    first = torch.arange(steps, device=cache.device) * step_stride  # [S]
    if batch > 1:
        requests = torch.arange(batch, device=cache.device) * request_stride
        first = first + requests[:, None, None]  # [B, 1, S]
    return torch.add(first, ancestors, alpha=slot_stride)


def _gather(cache: Tensor, places: Tensor) -> Tensor:
    """float32 [B, M, S, H, d]: the rows at the places; the cache may be a slice of a larger one."""
    batch, steps, slots, heads, width = cache.shape
    requests, step, slot = _row_strides(cache)
    last = (batch - 1) * requests + (steps - 1) * step + (slots - 1) * slot
    num_rows = last + 1 if cache.numel() else 0
    rows = cache.as_strided((num_rows, heads * width), (heads * width, 1))
    return rows.index_select(0, places.flatten()).view(*places.shape, heads, width)


def _row_strides(cache: Tensor) -> tuple[int, int, int]:
    """From one request, step and slot to the next, in rows of H · d entries."""
    request, step, slot, _, _ = cache.stride()
    row_width = cache.shape[3] * cache.shape[4]
    return request // row_width, step // row_width, slot // row_width
