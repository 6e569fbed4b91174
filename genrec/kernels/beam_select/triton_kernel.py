"""The kernel in Triton: the M-th best key is found digit by digit, then what reaches it is taken.

An entry's key holds its score above its index, so that keys are unique and order as is asked for.
Every pass counts the next digit's values among the keys that share the digits found so far, and
chooses the one that the M-th best key has (radix selection). All blocks of a row count at once;
nothing waits for the host.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = [
    "BLOCK_W",
    "beam_select_triton",
    "choose_digit_kernel",
    "collect_kernel",
    "count_digits_kernel",
]

BLOCK_W = 2048
DIGIT_BITS = 8
KEY_BITS = 63  # 32 of the score, 31 of the index
NO_KEY = -1  # of what is not available: below every key


def beam_select_triton(scores: Tensor, index: Tensor, num_beams: int) -> tuple[Tensor, Tensor]:
    """float32 and int64 [B, M], as `beam_select` with checked arguments."""
    scores, index = scores.contiguous(), index.contiguous()
    # Triton launches on the current device, which need not be the tensors'; on a CPU: nothing.
    with torch.cuda.device_of(scores):
        keys, places = _collect(scores, index, num_beams, _threshold(scores, index, num_beams))
    keys, order = keys.sort(dim=1, descending=True)
    position = places.gather(1, order)
    if not scores.shape[1]:
        return scores.new_full(position.shape, -torch.inf), position
    best = scores.gather(1, position).masked_fill(keys == NO_KEY, -torch.inf)
    return best, position


def _threshold(scores: Tensor, index: Tensor, num_beams: int) -> Tensor:
    """int64 [B]: each row's M-th best key; where fewer are available, a key that all reach."""
    rows, width = scores.shape
    threshold = torch.zeros(rows, dtype=torch.int64, device=scores.device)
    wanted = torch.full((rows,), num_beams, dtype=torch.int32, device=scores.device)
    counts = torch.zeros(rows, 1 << DIGIT_BITS, dtype=torch.int32, device=scores.device)
    for shift in reversed(range(0, KEY_BITS, DIGIT_BITS)):
        count_digits_kernel[(rows, triton.cdiv(width, BLOCK_W))](
            scores,
            index,
            threshold,
            counts,
            width,
            _row_stride(index),
            shift,
            READS_INDEX=shift < 31,
            BLOCK_W=BLOCK_W,
        )
        choose_digit_kernel[(rows,)](counts, threshold, wanted, shift)
    return threshold


def _collect(
    scores: Tensor, index: Tensor, num_beams: int, threshold: Tensor
) -> tuple[Tensor, Tensor]:
    """The keys that reach the threshold and their positions, int64 [B, M], in any order."""
    rows, width = scores.shape
    keys = torch.full((rows, num_beams), NO_KEY, dtype=torch.int64, device=scores.device)
    places = torch.zeros_like(keys)
    taken = torch.zeros(rows, dtype=torch.int32, device=scores.device)
    collect_kernel[(rows, triton.cdiv(width, BLOCK_W))](
        scores,
        index,
        threshold,
        taken,
        keys,
        places,
        width,
        _row_stride(index),
        num_beams,
        BLOCK_W=BLOCK_W,
    )
    return keys, places


def _row_stride(index: Tensor) -> int:
    """Entries from one row's indices to the next row's; 0 where all rows share them."""
    return index.stride(0) if index.ndim == 2 else 0


@triton.jit
def _score_bits(scores):  # type: ignore[no-untyped-def]
    """int64: 32 bits that order as the scores do, at the top of 63."""
    scores = tl.where(scores == 0.0, 0.0, scores)  # -0.0 equals 0.0
    bits = scores.to(tl.int32, bitcast=True)
    ordered = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(tl.int64)
    return (ordered + 0x80000000) << 31


