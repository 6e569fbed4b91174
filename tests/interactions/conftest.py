"""Small logs whose answers are known, and the real data where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

REAL_DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def log() -> pl.DataFrame:
    """Two users, three items, times in seconds; no defects."""
    return pl.DataFrame(
        {
            "user_id": ["u", "v", "u", "u", "v"],
            "item_id": ["a", "b", "b", "c", "a"],
            "timestamp": [
                1_400_000_000,
                1_400_000_005,
                1_400_000_010,
                1_400_000_020,
                1_400_000_001,
            ],
        }
    )


@pytest.fixture
def real_data() -> Callable[[str], tuple[pl.DataFrame, pl.DataFrame]]:
    """Gives the log and the items of a real data set; skips where they are not there."""

    def read(name: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        folder = REAL_DATA / name
        if not folder.is_dir():
            pytest.skip(f"{name} is not in ../shared/data beside the checkout")
        return (
            pl.read_parquet(folder / "interactions.parquet"),
            pl.read_parquet(folder / "items.parquet"),
        )

    return read
