"""The kernel in Triton: one program a beam follows its ancestors through the cache."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["beam_attention_kernel", "beam_self_attention_triton"]


def beam_self_attention_triton(
    query: Tensor, keys_values: Tensor, ancestors: Tensor, scale: float, bias: Tensor | None
) -> Tensor:
    """float32 [B, M, H, d], as `beam_self_attention` with checked arguments."""
    batch, beams, heads, width = query.shape
    query = query.contiguous()
    attended = torch.empty_like(query)
    # Triton launches on the current device, which need not be the tensors'; on a CPU: nothing.
    with torch.cuda.device_of(query):
        beam_attention_kernel[(batch * beams,)](
            query,
            keys_values,
            ancestors.contiguous(),
            query if bias is None else bias.contiguous(),
            attended,
            beams,
            keys_values.shape[1],
            heads,
            width,
            *keys_values.stride()[:3],
            scale,
            HAS_BIAS=bias is not None,
            BLOCK_H=triton.next_power_of_2(heads),
            BLOCK_D=triton.next_power_of_2(width),
        )
    return attended


@triton.jit  # type: ignore[untyped-decorator]
def beam_attention_kernel(  # type: ignore[no-untyped-def]
    query_ptr,
    keys_values_ptr,
    ancestors_ptr,
    bias_ptr,
    attended_ptr,
    num_beams,
    num_steps,
    num_heads,
    width,
    request_stride,
    step_stride,
    slot_stride,
    scale,
    HAS_BIAS: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program attends with all heads of one beam; a step's weight is put right as they come.

    The sum is kept scaled to the highest score so far, as in the online softmax (Milakov and
    Gimelshein, arXiv 1805.02867). Requests and slots are numbered in int64: a cache may pass 2³¹.
    """
    beam = tl.program_id(0).to(tl.int64)
    request = beam // num_beams
    heads = tl.arange(0, BLOCK_H)
    columns = tl.arange(0, BLOCK_D)
    head_mask = heads < num_heads
    mask = head_mask[:, None] & (columns < width)[None, :]
    entries = heads[:, None] * width + columns[None, :]  # [BLOCK_H, BLOCK_D]
    query = tl.load(query_ptr + beam * num_heads * width + entries, mask=mask, other=0.0)
    highest = tl.full([BLOCK_H], float("-inf"), dtype=tl.float32)
    total = tl.zeros([BLOCK_H], dtype=tl.float32)
    attended = tl.zeros([BLOCK_H, BLOCK_D], dtype=tl.float32)
    for step in range(num_steps):
        slot = tl.load(ancestors_ptr + beam * num_steps + step)
        row = request * request_stride + step * step_stride + slot * slot_stride
        key = tl.load(keys_values_ptr + row + entries, mask=mask, other=0.0)
        scores = tl.sum(query * key, axis=1) * scale  # [BLOCK_H]
        if HAS_BIAS:
            scores += tl.load(bias_ptr + heads * num_steps + step, mask=head_mask, other=0.0)
        new_highest = tl.maximum(highest, scores)
        kept = tl.exp(highest - new_highest)
        weight = tl.exp(scores - new_highest)
        values_row = row + num_heads * width
        value = tl.load(keys_values_ptr + values_row + entries, mask=mask, other=0.0)
        attended = attended * kept[:, None] + weight[:, None] * value
        total = total * kept + weight
        highest = new_highest
    tl.store(
        attended_ptr + beam * num_heads * width + entries, attended / total[:, None], mask=mask
    )
