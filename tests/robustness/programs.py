"""Every program on a tiny run folder, in forks of a process that has imported everything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal
from safetensors.numpy import load_file

from genrec import artifacts

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    "import": ["data", "import", "{run}/log.csv", "--out", "{run}/other/data"],
    "embed": ["embed", "--data={run}/data", "--out={run}/words", "--cache={run}/cache"],
    "tokenize": [
        *("tokenize", "--data={run}/data", "--embeddings={run}/embeddings"),
        *("--out={run}/semantic_ids", "--method=rkmeans", "--inputs=text", "--levels=2"),
        *("--codes=16", "--force"),
    ],
    "two-tower": ["train", "two-tower", "--run={run}", "--epochs=2", "--seed=7"],
    "two-tower anew": ["train", "two-tower", "--run={run}", "--epochs=2", "--seed=7", "--force"],
    "generator": ["train", "generator", "--run={run}", "--epochs=1", "--seed=7"],
    "generator anew": ["train", "generator", "--run={run}", "--epochs=1", "--seed=7", "--force"],
    "ranker": ["train", "ranker", "--run={run}", "--seed=7", "--force"],
    "add": ["tokenize", "add", "{run}/grown", "--vectors={run}/new.parquet"],
    "compact": ["tokenize", "compact", "{run}/full"],
    "recommend": [
        *("recommend", "--run={run}", "--histories={run}/people.csv"),
        "--out={run}/lists.parquet",
    ],
    "inspect": ["tokenize", "inspect", "{run}/semantic_ids", "--picture={run}/page.html"],
    "compare": ["compare", "--run={run}"],
}
NOT_THERE = {"two-tower": "two_tower", "generator": "generator"}
"""What a program is to make for the first time; all others replace what stands there."""
DEPENDS_ON_TIME = (".json", ".html", ".md", ".journal", ".head")
"""Endings of files with seconds or digests of such files in them; that they are whole is checked
when they are read."""


@dataclass
class Ended:
    """How a program ended."""

    code: int
    seconds: float
    words: str


class Zygote:
    """Runs genrec's programs in forks of a process that has imported everything."""

    def __init__(self, folder: Path) -> None:
        with (folder / "stderr").open("wb") as words:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.robustness.zygote"],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
            )
        assert self._line() == "ready\n", (folder / "stderr").read_text()

    def run(
        self,
        *commands: Sequence[str],
        kill_after: float | None = None,
        memory: int | None = None,
        without_rights: bool = False,
    ) -> list[Ended]:
        assert self.process.stdin is not None
        asked = {
            "commands": commands,
            "kill_after": kill_after,
            "memory": memory,
            "without_rights": without_rights,
        }
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return [Ended(*each) for each in json.loads(self._line())]

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def command_of(name: str, run: Path) -> list[str]:
    return [word.format(run=run) for word in PROGRAMS[name]]


def copy_for(name: str, base: Path, run: Path) -> Path:
    """A copy of the run folder as the program shall find it."""
    shutil.copytree(base, run)
    if name in NOT_THERE:
        shutil.rmtree(run / NOT_THERE[name])
    return run


def names_in(folder: Path) -> set[str]:
    """Every file and folder in it, but for the logs of trainings, which stay and grow."""
    names = {each.relative_to(folder).as_posix() for each in folder.rglob("*")}
    return {name for name in names if "/tensorboard/" not in name}


def assert_alike(run: Path, wanted: Path) -> None:
    """Both folders hold the same files, whole artefacts, and the same tables and weights."""
    found, expected = names_in(run), names_in(wanted)
    assert found == expected, found ^ expected
    for manifest in run.rglob(artifacts.MANIFEST_NAME):
        kind = json.loads(manifest.read_text())["kind"]
        artifacts.read(manifest.parent, kind=kind)
    for name in sorted(name for name in found if (run / name).is_file()):
        one, other = run / name, wanted / name
        if name.endswith(".safetensors"):
            tensors, same = load_file(one), load_file(other)
            assert tensors.keys() == same.keys()
            for key, tensor in tensors.items():
                np.testing.assert_allclose(tensor, same[key], rtol=1e-3, atol=1e-4, err_msg=name)
        elif name.endswith(".parquet"):
            assert_frame_equal(pl.read_parquet(one), pl.read_parquet(other), rel_tol=1e-3)
        elif name.endswith(".npy"):
            np.testing.assert_allclose(np.load(one), np.load(other), rtol=1e-3, atol=1e-4)
        elif not name.endswith(DEPENDS_ON_TIME):
            assert one.stat().st_size > 0 or not other.stat().st_size
