"""What other libraries raise where a file is not what they expect."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

__all__ = ["LIBRARY_ERRORS", "POLARS_ERRORS", "shorten"]

POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
LIBRARY_ERRORS = (
    *POLARS_ERRORS,
    pa.ArrowException,
    OSError,
    TypeError,
    ValueError,
    ImportError,
    OverflowError,
)
CHARACTERS_SHOWN = 80


def shorten(text: str) -> str:
    """The beginning of a value as a message shows it."""
    return repr(text if len(text) <= CHARACTERS_SHOWN else text[:CHARACTERS_SHOWN] + "…")
