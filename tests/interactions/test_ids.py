"""Ids are read by one rule at every door, and what is no id is named."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from genrec.errors import DataError, InputError
from genrec.interactions import as_id, import_interactions, read_ids


@pytest.mark.parametrize(
    "value", [50, 50.0, Decimal("50.00"), np.int32(50), np.float64(50.0), np.array(50), "50"]
)
def test_whole_numbers_of_any_type_are_their_digits(value: object) -> None:
    assert as_id(value) == "50"


@pytest.mark.parametrize("value", ["007", "3.0", " a", "A,B", "1e5"])
def test_text_is_an_id_as_it_stands(value: str) -> None:
    assert as_id(value) == value
    assert as_id(np.str_(value)) == value


NO_IDS = [
    *(None, True, np.bool_(True), float("nan"), Decimal("NaN"), float("inf")),
    *(2.0**60, np.float32(2**24), [1], {"a": 1}, "half \ud800"),
]


@pytest.mark.parametrize("value", NO_IDS)
def test_what_is_no_id_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="id"):
        as_id(value)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([3, 12, None]),
        pl.Series([3.0, 12.0, None]),
        pl.Series([Decimal("3.00"), Decimal("12.00"), None]),
        pl.Series(["3.0", "12.0", None]),
        pl.Series(["3", "12.0", ""]),
    ],
)
def test_a_column_of_whole_numbers_is_read_alike_whatever_its_type(column: pl.Series) -> None:
    assert read_ids(pl.DataFrame({"id": column}), "id").to_list() == ["3", "12", None]


def test_a_number_written_both_ways_in_one_text_column_is_one_id() -> None:
    ids = ["3", "3.0", "B7", "4.0", "5.50"]
    read = read_ids(pl.DataFrame({"id": ids}), "id").to_list()
    assert read == ["3", "3", "B7", "4", "5.50"]


def test_large_decimals_keep_every_digit() -> None:
    assert as_id(Decimal("9007199254740993.0")) == "9007199254740993"
    column = pl.Series([Decimal("9007199254740993.00"), Decimal("2.00")])
    assert read_ids(pl.DataFrame({"id": column}), "id")[0] == "9007199254740993"


def test_a_text_column_with_other_ids_too_stays_as_it_is() -> None:
    ids = ["3.0", "B7", "007"]
    assert read_ids(pl.DataFrame({"id": ids}), "id").to_list() == ids
    assert read_ids(pl.DataFrame({"id": ["007", "3"]}), "id").to_list() == ["007", "3"]


@pytest.mark.parametrize("column", [[True], [[1]], [b"x"]])
def test_a_column_that_holds_no_ids_is_refused(column: list[object]) -> None:
    with pytest.raises(InputError, match="ids must be text or numbers"):
        read_ids(pl.DataFrame({"id": column}), "id")


def _log(users: list[object], **more: object) -> pl.DataFrame:
    times = range(1_600_000_000, 1_600_000_000 + len(users))
    items = [f"i{place}" for place in range(len(users))]
    return pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times, **more})


@pytest.mark.parametrize(
    ("users", "kind", "value"),
    [
        (["a", "nan", "b"], "null-like-id", "'nan' (row 1)"),
        (["a", "NULL", "<NA>"], "null-like-id", "'NULL' (row 1), '<NA>' (row 2)"),
        (["a", "a ", "b"], "blank-around-id", "'a ' (row 1)"),
        ([1.0, 2.0**53, 2.0**53], "inexact-id", "'9007199254740992' (row 1)"),
        (["a", "b\x00c", "d\ne"], "control-character-id", r"'b\x00c' (row 1), 'd\ne' (row 2)"),
    ],
)
def test_ids_that_are_no_ids_are_problems_with_their_values(
    users: list[object], kind: str, value: str
) -> None:
    with pytest.raises(DataError) as refused:
        import_interactions(_log(users))
    [problem] = refused.value.problems
    assert problem.kind == kind
    assert problem.examples == value
    assert value in str(refused.value)
    dataset, _ = import_interactions(_log(users), drop=[kind])
    assert len(dataset.user_ids) < len(users)


def test_what_looks_like_no_id_may_be_meant() -> None:
    dataset, _ = import_interactions(_log(["nan", "b"]), keep=["null-like-id"])
    assert dataset.user_ids == ["nan", "b"]


def test_equal_rows_may_be_two_purchases() -> None:
    log = pl.concat([_log(["a", "b"])] * 2)
    with pytest.raises(DataError, match="duplicate"):
        import_interactions(log)
    assert import_interactions(log, keep=["duplicate"])[1].num_events == 4
    assert import_interactions(log, drop=["duplicate"])[1].num_events == 2


def test_blanks_around_ids_are_taken_off_where_it_is_asked_for() -> None:
    frame = pl.DataFrame(
        {"user_id": ["u "] * 3, "item_id": ["a", " a", "b"], "timestamp": [1, 2, 3]}
    )
    items = pl.DataFrame({"item_id": ["a ", "b"], "title": ["A", "B"]})
    dataset, summary = import_interactions(frame, None, items, strip=True)
    assert (dataset.user_ids, set(dataset.catalogue.item_ids)) == (["u"], {"a", "b"})
    assert dataset.catalogue.ids(dataset.histories.items_of(0)) == ["a", "a", "b"]
    assert any(note.startswith("5 id(s) had blanks") for note in summary.notes)


def test_ids_of_the_items_table_are_looked_at_too() -> None:
    items = pl.DataFrame({"item_id": ["i0", "null"]})
    with pytest.raises(DataError, match=r"items table.*'null' \(row 1\)"):
        import_interactions(_log(["a"]), None, items)
    dataset, _ = import_interactions(_log(["a"]), None, items, drop=["null-like-id"])
    assert dataset.catalogue.item_ids == ["i0"]


def test_a_kind_is_not_both_dropped_and_kept() -> None:
    with pytest.raises(InputError, match="duplicate cannot be both dropped and kept"):
        import_interactions(_log(["a"]), drop=["duplicate"], keep=["duplicate"])


def test_a_kind_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(InputError, match=r"cannot keep \['null-user'\]; what can be kept: dupl"):
        import_interactions(_log(["a"]), keep=["null-user"])
