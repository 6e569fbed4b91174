"""What orders is said, and so is what contradicts it."""

from __future__ import annotations

import polars as pl
import pytest

from genrec.interactions import ColumnMapping, check_log, import_interactions

BOTH = ColumnMapping(time="timestamp", position="position")


def log(times: list[object], positions: list[int] | None = None) -> pl.DataFrame:
    """One user, items a, b, c, … in the order of the rows."""
    items = list("abcdefghij")[: len(times)]
    frame = pl.DataFrame({"user_id": ["u"] * len(times), "item_id": items, "timestamp": times})
    return frame if positions is None else frame.with_columns(position=pl.Series(positions))


def notes(frame: pl.DataFrame, mapping: ColumnMapping | None = None) -> str:
    return " | ".join(check_log(frame, mapping or ColumnMapping()).notes)


T = 1_600_000_000


def test_a_slot_called_position_orders_nothing_beside_a_time_and_is_mentioned() -> None:
    frame = log([T, T + 1, T + 2], [5, 3, 3])
    dataset, summary = import_interactions(frame)
    assert dataset.catalogue.ids(dataset.histories.items_of(0)) == ["a", "b", "c"]
    assert any("say --position position" in note for note in summary.notes)
    assert "position" not in notes(log([T, T + 1]))


def test_a_null_time_beside_a_position_names_the_way_in() -> None:
    [problem] = check_log(log([T, None, T + 2], [0, 1, 2]), ColumnMapping()).problems
    assert problem.kind == "null-time"
    assert "--position position" in problem.detail
    assert check_log(log([T, None, T + 2], [0, 1, 2]), BOTH).problems == ()


def test_a_log_with_positions_alone_says_that_they_order() -> None:
    assert "'position' orders" in notes(log([T, T], [1, 0]).drop("timestamp"))


@pytest.mark.parametrize(
    ("positions", "share"),
    [([0, 1, 2, 3], None), ([0, 2, 1, 3], "33.3%"), ([3, 2, 1, 0], "100.0%")],
)
def test_the_share_of_pairs_in_which_time_contradicts_the_position_is_told(
    positions: list[int], share: str | None
) -> None:
    told = notes(log([T, T + 1, T + 2, T + 3], positions), BOTH)
    assert ("contradicts" in told) == (share is not None)
    assert share is None or share in told


def test_pairs_of_different_people_contradict_nothing() -> None:
    frame = pl.concat([log([T + 9], [0]), log([T], [1]).with_columns(user_id=pl.lit("v"))])
    assert "contradicts" not in notes(frame, BOTH)


def test_a_file_from_new_to_old_with_ties_is_told_and_one_without_ties_is_not() -> None:
    days = ["2024-01-03", "2024-01-03", "2024-01-02", "2024-01-02", "2024-01-01"]
    assert "from new to old" in notes(log(list(days)))
    assert "from new to old" not in notes(log(list(reversed(days))))
    assert "from new to old" not in notes(log([T + 2, T + 1, T]))


def test_numbers_that_only_order_are_told() -> None:
    assert "too small for dates" in notes(log([1, 2, 3]))
    assert "too small for dates" not in notes(log([T]))


@pytest.mark.parametrize(
    ("times", "share"), [([T], 0.0), ([T, T + 1], 0.0), ([T, T, T + 1], 0.5), ([T] * 4, 1.0)]
)
def test_the_share_of_ties_is_measured_within_a_person(times: list[object], share: float) -> None:
    frame = pl.concat([log(times), log([T]).with_columns(user_id=pl.lit("v"))])
    assert import_interactions(frame)[1].tied_share == share


def test_ties_finer_than_a_second_are_none() -> None:
    assert import_interactions(log([T * 1000 + 1, T * 1000 + 2]))[1].tied_share == 0.0


def test_times_in_floats_of_32_bits_are_told() -> None:
    frame = log([T, T + 200])
    assert "32 bits" in notes(frame.with_columns(pl.col("timestamp").cast(pl.Float32)))
    assert "32 bits" not in notes(frame)
