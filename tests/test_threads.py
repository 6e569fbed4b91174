"""Threads follow affinity, quota and the user; a fork is noticed instead of waited for."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from genrec.errors import ForkedProcessError
from genrec.threads import OwnProcess, ThreadChoice, choose_threads, prepare, read_cpu_quota

ROOT = Path(__file__).parents[1]


def _cgroup(folder: Path, lines: str, files: dict[str, str]) -> float:
    """The quota of a process whose control groups are these files."""
    own = folder / "own"
    own.write_text(lines)
    for name, text in files.items():
        file = folder / "fs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return read_cpu_quota(own, folder / "fs")


def test_a_quota_of_version_2_is_read_from_its_group(tmp_path: Path) -> None:
    assert _cgroup(tmp_path, "0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}) == 1.5


def test_the_least_quota_of_all_groups_above_counts(tmp_path: Path) -> None:
    files = {"cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000"}
    assert _cgroup(tmp_path, "0::/a/b\n", files) == 2.0


def test_inside_a_container_the_group_is_the_mount(tmp_path: Path) -> None:
    assert _cgroup(tmp_path, "0::/docker/x\n", {"cpu.max": "300000 100000\n"}) == 3.0
    assert _cgroup(tmp_path, "0::/\n", {"cpu.max": "300000 100000\n"}) == 3.0


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_version_1_is_read_from_the_cpu_controller(tmp_path: Path, mount: str) -> None:
    files = {
        f"{mount}/a/cpu.cfs_quota_us": "50000\n",
        f"{mount}/a/cpu.cfs_period_us": "100000\n",
        f"{mount}/cpu.cfs_quota_us": "-1\n",
        f"{mount}/cpu.cfs_period_us": "100000\n",
    }
    assert _cgroup(tmp_path, "4:memory:/a\n3:cpu,cpuacct:/a\n", files) == 0.5


def test_without_a_limit_or_its_files_the_quota_is_infinite(tmp_path: Path) -> None:
    assert _cgroup(tmp_path, "0::/a\n1:cpu:/\nnonsense\n", {"cpu.max": "max\n"}) == math.inf
    assert read_cpu_quota(tmp_path / "nothing", tmp_path) == math.inf


@pytest.mark.parametrize(
    ("cores", "quota", "count"),
    [(8, math.inf, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.1, 1), (2, 16.0, 2), (1, 1.0, 1)],
)
def test_threads_are_the_cores_that_may_be_used(cores: int, quota: float, count: int) -> None:
    choice = choose_threads({}, cores=cores, quota=quota)
    assert choice.count == count
    assert (f"quota is {quota:g}" in choice.reason) == (count < cores)


def test_what_the_user_says_stays() -> None:
    environment = {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "ACTIVE"}
    assert prepare(dict(environment)) == ThreadChoice(
        count=3, reason="OMP_NUM_THREADS says so", waits_passively=False
    )
    kept = dict(environment)
    prepare(kept)
    assert kept == environment


def test_programs_that_a_program_starts_know_that_the_choice_was_ours() -> None:
    environment: dict[str, str] = {}
    first = prepare(environment)
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environment["OMP_NUM_THREADS"] == str(first.count)
    assert prepare(environment) == first


@pytest.mark.parametrize("nonsense", ["", "many", "0", "-2"])
def test_a_number_of_threads_that_is_none_is_not_followed(nonsense: str) -> None:
    assert choose_threads({"OMP_NUM_THREADS": nonsense}, cores=4, quota=2.0).count == 2


@pytest.mark.parametrize("package", ["tokenizer", "train", "serve"])
def test_every_program_chooses_before_torch_is_there(package: str) -> None:
    code = (
        f"import sys, {package}, os\n"
        "assert 'torch' not in sys.modules\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "PASSIVE\n"


def test_the_process_that_made_it_may_go_on_and_another_may_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = OwnProcess()
    process.check("it")
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(ForkedProcessError, match=r"it was loaded in process \d+.*spawn"):
        process.check("it")


FORK = """
import os, sys
import genrec
from genrec.errors import ForkedProcessError
from genrec.funnel import load_sources
from genrec.interactions import Histories, RequestBatch

recommender = genrec.Recommender.load(sys.argv[1])
sources = load_sources(sys.argv[1])
assert recommender.recommend([], budget_ms=1000.0)
request = RequestBatch.from_histories(Histories.from_lists([[0]]))
calls = {
    "recommend": lambda: recommender.recommend([]),
    "within": lambda: recommender.recommend([], budget_ms=50.0),
    "many": lambda: next(recommender.recommend_many([[]])),
    "using": lambda: recommender.using(method="dense"),
    "warm_up": recommender.warm_up,
    "source": lambda: sources["combined"].recommend(request, 3),
}
child = os.fork()
if not child:
    refused = []
    for name, call in calls.items():
        try:
            call()
        except ForkedProcessError:
            refused.append(name)
    os._exit(0 if refused == list(calls) else 1)
_, status = os.waitpid(child, 0)
assert recommender.recommend([])  # the parent goes on
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
def test_a_recommender_that_was_loaded_before_a_fork_refuses_in_the_child(tiny_run: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK, str(tiny_run)]
    done = subprocess.run(command, cwd=ROOT, timeout=120, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
