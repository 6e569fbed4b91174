"""What the system refuses (space, rights, memory) is one clear message, and nothing is lost.

Each program runs on a small file system of its own; where none may be mounted, this is skipped.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from genrec import artifacts
from tests.robustness.programs import (
    PROGRAMS,
    Ended,
    Zygote,
    assert_alike,
    command_of,
    copy_for,
    names_in,
)

log = logging.getLogger(__name__)

NOBODY = 65534
ROOMS = (0, 4_096, 60_000, 400_000)
"""Bytes that are left on the disk."""
MEMORIES = (1 << 20, 64 << 20, 128 << 20, 256 << 20)
"""Bytes that a program may take beyond what its process has when it begins. Where there is too
little for a thread to begin in, Python waits for it for ever: no such size is among these."""
LONGEST = 120.0
"""Seconds after which a program hangs."""
OF_OTHERS = re.compile(
    r"memory allocation of .* bytes failed|SystemError: error return without exception set"
)
"""A library in Rust, such as polars, ends the process where it gets no memory, and the interpreter
itself may lose an error there. Neither can be caught; that nothing is lost is asserted as ever."""
READING = {
    "recommend": ["recommend", "--run={run}", "--history=i1,i2", "--json"],
    "recommend in time": ["recommend", "--run={run}", "--history=i1,i2", "--budget-ms=1000"],
    "inspect": ["tokenize", "inspect", "{run}/semantic_ids", "--json"],
    "describe": ["data", "describe", "{run}/data", "--json"],
    "validate": ["data", "validate", "{run}/data"],
}


@dataclass
class SmallDisk:
    """A file system of a few megabytes."""

    path: Path

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)

    def fill(self, room: int) -> None:
        """Leaves so many bytes free."""
        status = os.statvfs(self.path)
        free = status.f_bavail * status.f_frsize
        with (self.path / "filler").open("wb") as stream:
            stream.write(bytes(max(0, free - room)))

    def empty(self) -> None:
        (self.path / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m,mode=755", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    yield SmallDisk(path)
    subprocess.run(["umount", str(path)], check=True)


def assert_refused(ended: Ended, name: str) -> None:
    """It ended by itself, with one message and no trace."""
    assert ended.code in (1, 2), f"{name} ended with {ended.code}: {ended.words}"
    assert ended.words.count("error: ") == 1, f"{name}: {ended.words}"
    assert "Traceback" not in ended.words, f"{name}: {ended.words}"


def digests_in(run: Path) -> dict[str, str]:
    """Every artefact of a run folder, all of them whole."""
    found = {}
    for manifest in sorted(run.rglob(artifacts.MANIFEST_NAME)):
        if not any(part.startswith(".") for part in manifest.relative_to(run).parts):
            folder = manifest.parent
            kind = json.loads(manifest.read_text())["kind"]
            found[folder.relative_to(run).as_posix()] = artifacts.read(folder, kind=kind).digest
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_full_disk_is_one_message_and_loses_nothing(
    name: str, base: Path, disk: SmallDisk, tmp_path: Path, zygote: Zygote
) -> None:
    unbroken = copy_for(name, base, tmp_path / "unbroken")
    [ended] = zygote.run(command_of(name, unbroken))
    assert ended.code == 0, ended.words
    counts = Counter[str]()
    for room in ROOMS:
        run = copy_for(name, base, disk.path / "run")
        before = digests_in(run)
        disk.fill(room)
        [ended] = zygote.run(command_of(name, run))
        if ended.code:
            assert_refused(ended, name)
            assert "No space left" in ended.words, ended.words
            assert digests_in(run).items() >= before.items()
        counts["refused" if ended.code else "done"] += 1
        disk.empty()
        [again] = zygote.run(command_of(name, run))
        assert again.code == 0, again.words
        assert_alike(run, unbroken)
        shutil.rmtree(run)
    log.info("%s: %s", name, dict(counts))
    assert counts["refused"] > 0


@pytest.mark.slow
def test_a_run_that_may_not_be_written_answers_and_refuses_to_be_changed(
    base: Path, disk: SmallDisk, zygote: Zygote
) -> None:
    run = Path(shutil.copytree(base, disk.path / "run"))
    before = names_in(run)
    disk.remount("ro")
    for name, words in READING.items():
        [ended] = zygote.run([word.format(run=run) for word in words])
        assert ended.code == 0, f"{name}: {ended.words}"
    for name in PROGRAMS:
        [ended] = zygote.run(command_of(name, run))
        assert_refused(ended, name)
    assert names_in(run) == before


@pytest.mark.slow
def test_another_user_is_answered_and_refused_what_is_not_theirs(
    base: Path, disk: SmallDisk, zygote: Zygote
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root may give files away")
    run = Path(shutil.copytree(base, disk.path / "run"))
    for path in [disk.path, run, *run.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
        path.chmod(0o755 if path.is_dir() else 0o644)
    before = names_in(run)
    for name, words in READING.items():
        [ended] = zygote.run([word.format(run=run) for word in words], without_rights=True)
        assert ended.code == 0, f"{name}: {ended.words}"
    for name in PROGRAMS:
        [ended] = zygote.run(command_of(name, run), without_rights=True)
        assert_refused(ended, name)
        assert "Permission denied" in ended.words or "may not" in ended.words, ended.words
    assert names_in(run) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_too_little_memory_is_one_message_and_loses_nothing(
    name: str, base: Path, tmp_path: Path, zygote: Zygote
) -> None:
    unbroken = copy_for(name, base, tmp_path / "unbroken")
    [ended] = zygote.run(command_of(name, unbroken))
    assert ended.code == 0, ended.words
    counts = Counter[str]()
    for memory in MEMORIES:
        run = copy_for(name, base, tmp_path / "run")
        before = digests_in(run)
        [ended] = zygote.run(command_of(name, run), memory=memory, kill_after=LONGEST)
        assert digests_in(run).items() >= before.items() or not ended.code
        if ended.code and OF_OTHERS.search(ended.words):
            counts["ended by a library or the interpreter"] += 1
        elif ended.code:
            assert_refused(ended, name)
            assert "memory" in ended.words, ended.words
            counts["refused"] += 1
        else:
            counts["done"] += 1
        [again] = zygote.run(command_of(name, run))
        assert again.code == 0, again.words
        assert_alike(run, unbroken)
        shutil.rmtree(run)
    log.info("%s: %s", name, dict(counts))
