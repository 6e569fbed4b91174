"""A program that is killed at any moment, or started twice at once, loses and mixes nothing.

Every program runs on a tiny run folder. After a kill the same command is given again: what then
stands there is what an unbroken run leaves, and nothing else lies about.
"""

from __future__ import annotations

import logging
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.robustness.programs import PROGRAMS, Zygote, assert_alike, command_of, copy_for

log = logging.getLogger(__name__)

NUM_KILLS, NUM_ROUNDS = 200, 40
QUICK = ("import", "tokenize", "recommend")


def run_unbroken(name: str, base: Path, folder: Path, zygote: Zygote) -> tuple[Path, float]:
    """A run folder after the program has ended undisturbed, and the seconds that took."""
    run = copy_for(name, base, folder / "unbroken")
    [ended] = zygote.run(command_of(name, run))
    assert ended.code == 0, f"{name}: {ended.words}"
    return run, ended.seconds


def kill_and_run_again(
    name: str, num_kills: int, base: Path, folder: Path, zygote: Zygote
) -> Counter[str]:
    """Kills at drawn moments, each followed by the same command; counts how the first ended."""
    unbroken, seconds = run_unbroken(name, base, folder, zygote)
    moments, counts = random.Random(name), Counter[str]()
    for number in range(num_kills):
        run = copy_for(name, base, folder / f"killed {number}")
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
        run = copy_for(name, base, folder / f"two {number}")
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
