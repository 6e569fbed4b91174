"""`genrec train generator`: what it refuses before it trains, and what it shows and leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from genrec import artifacts
from genrec.__main__ import main
from genrec.generator import load_fit_result, load_generator


def test_ids_that_learnt_from_another_split_are_refused(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "generator", "--run", str(tiny_run), "--split", "global-temporal"])
    message = capsys.readouterr().err
    assert "learnt from the training part of leave-last-out" in message
    assert "genrec tokenize --split global-temporal" in message


def test_a_training_shows_its_curve_and_leaves_a_card(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    main(["train", "generator", "--run", str(run), "--epochs", "2"])
    printed = capsys.readouterr()
    result = load_fit_result(run / "generator")
    assert "generator: epoch 1, loss" in printed.err
    assert "generator: epoch 2, loss" in printed.err
    [best] = [line for line in printed.out.splitlines() if " best " in line and "█" in line]
    assert best.split()[1] == str(result.best_epoch)
    assert f"best after {result.best_epoch} of 2 epochs" in printed.out
    card = load_generator(run / "generator").card
    assert card is not None
    assert "# genrec generator, planted chains" in card
    assert "On 150 validation questions" in card
    for name in ("data", "embeddings", "semantic_ids"):
        assert f"| {name} | `{artifacts.read(run / name, kind=name).digest}` |" in card


def test_a_refit_says_that_nothing_was_held_back(tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    main(["train", "generator", "--run", str(run), "--refit", "--epochs", "1"])
    card = load_generator(run / "refit" / "generator").card
    assert card is not None
    assert "nothing was held back" in card
    assert "## Figures\n\nNone was measured" in card