@triton.jit  # type: ignore[untyped-decorator]
def count_digits_kernel(  # type: ignore[no-untyped-def]
    scores_ptr,
    index_ptr,
    threshold_ptr,
    counts_ptr,
    width,
    index_stride,
    shift,
    READS_INDEX: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """One program counts the digits at `shift` in a block of a row, into [B, 256].

    Counted are the keys that equal the threshold in all digits above. Digits that lie in the score
    alone are counted without reading an index.
    """
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1).to(tl.int64) * BLOCK_W + tl.arange(0, BLOCK_W)
    scores = tl.load(scores_ptr + row * width + columns, mask=columns < width, other=float("-inf"))
    threshold = tl.load(threshold_ptr + row)
    keys = _score_bits(scores)
    counted = scores > float("-inf")
    if READS_INDEX:
        counted = counted & ((keys >> 31) >= (threshold >> 31))
        index = tl.load(index_ptr + row * index_stride + columns, mask=counted, other=0)
        keys = keys | (0x7FFFFFFF - index)
    # In two steps: a shift by all 64 bits is not defined.
    counted = counted & ((keys >> shift >> 8) == (threshold >> shift >> 8))
    digits = tl.where(counted, (keys >> shift) & 255, 0).to(tl.int32)
    values = tl.arange(0, 256)
    others = tl.sum((~counted).to(tl.int32), axis=0)
    counts = tl.histogram(digits, 256) - tl.where(values == 0, others, 0)
    tl.atomic_add(counts_ptr + row * 256 + values, counts, mask=counts > 0, sem="relaxed")


@triton.jit
def choose_digit_kernel(counts_ptr, threshold_ptr, wanted_ptr, shift):  # type: ignore[no-untyped-def]
    """One program adds the digit at `shift` to the threshold of one row.

    It is the highest that at least as many keys reach as are wanted, or 0. The keys above it are
    found, so that fewer are wanted from now on. Leaves the counts at zero.
    """
    row = tl.program_id(0).to(tl.int64)
    values = tl.arange(0, 256)
    counts = tl.load(counts_ptr + row * 256 + values)
    wanted = tl.load(wanted_ptr + row)
    reaching = tl.sum(counts, axis=0) - tl.cumsum(counts, axis=0) + counts
    digit = tl.maximum(tl.sum((reaching >= wanted).to(tl.int32), axis=0) - 1, 0)
    above = tl.sum(tl.where(values > digit, counts, 0), axis=0)
    threshold = tl.load(threshold_ptr + row)
    tl.store(threshold_ptr + row, threshold | (digit.to(tl.int64) << shift))
    tl.store(wanted_ptr + row, wanted - above)
    tl.store(counts_ptr + row * 256 + values, tl.zeros([256], dtype=tl.int32))


@triton.jit  # type: ignore[untyped-decorator]
def collect_kernel(  # type: ignore[no-untyped-def]
    scores_ptr,
    index_ptr,
    threshold_ptr,
    taken_ptr,
    keys_ptr,
    places_ptr,
    width,
    index_stride,
    num_beams,
    BLOCK_W: tl.constexpr,
):
    """One program takes the keys of a block that reach the threshold, and where they stand.

    Blocks come in any order, and so do the keys, which are sorted afterwards.
    """
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1).to(tl.int64) * BLOCK_W + tl.arange(0, BLOCK_W)
    scores = tl.load(scores_ptr + row * width + columns, mask=columns < width, other=float("-inf"))
    threshold = tl.load(threshold_ptr + row)
    keys = _score_bits(scores)
    taken = (scores > float("-inf")) & ((keys >> 31) >= (threshold >> 31))
    index = tl.load(index_ptr + row * index_stride + columns, mask=taken, other=0)
    keys = keys | (0x7FFFFFFF - index)
    taken = taken & (keys >= threshold)
    num_taken = tl.sum(taken.to(tl.int32), axis=0)
    if num_taken > 0:
        first = tl.atomic_add(taken_ptr + row, num_taken, sem="relaxed")
        slots = first + tl.cumsum(taken.to(tl.int32), axis=0) - 1
        # Never more than M where indices are unique, as they must be.
        kept = taken & (slots < num_beams)
        tl.store(keys_ptr + row * num_beams + slots, keys, mask=kept)
        tl.store(places_ptr + row * num_beams + slots, columns, mask=kept)
