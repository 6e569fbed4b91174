"""`genrec compare`, first on a run folder whose models are stand-ins, then on a trained one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec import artifacts
from genrec.__main__ import main
from genrec.funnel import METHODS
from tests.evaluation.stubs import (
    NUM_ITEMS,
    NUM_PEOPLE,
    all_methods,
    circle_ids,
    circle_split,
    circle_world,
)

QUICK = ["--budget-ms", "1000000", "--latency-users", "3"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose artefacts are real and whose models are stand-ins."""
    circle_world().save(tmp_path / "data", source="test")
    codes = np.arange(NUM_ITEMS).reshape(-1, 1).astype(np.uint16)
    circle_ids(codes).save(tmp_path / "semantic_ids")
    for name in ("generator", "two_tower", "ranker"):
        write_model(tmp_path, name)
    monkeypatch.setattr("genrec.funnel.load_sources", lambda _: all_methods())
    return tmp_path


def write_model(run: Path, name: str, **config: Any) -> None:
    with artifacts.writing(run / name, kind=name, config=config) as folder:
        (folder / "config.json").write_text(json.dumps({"history": 50}))


def compare(run: Path, *words: str) -> dict[str, Any]:
    main(["compare", "--run", str(run), *QUICK, *words])
    report: dict[str, Any] = json.loads((run / "report" / "report.json").read_text("utf-8"))
    return report


def refused(run: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as left:
        compare(run, *words)
    assert left.value.code == 2
    assert not (run / "report").exists()
    return capsys.readouterr().err


def test_the_report_is_written_and_its_paths_are_printed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = compare(run)
    printed = capsys.readouterr().out
    assert report["methods"]["generative"]["recall@10"] == 1.0
    assert report["history"] == 50
    assert report["semantic_ids"]["levels"][0]["used"] == NUM_ITEMS
    assert len(report["semantic_ids"]["examples"]) == 10
    assert "embeddings" in report["semantic_ids"]["not_measured"][0]
    assert report["environment"]["command"].startswith("genrec compare")
    assert str(run / "report" / "report.html") in printed
    assert "two_tower_ranked" in printed
    assert "generative is the most accurate" in printed.replace("\n", " ")
    artifacts.read(run / "report", kind="report")


def test_a_second_call_measures_nothing_and_shows_the_same(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = compare(run)
    capsys.readouterr()
    second = compare(run)
    printed = capsys.readouterr().out
    assert second == first
    assert "is up to date" in printed
    assert "two_tower_ranked" in printed


def test_another_budget_another_model_or_force_measure_anew(run: Path) -> None:
    def digest() -> str:
        return artifacts.read(run / "report", kind="report").digest

    compare(run)
    digests = [digest()]
    compare(run, "--force")
    digests.append(digest())
    compare(run, "--budget-ms", "999999")
    digests.append(digest())
    write_model(run, "ranker", note="another one")
    compare(run, "--budget-ms", "999999")
    digests.append(digest())
    assert len(set(digests)) == 4


def test_predictions_join_the_tables(run: Path, tmp_path: Path) -> None:
    target = circle_split().test.target
    path = tmp_path / "mine.parquet"
    pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in range(NUM_PEOPLE)],
            "item_id": [f"i{item}" for item in target],
            "rank": [1] * NUM_PEOPLE,
        }
    ).write_parquet(path)
    report = compare(run, "--predictions", f"mine={path}")
    assert report["methods"]["mine"]["recall@10"] == 1.0
    path.unlink()
    assert compare(run)["methods"].keys() == {*METHODS, "combined_shuffled"}


def test_predictions_are_read_by_their_own_columns(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = circle_split().test.target
    path = tmp_path / "mine.tsv"
    lines = [f"1\tu{u}\ti{item}\n" for u, item in enumerate(target)]
    path.write_text("".join(["place\twho\twhat\n", *lines]))
    words = ["--user", "who", "--item", "what", "--rank", "place"]
    assert "no column 'user_id'" in refused(run, capsys, "--predictions", f"mine={path}")
    report = compare(run, "--predictions", f"mine={path}", *words)
    assert report["methods"]["mine"]["recall@10"] == 1.0


@pytest.mark.parametrize(
    ("option", "message"),
    [("mine", "NAME=VALUE"), ("=x", "NAME=VALUE"), ("mine=nowhere.parquet", "there is no file")],
)
def test_predictions_that_cannot_be_read_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    assert message in refused(run, capsys, "--predictions", option)


def test_another_split_than_the_trained_one_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "was trained with leave-last-out" in refused(run, capsys, "--split", "global-temporal")


def test_models_of_different_splits_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(run, "generator", split="global-temporal")
    assert "not trained with one split" in refused(run, capsys)


def test_models_that_know_the_test_events_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(run, "two_tower", refit=True)
    assert "learned from all data" in refused(run, capsys)


def test_a_missing_part_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "ranker")
    assert str(run / "ranker") in refused(run, capsys)


def test_a_trained_run_is_compared_end_to_end(tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    report = compare(run)
    for name in METHODS:
        row = report["methods"][name]
        assert row["invalid"]["total"] == 0
        assert row["latency_ms"]["p99"] > 0
        assert row["within_budget"] == 1.0
    assert set(report["methods"]["two_tower_ranked"]["stage_ms"]) >= {"filter", "rank"}
    page = (run / "report" / "report.html").read_text("utf-8")
    assert "Who beats whom" in page
    ids = report["semantic_ids"]
    assert len(ids["errors"]) == len(ids["levels"]) == 3
    assert ids["vectors"]["reproduced"] > 0.95
    assert ids["co_occurrence"]["levels"][0]["ratio"] > 1
    assert "semantic-id-tree" in page
