"""Translation between ids and indices, and the text of an item."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from genrec.errors import InputError, UnknownItemError
from genrec.interactions import Catalogue


def catalogue() -> Catalogue:
    return Catalogue(
        pl.DataFrame(
            {
                "item_id": ["x", "y", "z"],
                "title": ["Toy Story", None, ""],
                "genres": [["Comedy", None, "Drama"], [], None],
                "price": [1.5, None, None],
                "brand": ["A", "", None],
            }
        )
    )


def test_a_text_is_the_title_then_every_attribute_that_is_known() -> None:
    assert catalogue().texts() == [
        "Toy Story. genres: Comedy, Drama. price: 1.5. brand: A",
        "y",
        "z",
    ]


def test_named_columns_alone_describe_an_item() -> None:
    table = catalogue().table
    assert Catalogue(table, ["price", "title"]).texts() == ["Toy Story. price: 1.5", "y", "z"]
    assert Catalogue(table, ["brand"]).texts() == ["brand: A", "y", "z"]
    assert Catalogue(table, ["brand", "gone"]).with_table(table[:1]).texts() == ["brand: A"]


def test_a_column_that_numbers_rows_describes_where_it_is_named() -> None:
    table = pl.DataFrame({"item_id": ["x"], "title": ["T"], "index": [7]})
    assert Catalogue(table).texts() == ["T"]
    assert Catalogue(table, ["title", "index"]).texts() == ["T. index: 7"]


def test_ids_are_translated_both_ways() -> None:
    items = catalogue()
    assert items.index(["z", "x", "z"]).tolist() == [2, 0, 2]
    assert items.ids([2, 0]) == ["z", "x"]
    assert items.ids(items.index([])) == []
    assert items.item_ids == ["x", "y", "z"]
    assert items.titles([0, 1, -1]) == ["Toy Story", None, None]
    assert items.attributes == ["genres", "price", "brand"]
    assert len(items) == 3


def test_an_unknown_id_is_an_error_or_marked() -> None:
    with pytest.raises(UnknownItemError, match=r"1 item id\(s\).*gone"):
        catalogue().index(["x", "gone"])
    assert catalogue().index(["x", "gone"], missing="mark").tolist() == [0, -1]


def test_ids_that_are_numbers_become_text() -> None:
    items = Catalogue(pl.DataFrame({"item_id": [7, 8]}))
    assert items.item_ids == ["7", "8"]
    assert items.titles([0]) == [None]
    assert items.texts() == ["7", "8"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"asin": ["x"]}, "needs a column item_id"),
        ({"item_id": []}, "at least one item"),
        ({"item_id": ["x", "x"]}, "unique and not null"),
        ({"item_id": ["x", None]}, "unique and not null"),
    ],
)
def test_a_table_that_is_no_catalogue_is_refused(
    table: dict[str, list[str | None]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Catalogue(pl.DataFrame(table))


IDS = [f"item {number}" for number in range(200)]


def test_numbers_of_items_do_not_depend_on_the_order_of_the_table() -> None:
    table = pl.DataFrame({"item_id": IDS, "place": range(200)})
    numbered = Catalogue.number(table)
    assert Catalogue.number(table.reverse()).table.equals(numbered.table)
    assert sorted(numbered.item_ids) == sorted(IDS)
    assert [IDS[place] for place in numbered.table["place"]] == numbered.item_ids


def test_numbers_of_items_tell_nothing_of_first_appearance_or_the_alphabet() -> None:
    for order in (IDS, sorted(IDS)):
        table = pl.DataFrame({"item_id": order, "place": range(200)})
        places = Catalogue.number(table).table["place"].to_numpy()
        follows = (np.diff(places) == 1).mean()
        assert follows < 0.05
        assert abs(np.corrcoef(places, np.arange(200))[0, 1]) < 0.25
