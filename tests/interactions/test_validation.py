"""Every kind of defect is planted, found with its rows, and dropped on purpose only."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from genrec.errors import DataError, InputError
from genrec.interactions import (
    CatalogueMapping,
    ColumnMapping,
    TimeUnit,
    check_log,
    import_interactions,
)
from genrec.interactions.defects import ProblemKind

POSITIONED = ColumnMapping(position="position", time="timestamp")
ITEMS = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["A", "B", "C"]})


def base(**columns: Sequence[object]) -> pl.DataFrame:
    """Four rows without defects, some columns replaced."""
    plain: dict[str, Sequence[object]] = {
        "user_id": ["u", "u", "v", "v"],
        "item_id": ["a", "b", "a", "c"],
        "timestamp": [10, 20, 30, 40],
        "position": [0, 1, 0, 1],
    }
    return pl.DataFrame(plain | columns, strict=False)


def found(
    frame: pl.DataFrame,
    mapping: ColumnMapping | None = None,
    items: pl.DataFrame | None = None,
    item_mapping: CatalogueMapping | None = None,
) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Kind -> (count, first rows)."""
    problems = check_log(frame, mapping or ColumnMapping(), items, item_mapping).problems
    return {problem.kind: (problem.count, problem.rows) for problem in problems}


PLANTED = {
    "null-user": base(user_id=["u", None, "v", " "]),
    "null-item": base(item_id=["a", "b", "", None]),
    "unparsable-time": base(timestamp=["10", "soon", "30", "later"]),
    "null-position": base(position=[0, None, 0, None]),
    "unparsable-position": base(position=["0", "first", "0", "1.5"]),
    "conflicting-position": base(position=[0, 0, 0, 0]),
}
ROWS = {
    "null-user": (1, 3),
    "null-item": (2, 3),
    "unparsable-time": (1, 3),
    "null-position": (1, 3),
    "unparsable-position": (1, 3),
    "conflicting-position": (1, 3),
}


def test_a_log_without_defects_has_no_problems() -> None:
    assert found(base(), items=ITEMS) == {}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_defect_is_found_with_its_rows_and_nothing_else(kind: str) -> None:
    assert found(PLANTED[kind], POSITIONED) == {kind: (2, ROWS[kind])}


@pytest.mark.parametrize("kind", PLANTED)
def test_dropping_a_kind_leaves_out_its_rows_and_counts_them(kind: str) -> None:
    checked = check_log(PLANTED[kind], POSITIONED, drop=[kind])
    assert checked.problems == ()
    assert checked.dropped == {kind: 2}
    assert checked.num_dropped_rows == 2
    kept = [row for row in range(4) if row not in ROWS[kind]]
    assert checked.events.equals(check_log(base(), POSITIONED).events[kept])


def test_a_null_time_is_a_problem_without_a_position_and_none_with_one() -> None:
    frame = base(timestamp=[10, None, 30, 40])
    assert found(frame, ColumnMapping(time="timestamp")) == {"null-time": (1, (1,))}
    assert found(frame, POSITIONED) == {}


def test_null_times_can_be_dropped_where_positions_would_let_them_stay() -> None:
    checked = check_log(base(timestamp=[10, None, 30, 40]), POSITIONED, drop=["null-time"])
    assert checked.dropped == {"null-time": 1}
    assert checked.events["microseconds"].to_list() == [10_000_000, 30_000_000, 40_000_000]


def test_a_row_that_repeats_an_earlier_one_is_a_duplicate_and_no_conflict_beside() -> None:
    frame = pl.concat([base(), base()[[1]], base()[[1]]])
    assert found(frame) == {"duplicate": (2, (4, 5))}
    assert check_log(frame, POSITIONED, drop=["duplicate"]).events.height == 4


def test_rows_that_differ_in_an_unmapped_column_are_no_duplicates() -> None:
    frame = pl.concat([base(), base()]).with_columns(invoice=pl.Series(range(8)))
    assert found(frame, ColumnMapping(time="timestamp")) == {}


def test_a_repeated_row_with_a_defect_of_its_own_is_told_once() -> None:
    frame = base(user_id=["u", None, "v", "v"])
    assert found(pl.concat([frame, frame[[1]]])) == {"null-user": (2, (1, 4))}


