"""A table in memory gives the same frame, whichever library holds it."""

from __future__ import annotations

import datetime
import decimal

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from genrec.errors import InputError
from genrec.interactions import TableFormat, read_table

ROWS = [{"user_id": "u", "item_id": 3}, {"user_id": "v", "item_id": 4}]
EXPECTED = [("u", 3), ("v", 4)]
ARROW = pa.table({"user_id": ["u", "v"], "item_id": [3, 4]})


def name_of(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(
    "source",
    [
        ROWS,
        pl.DataFrame(ROWS).lazy(),
        pl.DataFrame(ROWS).with_columns(pl.col("user_id").cast(pl.Categorical)),
        pl.DataFrame(ROWS).with_columns(pl.col("user_id").cast(pl.Enum(["u", "v"]))),
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS).astype({"user_id": "category", "item_id": "Int64"}),
        pd.DataFrame(ROWS).astype({"user_id": "object", "item_id": "object"}),
        pd.DataFrame(ROWS).set_index("user_id"),
        pd.DataFrame(ROWS, index=[7, 7]),
        ARROW,
        ARROW.to_batches()[0],
        pa.RecordBatchReader.from_batches(ARROW.schema, ARROW.to_batches()),
        ARROW.set_column(0, "user_id", ARROW["user_id"].dictionary_encode()),
        ARROW.set_column(0, "user_id", ARROW["user_id"].cast(pa.large_string())),
        ARROW.set_column(0, "user_id", ARROW["user_id"].cast(pa.string_view())),
        datasets.Dataset.from_list(ROWS),
    ],
    ids=name_of,
)
def test_every_library_gives_the_same_rows(source: object) -> None:
    frame = read_table(source)
    assert [(str(user), item) for user, item in frame.rows()] == EXPECTED
    assert frame.columns == ["user_id", "item_id"]


def test_tuples_need_names() -> None:
    names = TableFormat(columns=("user_id", "item_id"))
    assert read_table(EXPECTED, table_format=names).rows() == EXPECTED
    with pytest.raises(InputError, match="a list of tuples needs names"):
        read_table(EXPECTED)
    with pytest.raises(InputError, match="row 1 has 1 values, but 2 columns are named"):
        read_table([(1, 2), (3,)], table_format=names)
    with pytest.raises(InputError, match="row 1 is a int"):
        read_table([(1, 2), 3], table_format=names)


def test_objects_of_several_kinds_are_text_each_as_it_stands() -> None:
    frame = pd.DataFrame({"id": pd.Series([1, "a", 2.0, None, float("nan"), pd.NA], dtype=object)})
    assert read_table(frame)["id"].to_list() == ["1", "a", "2", None, None, None]


def test_numbers_with_gaps_and_large_ones_keep_every_digit() -> None:
    large = 2**53 + 1
    nullable = pd.DataFrame({"id": pd.array([large, None], dtype="Int64")})
    assert read_table(nullable)["id"].to_list() == [large, None]
    mixed = pd.DataFrame({"id": pd.Series([large, 1.5], dtype=object)})
    assert read_table(mixed)["id"].to_list() == [str(large), "1.5"]
    assert read_table([{"id": np.int64(3)}, {"id": np.float32("nan")}])["id"].to_list() == [3, None]


def test_bytes_of_an_id_are_its_text_where_they_are_text() -> None:
    table = pa.table({"user_id": [b"u1", None], "picture": [b"\xff", b"\xfe"]})
    assert read_table(table, text_columns=("user_id",))["user_id"].to_list() == ["u1", None]
    with pytest.raises(InputError, match="column 'picture' holds bytes"):
        read_table(table, text_columns=("picture",))


def test_row_numbers_that_pandas_stores_without_a_name_are_no_column() -> None:
    frame = pd.DataFrame(ROWS, index=[7, 9])
    assert read_table(pa.Table.from_pandas(frame)).columns == ["user_id", "item_id"]


def test_names_that_are_numbers_become_text() -> None:
    assert read_table(pd.DataFrame([[1, 2]])).columns == ["0", "1"]


def test_decimals_and_zoned_times_come_through() -> None:
    at = datetime.datetime(2024, 3, 2, tzinfo=datetime.UTC)
    table = pa.table({"id": [decimal.Decimal("3.00")], "at": [at]})
    assert read_table(table).row(0) == (decimal.Decimal("3.00"), at)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"user_id": [1]}, r"builtins\.dict"),
        (iter(ROWS), "list_iterator"),
        (pl.DataFrame, "cannot read a table"),
        (pl.Series([1]), "polars frame is needed, this is a Series"),
        (pl.LazyFrame({"a": [1]}).select("b"), "cannot be collected"),
        (pd.Series([1]), "pandas DataFrame is needed"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns of one name"),
        (pd.DataFrame({("a", "b"): [1]}), "several levels"),
        (pd.DataFrame({"a": [object()]}), "column 'a' holds object"),
        (pd.DataFrame({"a": [1 + 2j]}), "column 'a' has type complex128"),
        (ARROW["user_id"], "Arrow table is needed"),
        (pa.table([[1], [2]], names=["a", "a"]), "several columns of one name"),
        (datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS)), r"dataset\['train'\]"),
        (datasets.Dataset.from_list(ROWS).to_iterable_dataset(), "without streaming"),
        ([{"a": object()}], "column 'a' holds object"),
        ([{"a": 1, 1: 2, "1": 3}], "one name as text"),
    ],
    ids=name_of,
)
def test_what_is_no_table_is_refused_in_words(source: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_table(source)


def test_an_empty_list_is_an_empty_table() -> None:
    assert read_table([]).shape == (0, 0)


def test_columns_rename_a_table_and_must_be_as_many() -> None:
    assert read_table(ARROW, table_format=TableFormat(columns=("u", "i"))).columns == ["u", "i"]
    with pytest.raises(InputError, match="1 columns are named"):
        read_table(ARROW, table_format=TableFormat(columns=("u",)))
    with pytest.raises(InputError, match="encoding and has_header belong to a text file"):
        read_table(
            ARROW,
            table_format=TableFormat(encoding="utf-8", has_header=False, columns=("u", "i")),
        )
