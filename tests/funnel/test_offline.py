"""A whole file is answered, in parts, and a killed run goes on where it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from genrec.errors import BusyError, DataError, InputError
from genrec.funnel import HistoryReading, Recommender, recommend_file
from genrec.funnel.offline import read_questions
from genrec.interactions import (
    Catalogue,
    ColumnMapping,
    Histories,
    InteractionDataset,
    Recommendations,
    Repeats,
    RequestBatch,
    TableFormat,
)
from tests.funnel.stubs import NUM_ITEMS, FakeClock, StubSource


class MortalSource(StubSource):
    """Counts the people it answered, and is killed after so many batches."""

    people = 0
    lives: int | None = None

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        if self.lives is not None:
            if not self.lives:
                raise KeyboardInterrupt
            self.lives -= 1
        self.people += len(requests)
        return super().recommend(requests, k)


@pytest.fixture
def source() -> MortalSource:
    return MortalSource("combined", FakeClock(), 0.0)


@pytest.fixture
def recommender(source: MortalSource) -> Recommender:
    dataset = InteractionDataset(
        name="small",
        catalogue=Catalogue(pl.DataFrame({"item_id": [str(i) for i in range(NUM_ITEMS)]})),
        user_ids=["ann"],
        histories=Histories.from_lists([[0]]),
        repeats=Repeats.MASK,
        extra=pl.DataFrame(),
    )
    others = ("two_tower", "two_tower_ranked", "popularity")
    stubs = {name: StubSource(name, FakeClock(), 0.0) for name in others}
    recommender = Recommender(dataset, {"combined": source, **stubs})
    recommender.digests = {"generator": "one"}  # as `load` names what it has loaded
    return recommender


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Seven people; person i has had items i and 7, told in the wrong order of rows."""
    rows = [(f"u{i}", str(item), place) for i in range(7) for place, item in ((1, 7), (0, i))]
    path = tmp_path / "histories.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "position"], orient="row").write_csv(path)
    return path