def test_duplicates_are_found_beside_columns_of_lists() -> None:
    frame = base(tags=[["x"], ["y"], None, None])
    assert found(pl.concat([frame, frame[[0]]])) == {"duplicate": (1, (4,))}


def test_an_item_without_catalogue_entry_is_found() -> None:
    assert found(base(), items=ITEMS.head(1)) == {"unknown-item": (2, (1, 3))}
    checked = check_log(base(), ColumnMapping(), ITEMS.head(1), drop=["unknown-item"])
    assert checked.events["item_id"].to_list() == ["a", "a"]


def test_a_conflict_with_a_row_that_has_its_own_defect_is_not_told() -> None:
    frame = base(position=[0, 1, 0, 0], item_id=["a", "b", "gone", "c"])
    assert found(frame, POSITIONED, ITEMS) == {"unknown-item": (1, (2,))}


def test_defects_of_the_items_table_are_found_with_its_rows() -> None:
    items = pl.DataFrame({"item_id": ["a", "b", None, "c", "a"]})
    kinds = {"null-catalogue": (1, (2,)), "duplicate-catalogue": (1, (4,))}
    assert found(base(), items=items) == kinds
    checked = check_log(base(), ColumnMapping(), items, drop=list(kinds))
    assert checked.items is not None
    assert checked.items["item_id"].to_list() == ["a", "b", "c"]
    assert checked.dropped == {"null-catalogue": 1, "duplicate-catalogue": 1}
    assert checked.num_dropped_rows == 0


def test_every_missing_column_is_told_and_cannot_be_dropped() -> None:
    mapping = ColumnMapping(
        user="who", item="what", time="when", position="where", event="e", value="v", context=("c",)
    )
    problems = check_log(
        base(), mapping, ITEMS, CatalogueMapping(item_id="asin", title="name")
    ).problems
    assert {problem.kind for problem in problems} == {"missing-column"}
    details = " ".join(problem.detail for problem in problems)
    options = ("user", "item", "time", "position", "event", "value", "context", "item-id", "title")
    assert all(f"set --{option}" in details for option in options)
    assert not any(problem.droppable for problem in problems)


def test_a_log_without_any_order_is_refused() -> None:
    problems = check_log(base().select("user_id", "item_id"), ColumnMapping()).problems
    assert [problem.kind for problem in problems] == ["missing-column"]
    assert "nothing orders the events" in problems[0].detail


@pytest.mark.parametrize("frame", [pl.DataFrame(), base().head(0)])
def test_an_empty_log_is_refused(frame: pl.DataFrame) -> None:
    assert found(frame) == {"empty": (0, ())}


def test_an_empty_items_table_is_refused() -> None:
    assert found(base(), items=ITEMS.head(0)) == {"empty": (0, ())}


def test_nothing_left_after_dropping_is_refused() -> None:
    frame = base(user_id=[None] * 4)
    problems = check_log(frame, ColumnMapping(), drop=["null-user"]).problems
    assert [problem.kind for problem in problems] == ["empty"]
    assert "no row is left" in problems[0].detail


def test_a_problem_shows_three_different_values_with_their_rows() -> None:
    times = ["soon", "soon", "1", "later", "never", "ever"]
    frame = pl.DataFrame({"user_id": ["u"] * 6, "item_id": list("abcdef"), "timestamp": times})
    [problem] = check_log(frame, ColumnMapping()).problems
    assert problem.values == ((0, "'soon'"), (3, "'later'"), (4, "'never'"))
    assert problem.rows == (0, 1, 3, 4, 5)


def test_a_problem_without_a_value_shows_the_row() -> None:
    [problem] = check_log(base(user_id=["u", None, "v", "v"]), ColumnMapping()).problems
    assert problem.examples == "user_id=None, item_id='b', timestamp=20 (row 1)"
    [problem] = check_log(pl.concat([base(), base()[[1]]]), ColumnMapping()).problems
    assert problem.examples == "user_id='u', item_id='b', timestamp=20 (row 4)"


def test_long_values_are_cut() -> None:
    [problem] = check_log(base(timestamp=["x" * 999, "1", "2", "3"]), ColumnMapping()).problems
    assert len(problem.values[0][1]) == 60


