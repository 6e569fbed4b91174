"""The accuracy benchmark: how questions are asked, what a row says, a run on tiny data."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch

from benchmarks import accuracy
from benchmarks.accuracy_methods import METHODS
from benchmarks.accuracy_rows import MAIN, Rows, Variant, answer_all, figures_of
from benchmarks.accuracy_tables import summary, tables
from benchmarks.markdown import put_between_marks
from genrec.errors import InputError
from genrec.interactions import NO_ITEM, EvaluationSet, Histories, RequestBatch

QUESTIONS = EvaluationSet(
    user_index=np.array([0, 1]),
    histories=Histories.from_lists([list(range(30)), [5, 6]]),
    target=np.array([40, 7]),
    target_time=np.array([0, 0]),
)
BOTH = np.array([0, 1])


def test_a_cut_history_is_the_latest_events_and_all_that_was_seen_stays_masked() -> None:
    asked = Variant(history=20).requests(QUESTIONS, BOTH)
    assert asked.item_index[0].tolist() == list(range(10, 30))
    assert asked.item_index[1].tolist() == [5, 6] + [NO_ITEM] * 18
    permitted = asked.permitted(50)
    assert permitted is not None
    assert permitted[0].nonzero()[:, 0].tolist() == list(range(30, 50))


def test_seen_items_are_allowed_only_where_the_variant_says_so() -> None:
    assert Variant(seen_masked=False).requests(QUESTIONS, BOTH).excluded is None
    assert MAIN.requests(QUESTIONS, BOTH).item_index.shape == (2, 30)


def test_ranks_are_the_places_of_the_targets() -> None:
    ranks = answer_all(_fixed, QUESTIONS, MAIN, "fixed")["fixed"]
    assert ranks.tolist() == [1, 3]
    figures = figures_of(np.array([1, 3, 0, 7], dtype=np.uint8))
    assert (figures["recall@5"], figures["recall@10"]) == (0.5, 0.75)
    assert figures["ndcg@5"] == pytest.approx((1 + 0.5) / 4)


def test_only_histories_that_are_cut_are_asked_again() -> None:
    asked: list[int] = []

    def answer(requests: RequestBatch) -> dict[str, torch.Tensor]:
        asked.extend((requests.item_index != NO_ITEM).sum(1).tolist())
        return _fixed(requests)

    uncut = {"fixed": np.array([8, 9], dtype=np.uint8)}
    ranks = answer_all(answer, QUESTIONS, Variant(history=20), "fixed", uncut)["fixed"]
    assert asked == [20]  # events: those of the first person
    assert ranks.tolist() == [1, 9]
    assert uncut["fixed"].tolist() == [8, 9]


def _fixed(requests: RequestBatch) -> dict[str, torch.Tensor]:
    """The same list for each of QUESTIONS' people, whoever else is asked."""
    is_second = (requests.item_index[:, 0] == 5).long()
    return {"fixed": torch.tensor([[40, 1, 2], [1, 2, 7]])[is_second]}


IDENTITY = {
    "dataset": "d",
    "split": "leave-last-out",
    "method": "m",
    "seed": 0,
    "part": "test",
    "history": 50,
    "seen_masked": True,
}


def add_row(rows: Rows, seed: int, recall: float) -> None:
    rows.add({**IDENTITY, "seed": seed, "recall@10": recall}, np.array([1], dtype=np.uint8))


def test_a_row_that_is_measured_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.json")
    for recall in (0.1, 0.2):
        add_row(rows, 0, recall)
    again = Rows(tmp_path / "rows.json")
    assert [row["recall@10"] for row in again.rows] == [0.2]
    assert [ranks.tolist() for ranks in again.ranks.values()] == [[1]]


def test_programs_that_end_together_keep_each_others_rows(tmp_path: Path) -> None:
    writers = [
        threading.Thread(target=add_row, args=(Rows(tmp_path / "rows.json"), seed, 0.1))
        for seed in range(8)
    ]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    rows = Rows(tmp_path / "rows.json")
    assert [row["seed"] for row in rows.rows] == list(range(8))
    assert len(rows.ranks) == 8


def test_a_writer_that_dies_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(stream: BinaryIO, **_: object) -> None:
        stream.write(b"half a f")
        raise KeyboardInterrupt

    rows = Rows(tmp_path / "rows.json")
    add_row(rows, 0, 0.1)
    monkeypatch.setattr("benchmarks.results.np.savez_compressed", dies)
    with pytest.raises(KeyboardInterrupt):
        add_row(rows, 1, 0.2)
    monkeypatch.undo()
    again = Rows(tmp_path / "rows.json")
    assert [row["seed"] for row in again.rows] == [0]
    assert len(again.ranks) == 1


@pytest.mark.parametrize(
    "methods",
    [
        ("generator", "transitions", "popularity"),
        pytest.param(METHODS, marks=pytest.mark.slow),
    ],
    ids=["some", "all"],
)
def test_methods_make_their_rows_and_the_tables_show_them(
    methods: tuple[str, ...],
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.accuracy_methods.GENERATOR_EPOCHS", 2)
    out = tmp_path / "accuracy.json"
    for method in methods:
        options = ["--run", str(tiny_run), "--method", method, "--everything"]
        accuracy.main(["train", *options, "--out", str(out), "--work", str(tmp_path / "work")])
    found = json.loads(out.read_text())["rows"]
    names = {row["method"] for row in found}
    assert names == {*methods, "generative", "dense", "combined"} - {"generator"}
    assert {row["part"] for row in found} == {"validation", "test"}
    for row in found:
        low, high = row["recall@10_ci95"]
        assert 0 <= low <= row["recall@10"] <= high <= 1
    by_name = {row["method"]: row["recall@10"] for row in found if row["part"] == "test"}
    assert by_name["transitions"] > 0.8 > by_name["popularity"]  # items stand in chains
    capsys.readouterr()
    accuracy.main(["tables", "--out", str(out)])
    shown = capsys.readouterr().out
    assert all(f"`{name}`" in shown for name in names)
    assert tables(Rows(out)).strip() == shown.strip()


def test_a_method_that_does_not_exist_is_refused(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        accuracy.main(
            [
                "train",
                "--run",
                str(tiny_run),
                "--method",
                "oracle",
                "--out",
                str(tmp_path / "o.json"),
            ]
        )
    assert "--method must be one of generator" in capsys.readouterr().err


def test_tables_are_put_between_their_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    for text in ("| a |", "| b |"):
        put_between_marks(page, "figures", text)
    expected = "before\n<!-- figures -->\n\n| b |\n\n<!-- end of figures -->\nafter\n"
    assert page.read_text() == expected
    with pytest.raises(InputError, match="has no lines <!-- other -->"):
        put_between_marks(page, "other", "text")


def test_the_summary_sets_all_data_sets_side_by_side_with_what_others_reported(
    tmp_path: Path,
) -> None:
    rows = Rows(tmp_path / "rows.json")
    for dataset, seed, ranks in (("amazon-beauty", 0, [1, 0]), ("amazon-beauty", 1, [1, 1])):
        identity = {"dataset": dataset, "split": "leave-last-out", "method": "m", "seed": seed}
        asked = {"part": "test", "history": 50, "seen_masked": True}
        found = np.array(ranks, dtype=np.uint8)
        rows.add(identity | asked | figures_of(found), found)
    first = summary(rows).splitlines()[2]
    assert first.startswith("| `m` | 0.7500 (")
    assert first.endswith("/ 0.7500, 2 seeds | – | – |")
    assert "*TIGER, the paper* | .0648 / .0384 | .0400 / .0225 | .0712 / .0432 |" in summary(rows)
