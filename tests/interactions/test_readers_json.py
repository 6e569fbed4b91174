"""JSON is read as it stands, an object a line or an array; what is none is named with its place."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import DataError, InputError
from genrec.interactions import TableFormat, read_table
from genrec.interactions.reading.json_text import read_json

ROWS = [{"user_id": "u", "item_id": 3}, {"user_id": "v", "item_id": 4}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def read(text: str | bytes, **settings: object) -> pl.DataFrame:
    content = text.encode() if isinstance(text, str) else text
    return read_json(content, "log.jsonl", TableFormat(**settings)).frame  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["json", "jsonl", "ndjson", "JSONL"])
@pytest.mark.parametrize("text", [LINES, json.dumps(ROWS), json.dumps(ROWS, indent=1)])
def test_lines_and_arrays_are_read_under_every_ending(
    text: str, ending: str, tmp_path: Path
) -> None:
    (tmp_path / f"log.{ending}").write_text(text)
    assert read_table(tmp_path / f"log.{ending}").to_dicts() == ROWS


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_a_byte_order_mark_and_other_encodings_are_read(encoding: str) -> None:
    content = '{"item_id": 1, "title": "Café"}\r\n'.encode(encoding)
    given = None if encoding == "utf-8-sig" else encoding
    assert read(content, encoding=given)["title"].to_list() == ["Café"]


def test_another_encoding_is_named_with_its_line() -> None:
    with pytest.raises(InputError, match=r"log.jsonl line 2 is not UTF-8.*--encoding cp1252"):
        read('{"a": 1}\n{"a": "é"}\n'.encode("latin-1"))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"user_id": 3, "item_i', "breaks off at character 16"),
        ('{"user_id": 1},', "breaks off at character 15"),
        ('{"user_id": 1} {"user_id": 2}', "breaks off at character 16"),
        ("[1, 2]", "no object"),
        ("3", "no object"),
        ("null", "no object"),
        ('{"user_id": "\\ud800"}', "half of a character"),
        ('{"user_id": Infinity}', "cannot be read"),
        ('{"user_id": ' + "9" * 5000 + "}", "cannot be read"),
        ("[" * 10**5, "cannot be read"),
    ],
)
def test_a_line_that_is_no_object_is_named_and_can_be_left_out(line: str, fault: str) -> None:
    text = '{"user_id": 1}\n\n' + line + '\n{"user_id": 2}\n'
    with pytest.raises(DataError, match=rf"log.jsonl line 3: the JSON .*{fault}") as caught:
        read(text)
    assert "--drop unreadable-row" in str(caught.value)
    assert len(str(caught.value)) < 600
    assert read(text, drop_unreadable=True)["user_id"].to_list() == [1, 2]


def test_what_is_no_object_in_an_array_is_named_by_its_place() -> None:
    with pytest.raises(DataError, match="element 2: it is no object: '5'"):
        read('[{"a": 1}, 5]')
    assert read('[{"a": 1}, 5]', drop_unreadable=True).to_dicts() == [{"a": 1}]


def test_a_broken_array_is_named_with_its_line() -> None:
    with pytest.raises(InputError, match=r"log.jsonl line 3: .* character 5: '\"a\" 2'"):
        read('[{"a": 1},\n{\n"a" 2\n}]')


def test_a_single_object_of_columns_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"single JSON object.*orient='records'"):
        read('{\n"user_id": {"0": 1},\n"item_id": {"0": 2}\n}')


def test_nan_is_null() -> None:
    frame = read('{"user_id": 1, "rating": NaN}\n{"user_id": 2, "rating": 1.5}\n')
    assert frame["rating"].to_list() == [None, 1.5]


def test_whole_numbers_beside_text_and_fractions_keep_every_digit() -> None:
    text = '{"a": 9223372036854775807}\n{"a": 9223372036854775806.0}\n{"a": "7"}\n{"a": 3.0}\n'
    assert read(text)["a"].to_list()[2:] == ["7", "3"]
    mixed = read('{"a": 9007199254740993}\n{"a": 1.5}\n')
    assert mixed["a"].to_list() == ["9007199254740993", "1.5"]
    large = read('{"a": 1}\n{"a": 36893488147419103232}\n')
    assert large["a"].cast(pl.String).to_list() == ["1", "36893488147419103232"]


def test_absent_names_are_null_and_nested_values_of_several_kinds_become_text() -> None:
    assert read('{"a": 1}\n{"b": 2}\n').rows() == [(1, None), (None, 2)]
    frame = read('{"a": {"b": 1}}\n{"a": {"b": "x"}}\n{"a": {"b": NaN}}\n')
    assert frame["a"].struct.field("b").to_list() == ["1", "x", None]
    lists = read('{"a": [1]}\n{"a": 2}\n{"a": null}\n')
    assert lists["a"].to_list() == ["[1]", "2", None]


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text('ab\\"é\n😀', max_size=4)
)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(SCALARS, min_size=1, max_size=6))
def test_different_values_of_a_column_stay_different(values: list[object]) -> None:
    text = "".join(
        json.dumps({"key": place, "a": value}) + "\n" for place, value in enumerate(values)
    )
    read_back = read(text)["a"].cast(pl.String).to_list()
    as_text = {True: "true", False: "false"}
    for value, back in zip(values, read_back, strict=True):
        expected = as_text[value] if isinstance(value, bool) else value
        assert back == (None if expected is None else str(expected))


@pytest.mark.parametrize("text", ["", "\n\n", "  "])
def test_a_file_without_rows_is_an_empty_table(text: str) -> None:
    assert read(text).shape == (0, 0)
