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
    """Int64 [L + 1]: where lines begin, and the end; Boolean [L]: `width` fields, no quote."""
    ends, separators, quotes = [], [], []
    for at in range(begin, len(content), BLOCK):
        block = np.frombuffer(content, np.uint8, min(BLOCK, len(content) - at), at)
        ends.append(np.flatnonzero(block == LINE_FEED) + at)
        separators.append(np.flatnonzero(block == separator[0]) + at)
        if quote is not None:
            quotes.append(np.flatnonzero(block == quote[0]) + at)
    starts = np.concatenate([[begin], *(end + 1 for end in ends)]).astype(np.int64)
    if starts[-1] < len(content):
        starts = np.append(starts, len(content))
    none = np.zeros(0, np.int64)
    separators_before = np.searchsorted(np.concatenate([none, *separators]), starts)
    quotes_before = np.searchsorted(np.concatenate([none, *quotes]), starts)
    plain = (np.diff(separators_before) == width - 1) & (np.diff(quotes_before) == 0)
    if width == 1:  # an empty line is no row
        plain &= np.diff(starts) > 1
    return starts, plain


def find_line_end(content: bytes, place: int) -> int:
    """Where the line that holds this place ends: its line feed, or the end of the text."""
    end = content.find(b"\n", place)
    return len(content) if end < 0 else end
