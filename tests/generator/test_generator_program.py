"""`genrec train generator`: what it refuses before it trains, and what it shows and leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genrec import artifacts
from genrec.__main__ import main
from genrec.generator import load_fit_result, load_generator

ROOT = Path(__file__).parents[2]


def test_ids_that_learnt_from_another_split_are_refused(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "generator", "--run", str(tiny_run), "--split", "global-temporal"])
    message = capsys.readouterr().err
    assert "learnt from the training part of leave-last-out" in message
    assert "make it anew with --split global-temporal" in message


def test_a_retriever_that_learnt_from_another_split_is_no_source_of_the_ranker(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "ranker", "--run", str(tiny_run), "--split", "global-temporal"])
    assert "two_tower learnt from the training part of leave-last-out" in capsys.readouterr().err


def test_a_training_shows_its_curve_and_leaves_a_card(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    main(["train", "generator", "--run", str(run), "--epochs", "2", "--force"])
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


def test_a_model_with_other_settings_is_replaced_only_by_force(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = artifacts.read(tiny_run / "generator", kind="generator").digest
    with pytest.raises(SystemExit, match="2"):
        main(["train", "generator", "--run", str(tiny_run), "--epochs", "2"])
    message = capsys.readouterr().err
    assert "num_epochs: " in message
    assert " -> 2" in message
    assert "--force" in message
    assert artifacts.read(tiny_run / "generator", kind="generator").digest == before


def test_a_refit_says_that_nothing_was_held_back(tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    main(["train", "generator", "--run", str(run), "--refit", "--epochs", "1"])
    card = load_generator(run / "refit" / "generator").card
    assert card is not None
    assert "nothing was held back" in card
    assert "## Figures\n\nNone was measured" in card


def test_a_streamed_training_says_how_fast_it_was_and_leaves_no_shards(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    command = ["train", "generator", "--run", str(run), "--epochs", "2", "--stream"]
    main([*command, "--force"])
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
        main(["train", "generator", "--run", str(run), "--precision", "bf16", "--force"])
    assert "train with precision fp32" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("program", ["generator", "two_tower"])
def test_two_processes_train_one_model_and_one_of_them_says_so(
    tiny_run: Path, tmp_path: Path, program: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0"]
    config = str(ROOT / "train" / "configs" / "ddp_cpu.yaml")
    options = ["--run", str(run), "--epochs", "2", "--force"]
    command = [*launch, "--config_file", config, "-m", f"train.{program}", *options]
    if program == "generator":
        command.append("--stream")
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("items/s") == 1
    losses = [line for line in done.stderr.splitlines() if "items_per_second" in line]
    assert len(losses) == 2  # one an epoch, of one process
