"""The whole way on a small log: every program in turn, as `genrec demo` runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec import artifacts
from genrec.__main__ import main

NUM_USERS, NUM_ITEMS, NUM_EVENTS = 120, 60, 12


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which everybody walks through the catalogue in the same direction."""
    folder = tmp_path_factory.mktemp("log")
    starts = np.random.default_rng(0).integers(NUM_ITEMS, size=NUM_USERS)
    items = (starts[:, None] + np.arange(NUM_EVENTS)) % NUM_ITEMS
    pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(NUM_USERS), NUM_EVENTS),
            "item_id": items.ravel(),
            "timestamp": np.tile(np.arange(NUM_EVENTS) * 3600, NUM_USERS) + 1_600_000_000,
        }
    ).cast({"user_id": pl.String, "item_id": pl.String}).write_parquet(
        folder / "interactions.parquet"
    )
    pl.DataFrame(
        {
            "item_id": [str(item) for item in range(NUM_ITEMS)],
            "title": [f"step {item} of the walk" for item in range(NUM_ITEMS)],
        }
    ).write_parquet(folder / "items.parquet")
    return folder


@pytest.fixture(scope="module")
def run_folder(log_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "walk"
    main(["demo", "--data", str(log_folder), "--out", str(run)])
    return run


@pytest.mark.slow
def test_the_demo_ends_with_a_report_on_every_method(run_folder: Path) -> None:
    report = json.loads((run_folder / "report" / "report.json").read_text())
    assert set(report["methods"]) >= {
        "generative",
        "dense",
        "combined",
        "two_tower",
        "two_tower_ranked",
        "popularity",
    }
    assert (run_folder / "report" / "report.html").stat().st_size > 0


@pytest.mark.slow
def test_a_second_demo_finds_everything_up_to_date(
    run_folder: Path, log_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = ("data", "embeddings", "semantic_ids", "generator", "two_tower", "ranker")
    before = {name: (run_folder / name / "manifest.json").read_bytes() for name in parts}
    main(["demo", "--data", str(log_folder), "--out", str(run_folder)])
    assert {name: (run_folder / name / "manifest.json").read_bytes() for name in parts} == before
    assert capfd.readouterr().out.count("up to date") >= len(parts)


@pytest.mark.slow
def test_a_folder_of_genrec_data_is_taken_over_as_it_is(run_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "other"
    target.mkdir()
    (target / "embeddings").write_text("in the way, so that the steps behind the data stop here")
    with pytest.raises(SystemExit):
        main(["demo", "--data", str(run_folder / "data"), "--out", str(target)])
    copied = artifacts.read(target / "data", kind="data")
    assert copied.digest == artifacts.read(run_folder / "data", kind="data").digest


@pytest.mark.slow
def test_an_altered_folder_of_genrec_data_is_refused(run_folder: Path, tmp_path: Path) -> None:
    data, target = tmp_path / "data", tmp_path / "other"
    shutil.copytree(run_folder / "data", data)
    (data / "items.parquet").write_bytes(b"altered")
    with pytest.raises(SystemExit):
        main(["demo", "--data", str(data), "--out", str(target)])
    assert not (target / "data").exists()
