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


@pytest.mark.parametrize("value", [None, True, float("nan"), float("inf"), 2.0**60, [1], {"a": 1}])
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
        (["a", "nan", "b"], "null-like-id", "'nan'"),
        (["a", "NULL", "<NA>"], "null-like-id", "'NULL', '<NA>'"),
        (["a", "a ", "b"], "blank-around-id", "'a '"),
        ([1.0, 2.0**53, 2.0**53], "inexact-id", "'9007199254740992'"),
    ],
)
def test_ids_that_are_no_ids_are_problems_with_their_values(
    users: list[object], kind: str, value: str
) -> None:
    with pytest.raises(DataError) as refused:
        import_interactions(_log(users))
    [problem] = refused.value.problems
    assert problem.kind == kind
    assert value in problem.detail
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


def test_a_kind_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(InputError, match=r"cannot keep \['null-user'\]; what can be kept: dupl"):
        import_interactions(_log(["a"]), keep=["null-user"])
