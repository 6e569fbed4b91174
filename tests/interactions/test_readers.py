"""Every way to hand over a table gives the same log."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import DataError, InputError
from genrec.interactions import ColumnMapping, TableFormat, check_log, read_table

MAPPING = ColumnMapping(
    time="timestamp", position="position", event="event", value="rating", context=("page",)
)
IDS = st.one_of(
    st.integers(0, 10**12).map(str), st.text("abcXYZ 0123456789é,;|\"'", min_size=1, max_size=8)
).filter(lambda text: text.strip() == text and text not in ("", '"'))
ROWS = st.lists(
    st.tuples(
        IDS,
        IDS,
        st.integers(1, 4 * 10**9),
        st.one_of(st.none(), st.floats(0, 5, width=16)),
        st.sampled_from(["view", "buy, now", None]),
    ),
    min_size=1,
    max_size=12,
)


def table_of(rows: list[tuple[str, str, int, float | None, str | None]]) -> pl.DataFrame:
    users, items, times, ratings, events = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "user_id": users,
            "item_id": items,
            "timestamp": times,
            "position": range(len(rows)),
            "rating": pl.Series(ratings, dtype=pl.Float64),
            "event": pl.Series(events, dtype=pl.String),
            "page": pl.Series([3] * len(rows), dtype=pl.Int64),
        }
    )


def forms_of(table: pl.DataFrame, folder: Path) -> dict[str, object]:
    """The same table in every form that can be read."""
    import datasets

    table.write_parquet(folder / "log.parquet")
    table.write_csv(folder / "log.csv")
    table.write_csv(folder / "log.tsv", separator="\t")
    table.write_csv(folder / "log.txt", separator="|")
    table.write_ndjson(folder / "log.jsonl")
    (folder / "log.csv.gz").write_bytes(gzip.compress((folder / "log.csv").read_bytes()))
    files = {file.name: file for file in folder.iterdir()}
    return {
        **files,
        "path as text": str(folder / "log.parquet"),
        "polars": table,
        "lazy polars": table.lazy(),
        "pandas": table.to_pandas(),
        "arrow": table.to_arrow(),
        "datasets": datasets.Dataset.from_polars(table),
        "formatted datasets": datasets.Dataset.from_polars(table).with_format("numpy"),
    }


@settings(max_examples=5, deadline=None)
@given(rows=ROWS)
def test_every_form_of_a_table_gives_the_same_log(
    rows: list[tuple[str, str, int, float | None, str | None]],
) -> None:
    table = table_of(rows)
    expected = check_log(table, MAPPING)
    with tempfile.TemporaryDirectory() as folder:
        for name, form in forms_of(table, Path(folder)).items():
            read = check_log(read_table(form, text_columns=MAPPING.text_columns), MAPPING)
            assert read.events.equals(expected.events), name
            assert read.extra["event"].equals(expected.extra["event"]), name
            assert read.extra["value"].cast(pl.Float64).equals(expected.extra["value"]), name
            assert read.extra["page"].equals(expected.extra["page"]), name


def test_a_filtered_dataset_gives_the_rows_that_are_left(log: pl.DataFrame) -> None:
    import datasets

    left = datasets.Dataset.from_polars(log).select([2, 0])
    assert read_table(left).equals(log[[2, 0]])


def test_ids_of_a_text_file_keep_their_zeros(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n007,01,5\n08,2,6\n")
    events = check_log(
        read_table(tmp_path / "log.csv", text_columns=ColumnMapping().text_columns), ColumnMapping()
    ).events
    assert events["user_id"].to_list() == ["007", "08"]
    assert events["item_id"].to_list() == ["01", "2"]


def test_a_csv_as_spreadsheets_write_it_is_read(tmp_path: Path) -> None:
    content = '\ufeffuser_id;item_id;timestamp\r\nu;"a;b";5\r\n'
    (tmp_path / "log.csv").write_bytes(content.encode())
    table = read_table(tmp_path / "log.csv")
    assert table.rows() == [("u", "a;b", 5)]
    assert table.columns == ["user_id", "item_id", "timestamp"]


def test_whole_numbers_that_became_floats_are_the_same_ids() -> None:
    table = pl.DataFrame({"user_id": [1.0, 2.0], "item_id": [3, 4], "timestamp": [1, 2]})
    assert check_log(table, ColumnMapping()).events["user_id"].to_list() == ["1", "2"]


def test_a_given_separator_wins_over_the_one_that_the_header_suggests(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("a,b,c;d\n1,2,3;4\n")
    assert read_table(tmp_path / "log.csv").columns == ["a", "b", "c;d"]
    assert read_table(tmp_path / "log.csv", table_format=TableFormat(separator=";")).columns == [
        "a,b,c",
        "d",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", b"user_id,item_id\n1,2,3\n", r"line 2: has 3 field\(s\): '1,2,3'"),
        ("log.csv", "user_id,item_id\n1,\xe9\n".encode("latin-1"), "UTF-8"),
        ("log.csv", "us\xe9r,item_id\n1,2\n".encode("latin-1"), "UTF-8"),
        ("log.parquet", b"no parquet", "cannot be read as Parquet"),
        ("log.jsonl", b"{broken", "line 1: the JSON breaks off at character 2"),
        ("log.csv.gz", b"no gzip", "cannot be read"),
        ("log.doc", b"", "unknown ending '.doc'"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((InputError, DataError), match=message):
        read_table(tmp_path / name)


def test_what_is_no_table_is_refused(tmp_path: Path, log: pl.DataFrame) -> None:
    import datasets

    with pytest.raises(InputError, match="there is no file"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match=r"builtins\.dict"):
        read_table({"user_id": [1]})
    with pytest.raises(InputError, match="choose one"):
        read_table(datasets.DatasetDict(train=datasets.Dataset.from_polars(log)))
    with pytest.raises(InputError, match="Arrow table is needed"):
        read_table(log.to_arrow()["user_id"])


def test_a_separator_is_refused_where_it_means_nothing(tmp_path: Path, log: pl.DataFrame) -> None:
    log.write_parquet(tmp_path / "log.parquet")
    log.write_csv(tmp_path / "log.csv")
    with pytest.raises(InputError, match="leave --separator out"):
        read_table(tmp_path / "log.parquet", table_format=TableFormat(separator=";"))
    with pytest.raises(InputError, match="in memory"):
        read_table(log, table_format=TableFormat(separator=";"))


@pytest.mark.parametrize(
    ("asked", "columns", "taken"),
    [
        (ColumnMapping(), "timestamp position", ("timestamp", None)),
        (ColumnMapping(), "timestamp", ("timestamp", None)),
        (ColumnMapping(), "position", (None, "position")),
        (ColumnMapping(position="position"), "timestamp position", ("timestamp", "position")),
        (ColumnMapping(position="place"), "place position", (None, "place")),
        (ColumnMapping(time="when"), "when timestamp position", ("when", None)),
    ],
)
def test_a_position_is_taken_unasked_only_where_nothing_else_orders(
    asked: ColumnMapping, columns: str, taken: tuple[str | None, str | None]
) -> None:
    mapping = asked.completed(["user_id", "item_id", *columns.split()])
    assert (mapping.time, mapping.position) == taken


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"context": ("timestamp",)}, "names that genrec uses itself"),
        ({"context": ("page", "page")}, "named twice"),
        ({"user": ""}, "is empty"),
    ],
)
def test_a_mapping_that_cannot_be_kept_is_refused(mapping: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ColumnMapping(**mapping)  # type: ignore[arg-type]
