"""Every line of delimited text is a row that is read right, or is named with its place."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import DataError, InputError
from genrec.interactions import TableFormat, TableReading, read_table, read_table_counted
from genrec.interactions.reading.delimited import read_delimited

LOG = ("user_id", "item_id", "timestamp")


def read(
    text: str | bytes, *, text_columns: tuple[str, ...] = LOG, **settings: object
) -> TableReading:
    content = text.encode() if isinstance(text, str) else text
    return read_delimited(content, "log.csv", text_columns, TableFormat(**settings))  # type: ignore[arg-type]


def tracks(*names: str, before: int = 5) -> str:
    """A log with the columns user_id, track, item_id; `before` plain rows, then these tracks."""
    rows = [f"u{place}\tSong {place}\tt{place}" for place in range(before)]
    rows += [f"v{place}\t{name}\tt{place}" for place, name in enumerate(names)]
    return "user_id\ttrack\titem_id\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize("name", ["log.dat", "log.txt", "LOG.CSV", "log.tsv", "log.inter"])
def test_an_ending_in_any_case_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("user_id,item_id,timestamp\n1,2,3\n")
    assert read_table(tmp_path / name).rows() == [(1, 2, 3)]


@pytest.mark.parametrize("separator", ["::", "\t", ",", ";", "|", " "])
def test_a_separator_is_found_out(separator: str) -> None:
    text = "user_id,item_id,timestamp\n1,2,3\n4,5,6\n".replace(",", separator)
    assert read(text).frame.rows() == [("1", "2", "3"), ("4", "5", "6")]


def test_a_separator_may_be_of_several_characters_and_stand_inside_of_quotes() -> None:
    frame = read('user_id<>title\n1<>"a<>b"\n', separator="<>").frame
    assert frame.rows() == [("1", "a<>b")]


def test_a_separator_beyond_ascii_is_read() -> None:
    assert read("user_id§item_id\n1§2\n", separator="§").frame.rows() == [("1", "2")]


def test_a_long_separator_is_refused_where_no_byte_is_free_to_stand_in() -> None:
    with pytest.raises(InputError, match="control characters"):
        read("user_id::item_id\n1::\x1f\x1e\x1d\x1c\x01\n")


def test_movielens_without_a_header_is_read_under_the_names_that_are_given() -> None:
    columns = ("user_id", "item_id", "rating", "timestamp")
    frame = read(
        "1::3::1::1709387682\n1::1::5::1709413617\n", has_header=False, columns=columns
    ).frame
    assert frame.rows() == [("1", "3", 1, "1709387682"), ("1", "1", 5, "1709413617")]


def test_a_tab_may_be_written_as_a_shell_hands_it_over() -> None:
    assert TableFormat(separator="\\t").separator == "\t"


@pytest.mark.parametrize(
    "text",
    [
        "1,2024-03-02T13:54:42.000Z,214500003,0\n1,2024-03-02T21:06:57.000Z,214500001,0\n",
        "A00001X,B000003Q,2.0,1709387682\nA00001X,B000001Q,1.0,1709413617\n",
        "1\tU1\t11/11/2019 10:21:01 AM\tN9\n2\tU2\t11/12/2019 11:22:02 PM\tN6\n",
        "1::1::1::5\n2::1::2::6\n",
        "1 3\n1 1\n",
        "u1,a,view\nu2,b,buy\n",
    ],
)
def test_a_first_line_that_looks_like_the_rows_is_not_taken_for_names(text: str) -> None:
    with pytest.raises(InputError, match=r"line 1, it looks like a row: .*--no-header.*--columns"):
        read(text)


def test_a_data_value_that_is_named_as_a_column_is_no_header_either() -> None:
    with pytest.raises(InputError, match="looks like a row"):
        read("1,214500003\n1,214500001\n", text_columns=("1", "214500003"))


@pytest.mark.parametrize(
    "text",
    ["item_id,0,1\na,0.5,0.5\n", "who,what\nu1,a\nu2,b\n", "q,1\nx,2\n"],
)
def test_names_that_are_known_or_unlike_the_rows_are_a_header(text: str) -> None:
    assert read(text, text_columns=("q",)).frame.columns == text.split("\n", maxsplit=1)[0].split(
        ","
    )


def test_columns_replace_the_names_of_a_header() -> None:
    assert read("2019,2020\n1,2\n", columns=("a", "b")).frame.to_dicts() == [{"a": 1, "b": 2}]


def test_a_header_names_each_column_once() -> None:
    with pytest.raises(InputError, match="line 1 names 'timestamp' more than once"):
        read("user_id,timestamp,timestamp\n1,2,3\n")


def test_names_lose_blanks_and_recboles_types_and_empty_ones_get_one() -> None:
    assert read("user_id, item_id ,\n1,2,3\n").frame.columns == ["user_id", "item_id", "Unnamed: 2"]
    frame = read("user_id:token\titem_id:token\ttimestamp:float\n1\t2\t3.0\n").frame
    assert frame.columns == ["user_id", "item_id", "timestamp"]
    assert read("user_id,note:token\n1,2\n").frame.columns == ["user_id", "note:token"]


def test_a_row_with_more_or_fewer_fields_is_named_with_its_line_and_value() -> None:
    text = "user_id,item_id,title\n1,2,Plain\n\n2,3,Hello, World\n4,5\n6,7,Last\n"
    with pytest.raises(DataError) as caught:
        read(text)
    message = str(caught.value)
    assert (
        "log.csv line 4: has 4 field(s): '2,3,Hello, World'; line 5: has 2 field(s): '4,5'"
        in message
    )
    assert "Put quotes around values that hold ','" in message
    assert "--drop unreadable-row" in message
    left = read(text, drop_unreadable=True)
    assert left.frame["title"].to_list() == ["Plain", "Last"]
    assert left.num_unreadable == 2


def test_a_header_that_no_row_agrees_with_is_what_is_told() -> None:
    with pytest.raises(
        DataError, match=r"1 columns \(# exported\), but 2 row\(s\) have 2 field"
    ) as caught:
        read("# exported\nuser_id,item_id\n1,2\n")
    assert "--drop" not in str(caught.value)  # nothing would be left


def test_a_nul_byte_makes_a_row_unreadable_and_a_header_none() -> None:
    with pytest.raises(DataError, match=r"line 2: has a NUL byte: '1,2\\x00'"):
        read("user_id,item_id\n1,2\0\n3,4\n")
    with pytest.raises(InputError, match="--encoding utf-16-le"):
        read("user_id,item_id\n1,2\n".encode("utf-16-le"))


def test_a_long_value_is_cut_in_a_message() -> None:
    with pytest.raises(DataError) as caught:
        read("user_id,item_id\n" + "x" * 5000 + "\n1,2\n")
    assert len(str(caught.value)) < 600


def test_the_count_and_the_first_lines_stand_for_many() -> None:
    with pytest.raises(DataError, match=r"unreadable-row: 7 row\(s\).*line 4.*and 4 more"):
        read("user_id,item_id\n" + "1\n" * 7 + "1,2\n" * 8)


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (['"Heroes', "Song", '"Heroes', "Song"], [7, 9]),  # opened, never closed
        (['"Heroes', "Song", 'Heroes"', "Song"], [7]),  # opened in one row, closed in another
        (['"Heroes', 'x"'], [7]),  # the same in rows that touch
        (['"Heroes" (live)', "Song"], [7]),  # closed inside of a value
    ],
)
def test_a_quote_that_swallows_or_breaks_rows_is_named_with_its_line(
    names: list[str], lines: list[int]
) -> None:
    text = tracks(*names)
    with pytest.raises(DataError, match="--quote none") as caught:
        read(text)
    assert all(f"line {line}: " in str(caught.value) for line in lines)
    assert caught.value.problems[0].count == len(lines)
    literal = read(text, quote="none").frame
    assert literal["track"].to_list()[5:] == names
    left = read(text, drop_unreadable=True)
    assert left.frame.height + left.num_unreadable == len(names) + 5


def test_a_quote_at_the_end_of_one_row_may_not_close_that_of_another() -> None:
    text = 'user_id,item_id,track\nu1,t1,Song\nu2,t2,"Heroes\nu3,t3,Song\nu4,t4,Heroes"\n'
    with pytest.raises(DataError, match="line 3: a quote joins 3 lines"):
        read(text)


def test_quotes_inside_of_a_value_are_ordinary() -> None:
    names = ['12" Mix', 'Hey "You" There', 'Mix 12"', "Song"]
    assert read(tracks(*names)).frame["track"].to_list()[5:] == names


def test_an_ordinary_quote_beside_a_quoted_separator_changes_neither() -> None:
    frame = read('item_id,title,note\n1,12" Mix,"a, b"\n2,x,"""y"", z"\n').frame
    assert frame.rows() == [("1", '12" Mix', "a, b"), ("2", "x", '"y", z')]


