"""A run from a stranger: whatever its files say, it loads and answers as before, or is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genrec.embeddings import ItemEmbeddings
from genrec.semantic_ids import SemanticIdStore
from tests.robustness.mutations import draw_mutations, follow_digests, make_consistent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")

ROOT = Path(__file__).parents[2]
CANNOT_BE_TOLD = (
    *("seed", "created", "versions", "git_revision", "notes", "explained_variance", "curve"),
    *("weight", "best_", "train_seconds", "items_per_second", "padding_waste", "item_scale"),
)
"""Parts of a file in which one possible value is as good as another."""


@pytest.fixture(scope="module")
def grown_run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run with items that were added, some compacted, some in the journal."""
    run = Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("mutations") / "run"))
    return grow(run)


def grow(run: Path) -> Path:
    """Adds items to a run, of which two are compacted."""
    shutil.rmtree(run / "work", ignore_errors=True)
    vectors = ItemEmbeddings.load(run / "embeddings").vectors[:4].copy()
    store = SemanticIdStore.open(run / "semantic_ids")
    store.add(["new 0", "new 1"], vectors[:2], ["the new", None])
    store.compact()
    store.add(["new 2"], vectors[2:3])
    return run


def without_added_items(run: Path) -> None:
    """Takes away the journal and the additions."""
    for name in ("journal", "journal.head", "journal.lock"):
        (run / f"semantic_ids.{name}").unlink(missing_ok=True)
    shutil.rmtree(run / "semantic_ids.additions")


class Answering:
    """The program that loads runs, started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, run: Path) -> tuple[str, str]:
        """The outcome, and what was said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{run}\n")
        self._process.stdin.flush()
        while True:
            line = self._process.stdout.readline()
            assert line, "the program ended"
            if line.startswith('["'):
                outcome, said = json.loads(line)
                return outcome, said


@contextmanager
def answering() -> Iterator[Answering]:
    """Starts the program, and ends it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.robustness.answering"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield Answering(process)
        assert process.stdin is not None
        process.stdin.close()


def count_outcomes(
    run: Path, folder: Path, num_mutations: int, seed: int
) -> tuple[Counter[str], list[str]]:
    """How often each outcome was, and what was done where it was a wrong one."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with answering() as program:
        plain = Path(shutil.copytree(run, folder / "plain"))
        without_added_items(plain)
        (outcome, of_plain), (also, of_grown) = program.ask(plain), program.ask(run)
        assert (outcome, also) == ("answered", "answered"), (of_plain, of_grown)
        for name, what, alter in draw_mutations(run, num_mutations, seed):
            altered = folder / "altered"
            shutil.rmtree(altered, ignore_errors=True)
            # The journal knows the ids that it was added to, and would refuse whatever alters them.
            is_added = name.startswith(("semantic_ids.journal", "semantic_ids.additions"))
            shutil.copytree(run if is_added else plain, altered)
            expected = of_grown if is_added else of_plain
            alter(altered / name)
            if Path(name).name != "manifest.json":
                make_consistent(altered / Path(name).parts[0])
            follow_digests(altered)
            outcome, said = program.ask(altered)
            if outcome == "answered":
                outcome = "as before" if said == expected else "other answer"
            told = not any(each in f"{name} {what}" for each in CANNOT_BE_TOLD)
            if outcome == "other answer" and not told:
                outcome = "cannot be told"
            counts[f"{name}: {outcome}"] += 1
            counts[outcome] += 1
            if outcome == "refused":
                counts[f"refused: {' '.join(said.replace(str(altered), '').split()[:7])}"] += 1
            if outcome not in ("as before", "refused", "cannot be told"):
                wrong.append(f"{outcome}: {name} {what} {said[:300]}")
    return counts, wrong


def test_a_sample_of_altered_runs_is_refused_or_answers_as_before(
    grown_run: Path, tmp_path: Path
) -> None:
    counts, wrong = count_outcomes(grown_run, tmp_path, num_mutations=20, seed=1)
    assert wrong == []
    assert counts["refused"] > 10


@pytest.mark.slow
def test_a_thousand_altered_runs_are_refused_or_answer_as_before(
    grown_run: Path, tmp_path: Path
) -> None:
    counts, wrong = count_outcomes(grown_run, tmp_path, num_mutations=1000, seed=0)
    sys.stdout.writelines(f"{count:6}  {name}\n" for name, count in sorted(counts.items()))
    assert wrong == []
