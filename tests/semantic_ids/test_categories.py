"""Categories are read from any column of texts, and only those that say something count."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from genrec.errors import InputError
from genrec.interactions import Catalogue
from genrec.semantic_ids.categories import NO_CATEGORY, Categories, categories_of
from tests.semantic_ids.planted import GROUP, NUM_ITEMS, planted_catalogue


def found(catalogue: Catalogue, column: str | None = None) -> Categories:
    categories = categories_of(catalogue, column)
    assert categories is not None
    return categories


def catalogue_with(**columns: list[object]) -> Catalogue:
    num_items = len(next(iter(columns.values())))
    return Catalogue(pl.DataFrame({"item_id": [f"i{i}" for i in range(num_items)], **columns}))


def test_the_usual_columns_are_taken_in_order_and_another_one_by_name() -> None:
    catalogue = catalogue_with(category=["a", "b"], genres=[["x"], ["y"]], brand=["c", "c"])
    assert found(catalogue).column == "genres"
    assert found(catalogue, "category").names == ("a", "b")
    assert found(catalogue, "brand").names == ("c",)


def test_names_stand_the_most_common_first_and_empty_values_are_none() -> None:
    catalogue = catalogue_with(genres=[["b", "a", "b"], ["a"], [], None, [""]])
    categories = found(catalogue)
    assert categories.names == ("a", "b")
    assert categories.shares.tolist() == [0.4, 0.2]
    assert categories.main.tolist() == [0, 0] + [NO_CATEGORY] * 3


def test_a_root_is_no_main_category_and_does_not_count() -> None:
    categories = found(planted_catalogue())
    names = [categories.names[index] for index in categories.main]
    assert names == [f"group {group}" for group in GROUP]
    counted, most_common = categories.counted
    # A group is 1 of 8, above a tenth; a kind is 1 of 40.
    assert (counted.shape, most_common) == ((NUM_ITEMS, 40), 0.1)


def test_where_few_items_have_a_rare_category_common_ones_count_too() -> None:
    column: list[object] = [[f"c{item % 5}"] for item in range(100)]
    column[0] = ["rare"]
    counted, most_common = found(catalogue_with(genres=column)).counted
    assert (counted.shape[1], most_common) == (6, 0.25)
    halves = found(catalogue_with(genres=[[f"c{item % 2}"] for item in range(100)]))
    assert halves.counted[1] == 1.0


def test_no_usual_column_and_empty_columns_give_none() -> None:
    assert categories_of(catalogue_with(colour=["red"])) is None
    assert categories_of(catalogue_with(year=[1], category=[None])) is None
    assert categories_of(catalogue_with(category=["", ""])) is None


@pytest.mark.parametrize(
    ("column", "message"),
    [("colour", "no column 'colour'"), ("year", "no column 'year'"), ("brand", "is empty")],
)
def test_a_named_column_must_hold_texts(column: str, message: str) -> None:
    catalogue = catalogue_with(year=[1, 2], brand=["", ""])
    with pytest.raises(InputError, match=message):
        categories_of(catalogue, column)


def test_labels_are_what_the_catalogue_says() -> None:
    labels = found(planted_catalogue()).labels
    assert labels.shape == (NUM_ITEMS, 1 + 8 + 40)
    np.testing.assert_array_equal(np.diff(labels.indptr), 3)