def test_a_quoted_value_may_hold_line_breaks_separators_and_quotes() -> None:
    text = 'item_id,title,description\n1,A,"Soft.\nWarm, too.\n""Best"""\n2,B,plain\n3,"C, c",\n'
    frame = read(text).frame
    assert frame["description"].to_list() == ['Soft.\nWarm, too.\n"Best"', "plain", None]
    assert frame["title"].to_list() == ["A", "B", "C, c"]


def test_a_line_in_a_quoted_text_with_as_many_fields_as_a_row_is_no_row_without_its_id() -> None:
    text = 'item_id,description\n1,plain\n2,"Soft, warm\nGood, cheap\nand, nice"\n3,plain\n'
    assert read('"item_id","description"\n"1","Soft, warm\nGood, cheap"\n').frame.height == 1
    assert read(text).frame["description"][1] == "Soft, warm\nGood, cheap\nand, nice"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_read(end: str) -> None:
    assert read(f"user_id,item_id{end}1,2{end}{end}3,4").frame.rows() == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig", "utf-8"])
def test_an_encoding_is_read(encoding: str) -> None:
    content = "item_id,title\n1,Café\n".encode(encoding)
    assert read(content, encoding=encoding).frame.rows() == [("1", "Café")]


@pytest.mark.parametrize(("encoding", "likely"), [("cp1252", "cp1252"), ("utf-16", "utf-16")])
def test_another_encoding_is_named_with_its_line(encoding: str, likely: str) -> None:
    content = "item_id,title\n1,Plain\n2,Café\n".encode(encoding)
    line = 3 if encoding == "cp1252" else 1
    with pytest.raises(InputError, match=rf"log.csv line {line} is not UTF-8.*--encoding {likely}"):
        read(content)


