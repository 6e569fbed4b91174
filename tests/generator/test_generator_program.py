"""`genrec train generator`: what it refuses before it trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrec.__main__ import main


def test_ids_that_learnt_from_another_split_are_refused(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "generator", "--run", str(tiny_run), "--split", "global-temporal"])
    message = capsys.readouterr().err
    assert "learnt from the training part of leave-last-out" in message
    assert "genrec tokenize --split global-temporal" in message
