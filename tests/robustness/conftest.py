"""A process that forks programs, and a run folder with everything that they are given."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.conftest import CONTENT_WIDTH
from tests.robustness.programs import Zygote


@pytest.fixture(scope="package")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    started = Zygote(tmp_path_factory.mktemp("zygote"))
    yield started
    with started.process as process:
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="package")
def base(tiny_run: Path, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with everything that the programs are given."""
    run = Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("base") / "run"))
    users = np.repeat(np.arange(40), 6)
    items = (users + np.tile(np.arange(6), 40)) % 60
    log = pl.DataFrame(
        {
            "user_id": [f"p{user}" for user in users],
            "item_id": [f"i{item}" for item in items],
            "timestamp": 1_600_000_000 + np.arange(240) * 3600,
        }
    )
    log.write_csv(run / "log.csv")
    log.write_csv(run / "people.csv")
    vectors = np.random.default_rng(0).normal(size=(3, CONTENT_WIDTH)).astype(np.float32)
    pl.DataFrame({"item_id": ["new0", "new1", "new2"], "vector": vectors.tolist()}).write_parquet(
        run / "new.parquet"
    )
    for name in ("grown", "full"):
        shutil.copytree(run / "semantic_ids", run / name)
    adding = ["tokenize", "add", f"{run}/full", f"--vectors={run}/new.parquet"]
    [added] = zygote.run(adding)
    assert added.code == 0, added.words
    return run
