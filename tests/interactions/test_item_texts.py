"""The text of an item is words: no nulls, no markup, no numbers of rows."""

from __future__ import annotations

import json

import polars as pl
import pytest

from genrec.interactions import Catalogue
from genrec.interactions.item_texts import is_index_column, join_words, read_words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"Brand": "Acme", "Language": None, "Size": {"Width": 2, "Depth": None}},
         "Brand: Acme, Size: Width: 2"),
        ([["Beauty", "shampoo"], [], None, "Hair"], "Beauty, shampoo, Hair"),
        ('{"Brand": "Acme", "Language": null}', "Brand: Acme"),
        ("{'Brand': 'Acme', 'Language': None}", "Brand: Acme"),
        ("['a', 'b']", "a, b"),
        ("[untitled]", "[untitled]"),
        ("{open", "{open"),
        ("Tom &amp; Jerry<br/>in <b class='x'>one</b>", "Tom & Jerry in one"),
        ("&lt;p&gt;escaped&lt;/p&gt;", "escaped"),
        ("List<String> and 2 < 3 > 1, I <3 it", "List<String> and 2 < 3 > 1, I <3 it"),
        (float("nan"), ""),
        (b"\x00", ""),
        (True, "True"),
        (0, "0"),
    ],
)  # fmt: skip
def test_a_value_becomes_words(value: object, words: str) -> None:
    assert read_words(value) == words


def test_a_text_nested_a_hundred_thousand_times_stays_a_text() -> None:
    deep = "[" * 40_000 + "]" * 40_000
    assert read_words(deep) == deep


def test_an_attribute_that_is_a_dash_says_nothing_and_a_title_may_be_one() -> None:
    assert join_words("7", "!!!", {"price": "—", "brand": "..."}) == "!!!"


def test_columns_that_number_the_rows_are_no_words() -> None:
    numbered = ["Unnamed: 0", "Unnamed: 0.1", "index", "level_0", "__index_level_0__", ""]
    assert [is_index_column(name) for name in numbered] == [True] * 6
    assert not is_index_column("index_of_refraction")


def test_dictionaries_with_other_keys_a_row_tell_only_their_own() -> None:
    rows = [
        {"item_id": "P0", "details": {"Color": "red"}, "title": "Soap"},
        {"item_id": "P1", "details": {"Language": "French"}, "title": "Crème &amp; Brûlée"},
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    table = pl.read_ndjson(lines.encode()).with_columns(pl.Series("Unnamed: 0", [0, 1]))
    assert Catalogue(table).texts() == [
        "Soap. details: Color: red",
        "Crème & Brûlée. details: Language: French",
    ]
