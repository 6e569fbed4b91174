"""The kernel in PyTorch: each ancestor's key and value are gathered, one row a beam and step.

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
    keys, values = _gather(keys_values, ancestors).unbind(3)  # [B, M, S, H, d]
    scores = (keys * query[:, :, None]).sum(dim=-1)  # [B, M, S, H]
    if scale != 1:
        scores.mul_(scale)
    if bias is not None:
        scores += bias.T
    weights = scores.softmax(dim=2)
    attended: Tensor = (values * weights[..., None]).sum(dim=2)
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


def _gather(cache: Tensor, ancestors: Tensor) -> Tensor:
    """float32 [B, M, S, 2, H, d]: each beam's entry of every step.

    The cache may be a slice of a larger one: rows are taken from the memory behind both.
    """
    batch, steps, slots, *entry = cache.shape
    row = 2 * entry[1] * entry[2]
    request_stride, step_stride, slot_stride = (stride // row for stride in cache.stride()[:3])
    first = torch.arange(steps, device=cache.device) * step_stride  # [S]
    if batch > 1:
        requests = torch.arange(batch, device=cache.device) * request_stride
        first = first + requests[:, None, None]  # [B, 1, S]
    places = torch.add(first, ancestors, alpha=slot_stride)  # [B, M, S]
    last = (batch - 1) * request_stride + (steps - 1) * step_stride + (slots - 1) * slot_stride
    rows = cache.as_strided((last + 1 if cache.numel() else 0, row), (row, 1))
    return rows.index_select(0, places.flatten()).view(*ancestors.shape, *entry)
