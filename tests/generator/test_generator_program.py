"""`genrec train generator`: what it refuses before it trains."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from genrec.__main__ import main
from genrec.generator import load_fit_result


def test_ids_that_learnt_from_another_split_are_refused(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "generator", "--run", str(tiny_run), "--split", "global-temporal"])
    message = capsys.readouterr().err
    assert "learnt from the training part of leave-last-out" in message
    assert "genrec tokenize --split global-temporal" in message


def test_a_streamed_training_says_how_fast_it_was_and_leaves_no_shards(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    command = ["train", "generator", "--run", str(run), "--epochs", "2", "--stream"]
    main(command)
    said = capsys.readouterr().out
    assert "items/s" in said
    assert "padding" in said
    result = load_fit_result(run / "generator")
    assert result.items_per_second > 0
    assert 0 <= result.padding_waste < 0.5
    assert result.best_metrics["ndcg@10"] > 0
    assert not (run / "work" / "generator" / "shards").exists()
    main(command)
    assert "up to date" in capsys.readouterr().out


def test_a_precision_that_the_device_lacks_is_refused(
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("genrec.training.precision.has_bf16", lambda device: False)
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    with pytest.raises(SystemExit, match="2"):
        main(["train", "generator", "--run", str(run), "--precision", "bf16"])
    assert "train with precision fp32" in capsys.readouterr().err