def test_everybody_gets_a_list_in_the_order_of_the_file(
    recommender: Recommender, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    report = recommend_file(recommender, file, out, k=2, batch_size=2, batches_per_part=1)
    assert (report.num_users, report.num_rows, report.num_resumed) == (7, 14, 0)
    table = pl.read_parquet(out)
    assert table.columns == ["user_id", "item_id", "rank", "score", "served_by"]
    assert table["user_id"].unique(maintain_order=True).to_list() == [f"u{i}" for i in range(7)]
    assert table.filter(pl.col("user_id") == "u6")["item_id"].to_list() == ["5", "4"]
    assert table["rank"].to_list() == [1, 2] * 7
    assert sorted(each.name for each in tmp_path.iterdir()) == ["histories.csv", "out.parquet"]


def test_a_killed_run_goes_on_and_gives_the_same(
    recommender: Recommender, source: MortalSource, file: Path, tmp_path: Path
) -> None:
    whole, resumed = tmp_path / "whole.parquet", tmp_path / "resumed.parquet"
    recommend_file(recommender, file, whole, k=2, batch_size=1, batches_per_part=2)
    source.people, source.lives = 0, 5
    with pytest.raises(KeyboardInterrupt):
        recommend_file(recommender, file, resumed, k=2, batch_size=1, batches_per_part=2)
    assert not resumed.exists()
    source.people, source.lives = 0, None
    report = recommend_file(recommender, file, resumed, k=2, batch_size=1, batches_per_part=2)
    assert report.num_resumed == 4
    assert source.people == 3
    assert pl.read_parquet(resumed).equals(pl.read_parquet(whole))


def test_parts_of_another_job_are_not_used(
    recommender: Recommender, source: MortalSource, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    source.lives = 5
    with pytest.raises(KeyboardInterrupt):
        recommend_file(recommender, file, out, k=2, batch_size=1, batches_per_part=2)
    source.lives = None
    report = recommend_file(recommender, file, out, k=3, batch_size=1, batches_per_part=2)
    assert (report.num_resumed, report.num_rows) == (0, 21)


def test_a_finished_file_is_not_made_again_unless_something_changed(
    recommender: Recommender, source: MortalSource, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    recommend_file(recommender, file, out, k=2)
    source.people = 0
    assert recommend_file(recommender, file, out, k=2).up_to_date
    assert source.people == 0
    assert not recommend_file(recommender.using(repeats="allow"), file, out, k=2).up_to_date


def test_models_without_a_name_answer_anew(
    recommender: Recommender, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    recommender.digests = {}  # made of sources, not of a run
    assert recommend_file(recommender, file, out, k=2).num_rows
    assert not recommend_file(recommender, file, out, k=2).up_to_date


def test_a_file_that_genrec_did_not_write_is_never_replaced(
    recommender: Recommender, file: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.parquet"
    pl.read_csv(file).write_parquet(mine)
    before = mine.read_bytes()
    with pytest.raises(InputError, match="was not written by genrec"):
        recommend_file(recommender, mine, mine, k=2)
    assert mine.read_bytes() == before
    half = tmp_path / "half.parquet"
    half.write_bytes(b"half a fi")
    with pytest.raises(InputError, match="remove the file"):
        recommend_file(recommender, file, half, k=2)


def test_a_part_that_was_altered_is_made_again(
    recommender: Recommender, source: MortalSource, file: Path, tmp_path: Path
) -> None:
    whole, resumed = tmp_path / "whole.parquet", tmp_path / "resumed.parquet"
    recommend_file(recommender, file, whole, k=2, batch_size=1, batches_per_part=2)
    source.people, source.lives = 0, 5
    with pytest.raises(KeyboardInterrupt):
        recommend_file(recommender, file, resumed, k=2, batch_size=1, batches_per_part=2)
    source.lives = None
    first, second = sorted(tmp_path.glob(".resumed.parquet.*.parts/part-*"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:10])
    report = recommend_file(recommender, file, resumed, k=2, batch_size=1, batches_per_part=2)
    assert report.num_resumed == 0
    assert pl.read_parquet(resumed).equals(pl.read_parquet(whole))
    assert sorted(each.suffix for each in tmp_path.iterdir()) == [".csv", ".parquet", ".parquet"]


def test_parts_that_a_kill_left_are_removed_when_the_file_is_there(
    recommender: Recommender, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, longer = tmp_path / "out.parquet", tmp_path / ".out.parquet.b.parquet.parts"
    longer.mkdir()  # of another output, whose name begins alike
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        recommend_file(recommender, file, out, k=2)
    assert len(list(tmp_path.glob(".*.parts"))) == 2
    assert recommend_file(recommender, file, out, k=2).up_to_date
    assert recommend_file(recommender, file, out, k=3).num_rows
    assert list(tmp_path.glob(".*.parts")) == [longer]


def test_two_jobs_with_one_output_are_one_job_and_one_message(
    recommender: Recommender, file: Path, tmp_path: Path
) -> None:
    program = (
        "import sys; from genrec import artifacts\n"
        "with artifacts.claim(sys.argv[1]): print('claimed', flush=True); sys.stdin.read()"
    )
    out = tmp_path / "out.parquet"
    command = [sys.executable, "-c", program, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"claimed\n"
        with pytest.raises(BusyError, match=r"another process is writing .*out\.parquet"):
            recommend_file(recommender, file, out, k=2)
    assert recommend_file(recommender, file, out, k=2).num_rows == 14


def test_rows_without_a_position_go_by_time(tmp_path: Path) -> None:
    path = tmp_path / "histories.parquet"
    rows = [("b", "2", 9), ("a", "1", 5), ("b", "3", 1), ("a", "0", 5)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(path)
    asked = [(question.user_id, list(question.history or [])) for question in read_questions(path)]
    assert asked == [("b", ["3", "2"]), ("a", ["1", "0"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,item_id\na,1\n", "position"),
        ("user_id,position\na,1\n", "item_id"),
        ("user_id,item_id,position\na,,1\n", "null"),
        ("user_id,item_id,position\n", "no rows"),
        ("user_id,item_id,position\na,1,1\nb\n", "line 3: has 1 field"),
    ],
)
def test_a_defective_file_is_refused_with_its_defects(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "histories.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as refused:
        read_questions(path)
    assert str(path) in str(refused.value)


def test_a_position_beside_a_time_orders_histories_only_where_it_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "people.csv"
    path.write_text("user_id,item_id,position,timestamp\nx,1 ,2,1600000000\nx,2,1,1600000001\n")
    [asked] = read_questions(path, HistoryReading(strip=True))
    assert list(asked.history or []) == ["1", "2"]
    assert "say --position position" in caplog.text
    mapping = ColumnMapping(position="position")
    [asked] = read_questions(path, HistoryReading(mapping=mapping, strip=True))
    assert list(asked.history or []) == ["2", "1"]


def test_columns_are_named_and_defects_dropped_as_at_import(
    recommender: Recommender, tmp_path: Path
) -> None:
    path, out = tmp_path / "people.csv", tmp_path / "out.parquet"
    path.write_text("customer;sku;bought\nx;1;2024-01-02\nx;0;2024-01-01\nx;;2024-01-03\n")
    mapping = ColumnMapping(user="customer", item="sku", time="bought")
    table_format = TableFormat(separator=";")
    reading = HistoryReading(mapping=mapping, table_format=table_format, drop=("null-item",))
    asked = [(each.user_id, list(each.history or [])) for each in read_questions(path, reading)]
    assert asked == [("x", ["0", "1"])]
    assert not recommend_file(recommender, path, out, reading=reading).up_to_date
    assert recommend_file(recommender, path, out, reading=reading).up_to_date


def test_equal_rows_of_a_history_stay_where_they_are_meant_so(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("user_id,item_id,timestamp\nx,1,2024-01-01\nx,1,2024-01-01\n")
    with pytest.raises(DataError, match="duplicate"):
        read_questions(path)
    [asked] = read_questions(path, HistoryReading(keep=("duplicate",)))
    assert list(asked.history or []) == ["1", "1"]


def test_ids_that_are_unknown_are_counted_also_where_nothing_is_done_again(
    recommender: Recommender, tmp_path: Path
) -> None:
    path, out = tmp_path / "people.csv", tmp_path / "out.parquet"
    path.write_text("user_id,item_id,position\nx,1,0\nx,zzz,1\ny,qqq,0\n")
    for up_to_date in (False, True):
        report = recommend_file(recommender, path, out)
        assert report.up_to_date is up_to_date
        assert (report.num_unknown_items, report.num_unknown_histories) == (2, 1)


def test_a_missing_file_and_a_wrong_ending_are_refused(
    recommender: Recommender, file: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError):
        recommend_file(recommender, tmp_path / "none.csv", tmp_path / "out.parquet")
    with pytest.raises(InputError, match=r"\.parquet"):
        recommend_file(recommender, file, tmp_path / "out.csv")


def test_a_method_that_fails_is_not_replaced_by_another_in_a_file(
    recommender: Recommender,
    source: MortalSource,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> Recommendations:
        raise RuntimeError("out of order")

    out = tmp_path / "lists.parquet"
    monkeypatch.setattr(source, "recommend", fail)
    with pytest.raises(RuntimeError, match="out of order"):
        recommend_file(recommender, file, out)
    assert not out.exists()
    monkeypatch.undo()
    recommend_file(recommender, file, out)
    assert set(pl.read_parquet(out)["served_by"]) == {"combined"}
