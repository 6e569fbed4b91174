"""A small past with attributes, prices and times, drawn at random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from genrec.interactions import Catalogue, Histories

NUM_ITEMS = 12


@pytest.fixture(scope="session")
def past() -> Histories:
    """30 people with up to 9 events; some have no time."""
    draw = np.random.default_rng(0)
    people = [draw.integers(0, NUM_ITEMS - 1, draw.integers(0, 10)).tolist() for _ in range(30)]
    times = [np.sort(draw.integers(0, 1000, len(row))).tolist() for row in people]
    return Histories.from_lists(people, times)


@pytest.fixture(scope="session")
def content() -> npt.NDArray[np.float32]:
    """float32 [12, 5]."""
    return np.random.default_rng(1).normal(size=(NUM_ITEMS, 5)).astype(np.float32)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """12 items with a list, a text and a number; nulls among all of them."""
    colours = [["red", "blue"], ["red"], None, ["blue"], [], ["red", "green"]] * 2
    table = pl.DataFrame(
        {
            "item_id": [str(item) for item in range(NUM_ITEMS)],
            "title": ["a title"] * NUM_ITEMS,
            "colours": colours,
            "maker": ["Smith", "Jones, Brown", None, "Smith"] * 3,
            "price": [1.0, 2.0, None, 4.0] * 3,
        }
    )
    return Catalogue(table)
