"""A checkpoint goes with the training it belongs to, whenever that is killed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from genrec import artifacts
from genrec.training import discard_checkpoint, discard_finished_checkpoint


def write(path: Path, time: int) -> None:
    """An artefact that was written at this time."""
    with artifacts.writing(path, kind="thing", config={}) as folder:
        (folder / "weights").write_text("weights")
    os.utime(path / artifacts.MANIFEST_NAME, (time, time))


def test_a_kill_while_a_checkpoint_is_discarded_blocks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object, **__: object) -> None:
        raise SystemExit

    write(tmp_path / "work" / "checkpoint", 1)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", kill)
        with pytest.raises(SystemExit):
            discard_checkpoint(tmp_path / "work")
    assert len(list((tmp_path / "work").iterdir())) == 1
    assert not (tmp_path / "work" / "checkpoint").exists()
    discard_checkpoint(tmp_path / "work")
    assert not list((tmp_path / "work").iterdir())
    write(tmp_path / "work" / "checkpoint", 1)


def test_only_a_checkpoint_older_than_the_result_is_of_the_finished_training(
    tmp_path: Path,
) -> None:
    write(tmp_path / "result", 2)
    write(tmp_path / "work" / "checkpoint", 3)
    discard_finished_checkpoint(tmp_path / "work", tmp_path / "result")
    assert (tmp_path / "work" / "checkpoint").is_dir()
    write(tmp_path / "work" / "checkpoint", 1)
    discard_finished_checkpoint(tmp_path / "work", tmp_path / "result")
    assert not list((tmp_path / "work").iterdir())


def test_where_nothing_was_trained_nothing_is_made(tmp_path: Path) -> None:
    discard_checkpoint(tmp_path / "work")
    assert not list(tmp_path.iterdir())
