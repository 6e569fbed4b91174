"""A path finds what lies inside of structs, and lists become rows."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from genrec.errors import InputError
from genrec.interactions import ColumnMapping, TableFormat, check_log, read_table, select_paths

EVENTS = [
    {"user": {"id": "u"}, "items": [{"item_id": "a"}, {"item_id": "b"}], "time": 5},
    {"user": {"id": "v"}, "items": [], "time": 6},
    {"user": {"id": "w"}, "items": [{"item_id": "a"}], "time": 7},
]


def test_a_path_finds_a_field_and_a_list_of_structs_is_unrolled(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    frame = read_table(
        file,
        text_columns=("user.id", "items.item_id", "time"),
        table_format=TableFormat(explode=("items",)),
    )
    assert frame.select("user.id", "items.item_id", "time").rows() == [
        ("u", "a", 5),
        ("u", "b", 5),
        ("v", None, 6),
        ("w", "a", 7),
    ]


def test_every_name_of_a_mapping_may_be_a_path() -> None:
    frame = pl.DataFrame(
        {"who": [{"id": "u"}], "what": [{"id": "a", "kind": "view"}], "at": [{"s": 5}]}
    )
    mapping = ColumnMapping(user="who.id", item="what.id", time="at.s", event="what.kind")
    checked = check_log(frame, mapping)
    assert checked.problems == ()
    assert checked.events.select("user_id", "item_id").row(0) == ("u", "a")
    assert checked.extra["event"].to_list() == ["view"]
    missing = check_log(frame, ColumnMapping(user="who.name", item="what.id", time="at.s"))
    assert "'who.name', it has ['who', 'who.id', 'what', 'what.id'" in missing.problems[0].detail


def test_a_path_through_a_list_asks_for_it_to_be_unrolled() -> None:
    with pytest.raises(InputError, match="--explode items"):
        select_paths(pl.DataFrame(EVENTS), ["items.item_id"])


def test_a_column_of_that_very_name_wins_and_points_in_names_are_no_hindrance() -> None:
    frame = pl.DataFrame({"a.b": [1], "a": [{"b": 2, "c.d": {"e": 3}}], "x.y": [{"z": 4}]})
    found = select_paths(frame, ["a.b", "a.c.d.e", "x.y.z", "a.nothing", "a"])
    assert found.select("a.b", "a.c.d.e", "x.y.z").row(0) == (1, 3, 4)
    assert "a.nothing" not in found.columns


def test_lists_of_one_person_are_unrolled_side_by_side() -> None:
    frame = pl.DataFrame({"user_id": ["u", "v"], "items": [["a", "b"], None], "at": [[1, 2], []]})
    unrolled = read_table(frame, table_format=TableFormat(explode=("items", "at")))
    assert unrolled.rows() == [("u", "a", 1), ("u", "b", 2), ("v", None, None)]
    with pytest.raises(InputError, match=r"row 0 has 2 elements in 'items' and 1 in 'at'"):
        read_table(
            frame.with_columns(at=pl.Series([[1], []])),
            table_format=TableFormat(explode=("items", "at")),
        )


def test_a_list_inside_of_a_struct_and_an_array_are_unrolled() -> None:
    frame = pl.DataFrame({"user_id": ["u"], "session": [{"items": ["a", "b"]}]})
    unrolled = read_table(frame, table_format=TableFormat(explode=("session.items",)))
    assert unrolled["session.items"].to_list() == ["a", "b"]
    array = pl.DataFrame({"v": pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2))})
    assert read_table(array, table_format=TableFormat(explode=("v",)))["v"].to_list() == [1, 2]


def test_what_cannot_be_unrolled_is_said_with_what_there_is() -> None:
    with pytest.raises(InputError, match=r"no column 'no' .* user, user.id, items, items.item_id"):
        read_table(EVENTS, table_format=TableFormat(explode=("no",)))
    with pytest.raises(InputError, match=r"'time' has type Int64 .* lists are \['items'\]"):
        read_table(EVENTS, table_format=TableFormat(explode=("time",)))
    with pytest.raises(InputError, match="no column holds lists"):
        read_table([{"a": 1}], table_format=TableFormat(explode=("a",)))
