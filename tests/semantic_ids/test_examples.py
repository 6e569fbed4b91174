"""Prefix sizes are counted, and examples come from many first codes with those beside them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from genrec.interactions import Catalogue
from genrec.semantic_ids.examples import choose_examples, measure_prefixes
from tests.semantic_ids.planted import (
    ITEMS_EACH,
    NUM_GROUPS,
    NUM_ITEMS,
    planted_catalogue,
    planted_codes,
)


def test_the_sizes_of_prefixes_are_counted_at_every_length() -> None:
    codes = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [2, 0], [2, 1]])
    first, second = measure_prefixes(codes)
    assert (first.num_prefixes, first.mean, first.median, first.most) == (3, 2.0, 2.0, 3)
    assert first.p95 == pytest.approx(2.9)
    assert first.alone == pytest.approx(1 / 6)
    assert (second.num_prefixes, second.most, second.alone) == (6, 1, 1.0)


def test_ten_examples_come_from_as_many_first_codes_as_there_are() -> None:
    examples = choose_examples(planted_codes(), planted_catalogue(), seed=0)
    assert len({example.item_id for example in examples}) == 10
    assert len({example.codes[0] for example in examples[:NUM_GROUPS]}) == NUM_GROUPS
    again = choose_examples(planted_codes(), planted_catalogue(), seed=0)
    other = choose_examples(planted_codes(), planted_catalogue(), seed=1)
    assert examples == again
    assert examples != other


def test_mates_share_the_longest_prefix_that_any_other_item_shares() -> None:
    for example in choose_examples(planted_codes(), planted_catalogue(), seed=0):
        group, kind, _ = example.codes
        assert (example.num_shared, example.num_mates) == (2, ITEMS_EACH - 1)
        assert len(example.mates) == ITEMS_EACH - 1
        assert all(mate.endswith(f"of kind {kind} in group {group}") for mate in example.mates)
        assert example.title not in example.mates


def test_at_most_five_mates_are_shown_by_id_where_there_is_no_title() -> None:
    codes = np.stack([np.zeros(NUM_ITEMS), np.arange(NUM_ITEMS)], axis=1).astype(np.uint16)
    catalogue = Catalogue(pl.DataFrame({"item_id": [f"i{i}" for i in range(NUM_ITEMS)]}))
    example = choose_examples(codes, catalogue, seed=0)[0]
    assert example.title is None
    assert example.num_mates == NUM_ITEMS - 1
    assert len(example.mates) == 5
    assert set(example.mates) <= {f"i{i}" for i in range(6)}


def test_an_item_alone_under_its_first_code_has_no_mates() -> None:
    catalogue = Catalogue(pl.DataFrame({"item_id": ["a", "b"]}))
    for codes in (np.array([[0, 0], [1, 0]]), np.array([[0], [1]])):
        for example in choose_examples(codes, catalogue, seed=0):
            assert (example.num_shared, example.num_mates, example.mates) == (0, 0, ())
