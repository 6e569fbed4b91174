"""Lists of other models: judged like any other, and every kind of defect refused at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.errors import DataError, InputError
from genrec.evaluation import (
    EvaluationTask,
    PredictedLists,
    PredictionReading,
    load_predictions,
    recall_at,
)
from genrec.interactions import Repeats, TableFormat
from tests.evaluation.stubs import NUM_ITEMS, NUM_PEOPLE, circle_split, circle_world

TASK = EvaluationTask(questions=circle_split().test, num_items=NUM_ITEMS, repeats=Repeats.MASK)


def write(folder: Path, rows: list[tuple[str | None, str | None, int]]) -> Path:
    schema = {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int64}
    path = folder / "lists.parquet"
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(path)
    return path


def load(path: Path) -> PredictedLists:
    return load_predictions(path, "mine", circle_world(), TASK)


def right_answers() -> list[tuple[str | None, str | None, int]]:
    return [(f"u{u}", f"i{TASK.questions.target[u]}", 1) for u in range(NUM_PEOPLE)]


def test_right_answers_have_recall_one(tmp_path: Path) -> None:
    found = load(write(tmp_path, right_answers()))
    assert recall_at(found.lists.ranks, 1).mean() == 1.0
    assert found.lists.faults.total == 0
    assert (found.num_missing_users, found.num_other_users) == (0, 0)
    assert found.lists.name == "mine"


def test_the_order_of_the_rows_means_nothing(tmp_path: Path) -> None:
    rows = [*right_answers(), ("u0", "i20", 2)]
    forward = load(write(tmp_path, rows)).lists.items
    backward = load(write(tmp_path, rows[::-1])).lists.items
    assert np.array_equal(forward, backward)


def test_people_without_a_list_count_as_misses_and_are_counted(tmp_path: Path) -> None:
    found = load(write(tmp_path, right_answers()[:10]))
    assert found.num_missing_users == NUM_PEOPLE - 10
    assert recall_at(found.lists.ranks, 10).mean() == 10 / NUM_PEOPLE
    assert found.lists.faults.total == 0


def test_an_empty_file_finds_nothing(tmp_path: Path) -> None:
    found = load(write(tmp_path, []))
    assert found.num_missing_users == NUM_PEOPLE
    assert recall_at(found.lists.ranks, 10).sum() == 0


def test_ranks_beyond_ten_are_not_looked_at(tmp_path: Path) -> None:
    rows = [(user, item, 11) for user, item, _ in right_answers()]
    found = load(write(tmp_path, rows))
    assert recall_at(found.lists.ranks, 10).sum() == 0
    assert found.num_missing_users == 0


def test_people_who_are_not_tested_are_counted(tmp_path: Path) -> None:
    half = TASK.select(np.arange(20))
    path = write(tmp_path, right_answers())
    found = load_predictions(path, "mine", circle_world(), half)
    assert found.num_other_users == 20
    assert recall_at(found.lists.ranks, 1).mean() == 1.0


def test_items_the_person_has_had_are_counted_as_not_permitted(tmp_path: Path) -> None:
    found = load(write(tmp_path, [("u0", "i0", 1), ("u0", "i20", 2)]))
    assert found.lists.faults.not_permitted == 1


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([("nobody", "i1", 1)], "unknown-user"),
        ([("u0", "nothing", 1)], "unknown-item"),
        ([("u0", "i1", 1), ("u0", "i2", 1)], "duplicate-rank"),
        ([("u0", "i1", 1), ("u0", "i1", 2)], "duplicate-item"),
        ([("u0", "i1", 0)], "rank"),
        ([(None, "i1", 1)], "null"),
        ([("u0", None, 1)], "null"),
    ],
)
def test_each_defect_is_refused_by_its_name(
    tmp_path: Path, rows: list[tuple[str | None, str | None, int]], kind: str
) -> None:
    with pytest.raises(DataError) as refused:
        load(write(tmp_path, rows))
    assert [problem.kind for problem in refused.value.problems] == [kind]


def test_all_defects_are_told_at_once_with_their_rows(tmp_path: Path) -> None:
    rows: list[tuple[str | None, str | None, int]]
    rows = [("u0", "i1", 1), ("x", "i1", 1), ("u1", "y", 1), ("z", "i2", 1)]
    with pytest.raises(DataError) as refused:
        load(write(tmp_path, rows))
    found = {problem.kind: (problem.count, problem.rows) for problem in refused.value.problems}
    assert found == {"unknown-user": (2, (1, 3)), "unknown-item": (1, (2,))}


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": ["u0"], "item": ["i1"]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="no-item_id"):
        load(tmp_path / "x.parquet")


def test_a_rank_that_is_no_integer_is_refused(tmp_path: Path) -> None:
    table = pl.DataFrame({"user_id": ["u0"], "item_id": ["i1"], "rank": [1.5]})
    table.write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="integer"):
        load(tmp_path / "x.parquet")


def test_a_file_that_is_not_there_or_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        load(tmp_path / "nothing.parquet")
    (tmp_path / "text.parquet").write_text("not a table")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        load(tmp_path / "text.parquet")


def test_predictions_are_read_from_any_kind_of_table(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user_id": ["u0"], "item_id": ["i1"], "rank": [1]})
    rows.write_parquet(tmp_path / "x.parquet")
    rows.write_csv(tmp_path / "x.csv")
    rows.write_ndjson(tmp_path / "x.jsonl")
    expected = load(tmp_path / "x.parquet")
    for name in ("x.csv", "x.jsonl"):
        assert load(tmp_path / name).num_missing_users == expected.num_missing_users
        assert load(tmp_path / name).num_other_users == 0


def test_columns_and_text_are_read_as_they_are_said(tmp_path: Path) -> None:
    lines = [f"{user};{item};{rank}.0" for user, item, rank in right_answers()]
    path = tmp_path / "lists.csv"
    path.write_text("\n".join(lines) + "\n")
    reading = PredictionReading(
        user="who",
        item="what",
        rank="place",
        table_format=TableFormat(has_header=False, columns=("who", "what", "place")),
    )
    found = load_predictions(path, "mine", circle_world(), TASK, reading)
    assert recall_at(found.lists.ranks, 1).mean() == 1.0


def test_a_missing_column_names_the_option(tmp_path: Path) -> None:
    path = write(tmp_path, right_answers())
    reading = PredictionReading(rank="place")
    with pytest.raises(DataError, match=r"no column 'place'.* set --rank"):
        load_predictions(path, "mine", circle_world(), TASK, reading)


def test_one_column_cannot_mean_two_things() -> None:
    with pytest.raises(InputError, match="three columns"):
        PredictionReading(user="a", item="a").names  # noqa: B018


def test_a_defect_shows_the_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"user_id=nobody item_id=i1 rank=1 \(row 0\)"):
        load(write(tmp_path, [("nobody", "i1", 1)]))