def test_numbers_beyond_64_bits_become_text_and_lose_nothing() -> None:
    frame = read("user_id,item_id,big\n1,2,3\n1,2,36893488147419103232\n").frame
    assert frame["big"].cast(pl.String).to_list() == ["3", "36893488147419103232"]


@pytest.mark.parametrize("text", ["", "\n", "\ufeff", "\r\n\r\n"])
def test_a_file_without_lines_is_an_empty_table(text: str) -> None:
    assert read(text).frame.shape == (0, 0)


def test_a_file_of_blanks_has_no_rows() -> None:
    assert read("  \n   ").frame.height == 0


def test_a_header_alone_is_a_table_without_rows() -> None:
    assert read("user_id,item_id\n").frame.schema == {"user_id": pl.String, "item_id": pl.String}


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from('ab" ,\n'), max_size=30))
def test_text_of_any_kind_gives_the_rows_that_are_not_told(text: str) -> None:
    """Every filled line is a row, a part of one, or an unreadable one that is counted."""
    reading = read("item_id,title\nx,y\n" + text, drop_unreadable=True)
    inner = reading.frame.select(pl.all().str.count_matches("\n").sum()).row(0)
    filled = sum(bool(line.strip()) for line in text.split("\n"))
    assert filled <= reading.frame.height - 1 + sum(inner) + reading.num_unreadable


VALUES = st.text(st.sampled_from('ab12 "\t,;\n'), max_size=6)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6), drop=st.booleans())
def test_what_a_writer_of_csv_quotes_comes_back_or_is_refused(
    rows: list[tuple[str, str]], drop: bool
) -> None:
    """Text is never another one: it comes back, or the row is named."""
    table = pl.DataFrame(rows, schema=["item_id", "title"], orient="row")
    text = table.write_csv(quote_style="always")
    try:
        reading = read(text, text_columns=("item_id", "title"), drop_unreadable=drop)
    except DataError:
        return
    if not reading.num_unreadable:
        assert reading.frame.rows() == rows


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"separator": ""}, "a separator is text"),
        ({"separator": '"'}, "a separator is text"),
        ({"quote": "ab"}, "one character"),
        ({"quote": ",", "separator": ","}, "are both"),
        ({"encoding": "klingon"}, "no encoding 'klingon'"),
        ({"encoding": "base64"}, "no encoding 'base64'"),
        ({"has_header": False}, "--columns"),
        ({"columns": ("a", "a")}, "named twice"),
        ({"columns": ("a", "")}, "is empty"),
        ({"explode": ("a", "a")}, "named twice"),
    ],
)
def test_a_format_that_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TableFormat(**settings)  # type: ignore[arg-type]


def test_rows_that_are_left_out_are_counted_over_several_files(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("user_id,item_id\n1,2\n1\n")
    reading = read_table_counted(
        [tmp_path / "a.csv", tmp_path / "b.csv"], table_format=TableFormat(drop_unreadable=True)
    )
    assert reading.num_unreadable == 2
    assert reading.unreadable is not None
    assert "a.csv line 3" in reading.unreadable.detail
    assert "b.csv line 3" in reading.unreadable.detail
    assert reading.frame.height == 2
