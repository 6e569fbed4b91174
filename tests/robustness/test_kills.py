"""A program that is killed at any moment, or started twice at once, loses and mixes nothing.

Every program runs on a tiny run folder. After a kill the same command is given again: what then
stands there is what an unbroken run leaves, and nothing else lies about.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from safetensors.numpy import load_file

from genrec import artifacts
from tests.conftest import CONTENT_WIDTH

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
NUM_KILLS, NUM_ROUNDS = 200, 40
PROGRAMS = {
    "import": ["data", "import", "{run}/log.csv", "--out", "{run}/other/data"],
    "embed": ["embed", "--data={run}/data", "--out={run}/words", "--cache={run}/cache"],
    "tokenize": [
        *("tokenize", "--data={run}/data", "--embeddings={run}/embeddings"),
        *("--out={run}/semantic_ids", "--method=rkmeans", "--inputs=text", "--levels=2"),
        "--codes=16",
    ],
    "two-tower": ["train", "two-tower", "--run={run}", "--epochs=2", "--seed=7"],
    "generator": ["train", "generator", "--run={run}", "--epochs=1", "--seed=7"],
    "ranker": ["train", "ranker", "--run={run}", "--seed=7"],
    "add": ["tokenize", "add", "{run}/grown", "--vectors={run}/new.parquet"],
    "compact": ["tokenize", "compact", "{run}/full"],
    "recommend": [
        *("recommend", "--run={run}", "--histories={run}/people.csv"),
        "--out={run}/lists.parquet",
    ],
    "inspect": ["tokenize", "inspect", "{run}/semantic_ids", "--picture={run}/page.html"],
    "compare": ["compare", "--run={run}"],
}
QUICK = ("import", "tokenize", "recommend")
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

    def run(self, *commands: Sequence[str], kill_after: float | None = None) -> list[Ended]:
        assert self.process.stdin is not None
        asked = {"commands": commands, "kill_after": kill_after}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return [Ended(*each) for each in json.loads(self._line())]

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    started = Zygote(tmp_path_factory.mktemp("zygote"))
    yield started
    with started.process as process:
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
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


def command_of(name: str, run: Path) -> list[str]:
    return [word.format(run=run) for word in PROGRAMS[name]]


def run_unbroken(name: str, base: Path, folder: Path, zygote: Zygote) -> tuple[Path, float]:
    """A run folder after the program has ended undisturbed, and the seconds that took."""
    run = Path(shutil.copytree(base, folder / "unbroken"))
    [ended] = zygote.run(command_of(name, run))
    assert ended.code == 0, f"{name}: {ended.words}"
    return run, ended.seconds


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


def kill_and_run_again(
    name: str, num_kills: int, base: Path, folder: Path, zygote: Zygote
) -> Counter[str]:
    """Kills at drawn moments, each followed by the same command; counts how the first ended."""
    unbroken, seconds = run_unbroken(name, base, folder, zygote)
    moments, counts = random.Random(name), Counter[str]()
    for number in range(num_kills):
        run = Path(shutil.copytree(base, folder / f"killed {number}"))
        moment = moments.uniform(0.0, seconds)
        [first] = zygote.run(command_of(name, run), kill_after=moment)
        counts["killed" if first.code < 0 else "ended before"] += 1
        [again] = zygote.run(command_of(name, run))
        assert again.code == 0, f"{name}, killed after {moment:.3f} s: {again.words}"
        assert_alike(run, unbroken)
        shutil.rmtree(run)
    return counts


def start_two(name: str, num_rounds: int, base: Path, folder: Path, zygote: Zygote) -> Counter[str]:
    """Starts a program twice at once; counts how the second to be ready ended."""
    unbroken, _ = run_unbroken(name, base, folder, zygote)
    counts = Counter[str]()
    for number in range(num_rounds):
        run = Path(shutil.copytree(base, folder / f"two {number}"))
        both = zygote.run(command_of(name, run), command_of(name, run))
        refused = [each for each in both if each.code]
        assert len(refused) < 2, "\n".join(each.words for each in both)
        for each in refused:
            assert each.code == 2, each.words
            assert each.words.count("error: ") == 1, each.words
            assert "another process is writing" in each.words
        counts["refused" if refused else "waited"] += 1
        assert_alike(run, unbroken)
        shutil.rmtree(run)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_killed_program_is_completed_by_the_next_run(
    name: str, base: Path, tmp_path: Path, zygote: Zygote
) -> None:
    assert kill_and_run_again(name, 2, base, tmp_path, zygote).total() == 2


@pytest.mark.slow
def test_200_kills_over_all_programs_lose_nothing(
    base: Path, tmp_path: Path, zygote: Zygote
) -> None:
    total = Counter[str]()
    for place, name in enumerate(PROGRAMS):
        share = len(range(place, NUM_KILLS, len(PROGRAMS)))
        counts = kill_and_run_again(name, share, base, tmp_path / name, zygote)
        log.info("%s: %s", name, dict(counts))
        total += counts
    log.info("all: %s; every rerun complete and equal, nothing left over", dict(total))
    assert total.total() == NUM_KILLS


@pytest.mark.slow
def test_every_program_started_twice_at_once_has_one_result(
    base: Path, tmp_path: Path, zygote: Zygote
) -> None:
    total = Counter[str]()
    for place, name in enumerate(PROGRAMS):
        share = len(range(place, NUM_ROUNDS, len(PROGRAMS)))
        counts = start_two(name, share, base, tmp_path / name, zygote)
        log.info("%s: %s", name, dict(counts))
        total += counts
    log.info("all: %s", dict(total))
    assert total.total() == NUM_ROUNDS
