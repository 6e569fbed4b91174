"""Where the lines of a text begin and end, and how many separators and quotes each has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["count_lines", "find_line_end"]

BLOCK = 1 << 24
LINE_FEED = 10


def count_lines(
    content: bytes, begin: int, width: int, separator: bytes, quote: bytes | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where lines begin, and which of them are plain rows.

    Returns:
        Int64 [L + 1]: the beginnings, and the end of the text.
        Boolean [L]: the line has `width` fields, no quote and no NUL byte.
    """
    ends, separators, odd = [], [], []
    for at in range(begin, len(content), BLOCK):
        block = np.frombuffer(content, np.uint8, min(BLOCK, len(content) - at), at)
        ends.append(np.flatnonzero(block == LINE_FEED) + at)
        separators.append(np.flatnonzero(block == separator[0]) + at)
        is_odd = block == 0
        if quote is not None:
            is_odd |= block == quote[0]
        odd.append(np.flatnonzero(is_odd) + at)
    starts = np.concatenate([[begin], *(end + 1 for end in ends)]).astype(np.int64)
    if starts[-1] < len(content):
        starts = np.append(starts, len(content))
    none = np.zeros(0, np.int64)
    separators_before = np.searchsorted(np.concatenate([none, *separators]), starts)
    odd_before = np.searchsorted(np.concatenate([none, *odd]), starts)
    plain = (np.diff(separators_before) == width - 1) & (np.diff(odd_before) == 0)
    if width == 1:  # an empty line is no row
        plain &= np.diff(starts) > 1
    return starts, plain


def find_line_end(content: bytes, place: int) -> int:
    """Where the line that holds this place ends: its line feed, or the end of the text."""
    end = content.find(b"\n", place)
    return len(content) if end < 0 else end