def test_all_problems_come_at_once() -> None:
    frame = pl.DataFrame(
        {
            "user_id": [None, "u", "u", "u", "u", "u"],
            "item_id": ["a", None, "gone", "a", "a", "b"],
            "timestamp": ["1", "2", "3", "soon", "5", None],
        }
    )
    frame = pl.concat([frame, frame[[4]]])
    with pytest.raises(DataError) as raised:
        import_interactions(frame, ColumnMapping(), ITEMS, name="the log")
    assert {problem.kind: problem.rows for problem in raised.value.problems} == {
        "null-user": (0,),
        "null-item": (1,),
        "unknown-item": (2,),
        "unparsable-time": (3,),
        "null-time": (5,),
        "duplicate": (6,),
    }
    assert "the log" in str(raised.value)
    assert "--drop null-user" in str(raised.value)


def test_the_first_rows_are_told_and_all_are_counted() -> None:
    frame = pl.DataFrame({"user_id": [None] * 9, "item_id": ["a"] * 9, "timestamp": range(9)})
    assert found(frame) == {"null-user": (9, (0, 1, 2, 3, 4))}


def test_a_row_with_two_defects_goes_only_when_one_of_them_is_dropped() -> None:
    frame = base(user_id=[None, "u", "v", "v"], timestamp=[None, 20, 30, 40])
    checked = check_log(frame, ColumnMapping(time="timestamp"), drop=["null-user"])
    assert [problem.kind for problem in checked.problems] == ["null-time"]
    both = check_log(frame, ColumnMapping(time="timestamp"), drop=["null-user", "null-time"])
    assert both.dropped == {"null-user": 1, "null-time": 1}
    assert both.num_dropped_rows == 1


@pytest.mark.parametrize("name", ["nonsense", "missing-column", "empty"])
def test_a_kind_that_cannot_be_dropped_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match="what can be dropped: unreadable-row, null-user"):
        check_log(base(), ColumnMapping(), drop=[name])


def test_every_kind_has_a_test_here() -> None:
    elsewhere = {"null-time", "duplicate", "unknown-item", "missing-column", "empty"}
    elsewhere |= {"null-catalogue", "duplicate-catalogue"}
    elsewhere |= {"null-like-id", "blank-around-id", "inexact-id", "implausible-time"}
    elsewhere |= {"control-character-id", "unparsable-value"}
    elsewhere |= {"unreadable-row"}  # the reader's: what reaches a frame was read
    assert {str(kind) for kind in ProblemKind} == set(PLANTED) | elsewhere


def test_positions_may_be_text_floats_or_large() -> None:
    for positions in (["0", "1", " 0", "1.0"], [0.0, 1.0, 0.0, 1.0], [0, 2**62, 0, 2**62 + 1]):
        assert found(base(position=positions), POSITIONED) == {}
    large = check_log(base(position=["0", str(2**62), "0", str(2**62 + 1)]), POSITIONED)
    assert large.events["position"].to_list() == [0, 2**62, 0, 2**62 + 1]
    assert found(base(position=[True, False, True, False]), POSITIONED) == {
        "unparsable-position": (4, (0, 1, 2, 3))
    }


def test_the_time_unit_of_the_mapping_is_used() -> None:
    mapping = ColumnMapping(time="timestamp", time_unit=TimeUnit.MILLISECONDS)
    assert check_log(base(), mapping).events["microseconds"].to_list()[:2] == [10_000, 20_000]


def test_ids_that_are_lists_are_refused() -> None:
    with pytest.raises(InputError, match="ids must be text or numbers"):
        check_log(base(user_id=[["u"]] * 4), ColumnMapping())


def test_two_columns_cannot_become_one() -> None:
    items = ITEMS.with_columns(asin=pl.col("item_id"), name=pl.col("title"))
    for mapping in (CatalogueMapping(item_id="asin"), CatalogueMapping(title="name")):
        with pytest.raises(InputError, match="has a column of that name already"):
            check_log(base(), ColumnMapping(), items, mapping)
    with pytest.raises(InputError, match="both item id and title"):
        check_log(base(), ColumnMapping(), ITEMS, CatalogueMapping(title="item_id"))
    with pytest.raises(InputError, match="must hold text"):
        lists = ITEMS.with_columns(title=pl.concat_list("title"))
        check_log(base(), ColumnMapping(), lists)
