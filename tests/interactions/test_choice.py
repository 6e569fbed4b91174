"""Kinds of events and least values choose rows; what is left out by choice is no defect."""

from __future__ import annotations

import polars as pl
import pytest

from genrec.errors import DataError, InputError
from genrec.interactions import ColumnMapping, check_log, import_interactions


def log(**columns: list[object]) -> pl.DataFrame:
    plain: dict[str, list[object]] = {
        "user_id": ["u"] * 6,
        "item_id": list("abcdef"),
        "timestamp": list(range(1, 7)),
        "kind": ["view", "buy", "cart", "view", None, "buy"],
        "stars": [1, 2, 3, 4, 5, None],
    }
    return pl.DataFrame(plain | columns, strict=False)


def kept(mapping: ColumnMapping, **columns: list[object]) -> str:
    return "".join(check_log(log(**columns), mapping).events["item_id"])


def test_only_the_chosen_kinds_of_events_stay() -> None:
    assert kept(ColumnMapping(event="kind", event_in=("buy",))) == "bf"
    assert kept(ColumnMapping(event="kind", event_in=("view", "cart"))) == "acd"
    assert kept(ColumnMapping(event="kind")) == "abcdef"


@pytest.mark.parametrize("kinds", [[1, 0] * 3, [1.0, 0.0] * 3, ["1.0", "0.0"] * 3])
def test_kinds_that_are_numbers_are_named_by_the_rule_for_ids(kinds: list[object]) -> None:
    assert kept(ColumnMapping(event="kind", event_in=("1",)), kind=kinds) == "ace"


def test_kinds_may_be_true_and_false() -> None:
    mapping = ColumnMapping(event="kind", event_in=("true",))
    assert kept(mapping, kind=[True, False, None] * 2) == "ad"


@pytest.mark.parametrize("stars", [[1, 2, 3, 4, 5, None], ["1", "2", "3.0", " 4", "5", ""]])
def test_a_least_value_keeps_rows_at_least_as_large(stars: list[object]) -> None:
    assert kept(ColumnMapping(value="stars", min_value=3), stars=stars) == "cde"
    assert kept(ColumnMapping(value="stars", min_value=3.5), stars=stars) == "de"


def test_what_is_left_out_by_choice_is_counted_once_and_is_no_drop() -> None:
    mapping = ColumnMapping(event="kind", event_in=("view", "buy"), value="stars", min_value=2)
    dataset, summary = import_interactions(log(), mapping)
    assert summary.left_out == {"kind not in view, buy": 2, "stars below 2 or empty": 2}
    assert (summary.num_rows, summary.num_events, summary.num_dropped_rows) == (6, 2, 0)
    assert dataset.extra["event"].to_list() == ["buy", "view"]


def test_defects_of_rows_that_are_not_chosen_are_none_and_rows_keep_their_numbers() -> None:
    mapping = ColumnMapping(event="kind", event_in=("buy",))
    frame = log(timestamp=["soon", "2", "3", "4", "5", "later"])
    [problem] = check_log(frame, mapping).problems
    assert (problem.rows, problem.values) == ((5,), ((5, "'later'"),))


def test_a_value_that_is_no_number_is_a_problem() -> None:
    mapping = ColumnMapping(value="stars", min_value=3)
    frame = log(stars=["1", "good", "3", "4", "5", "6"])
    with pytest.raises(DataError, match=r"unparsable-value: 1 row.*'good' \(row 1\)"):
        import_interactions(frame, mapping)
    assert import_interactions(frame, mapping, drop=["unparsable-value"])[1].num_events == 4


def test_nothing_chosen_is_told_with_what_there_is() -> None:
    [problem] = check_log(log(), ColumnMapping(event="kind", event_in=("veiw",))).problems
    assert problem.kind == "empty"
    assert "no event is veiw" in problem.detail
    assert "view 2" in problem.detail


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"event_in": ("buy",)}, "name it with --event"),
        ({"event": "kind", "event_in": ("",)}, "is empty"),
        ({"min_value": 3.0}, "name it with --value"),
        ({"value": "stars", "min_value": float("nan")}, "must be a number"),
    ],
)
def test_a_choice_without_its_column_is_refused(mapping: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ColumnMapping(**mapping)  # type: ignore[arg-type]


def test_kinds_of_events_and_values_are_told_where_nobody_chose() -> None:
    notes = check_log(log(), ColumnMapping(event="kind")).notes
    assert any("3 kinds of events (" in note and "cart 1" in note for note in notes)
    renamed = check_log(log().rename({"kind": "event_type"}), ColumnMapping()).notes
    assert any("'event_type' tells 3 kinds" in note for note in renamed)
    stars = check_log(log(stars=[1, 2, 3, 4, 5, 5]), ColumnMapping(value="stars")).notes
    assert any("'stars' goes from 1 to 5" in note for note in stars)
    chosen = ColumnMapping(event="kind", event_in=("buy",), value="stars", min_value=1)
    assert check_log(log(), chosen).notes == check_log(log().drop("kind"), ColumnMapping()).notes
