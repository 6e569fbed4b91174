"""Rows of the accuracy tables: questions under a variant of the protocol, figures, what is kept."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from benchmarks.results import alone_with, write_arrays, write_text
from genrec import console
from genrec.evaluation import (
    BootstrapConfig,
    bootstrap_mean,
    describe_environment,
    ndcg_at,
    recall_at,
    target_ranks,
)
from genrec.interactions import EvaluationSet, RequestBatch

__all__ = [
    "MAIN",
    "OTHERS",
    "TRAINED_HISTORY",
    "Ranks",
    "Row",
    "Rows",
    "Variant",
    "answer_all",
    "figures_of",
    "key_of",
    "provenance",
    "segment_figures",
]

K = 10
QUESTIONS_AT_ONCE = 128
TRAINED_HISTORY = 50
IDENTITY = ("dataset", "split", "method", "seed", "part", "history", "seen_masked")

Ranks = npt.NDArray[np.uint8]
Row = dict[str, Any]
Answer = Callable[[RequestBatch], Mapping[str, Tensor]]
"""Lists of item_index, int64 [B, K], by the name of their row in the table."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How the questions are asked."""

    history: int = TRAINED_HISTORY
    """Events that a method is shown, the latest ones; where it is what it trained with, all."""
    seen_masked: bool = True
    """Whether what a person has had, shown or not, is left out of the answer."""
    shuffled: bool = False
    """Whether the questions' histories are in an order drawn at random: the order probe."""

    @property
    def label(self) -> str:
        """For people."""
        order = ", order shuffled" if self.shuffled else ""
        return f"history {self.history}, seen {'masked' if self.seen_masked else 'allowed'}{order}"

    def includes(self, row: Mapping[str, Any]) -> bool:
        """Whether a row was asked like this."""
        asked = (row["history"], row["seen_masked"], row.get("shuffled", False))
        return asked == (self.history, self.seen_masked, self.shuffled)

    def requests(self, questions: EvaluationSet, rows: npt.NDArray[np.int64]) -> RequestBatch:
        """Some of the questions, as they are asked."""
        histories = questions.histories.select(rows)
        full = RequestBatch.from_histories(histories)
        shown = full
        if self.history < TRAINED_HISTORY:
            shown = RequestBatch.from_histories(histories.keep_last(self.history))
        return replace(shown, excluded=full.item_index) if self.seen_masked else shown


MAIN = Variant()
OTHERS = (
    Variant(seen_masked=False),
    Variant(history=20),
    Variant(history=20, seen_masked=False),
    Variant(shuffled=True),
)


def answer_all(
    answer: Answer,
    questions: EvaluationSet,
    variant: Variant,
    label: str,
    uncut: Mapping[str, Ranks] | None = None,
) -> dict[str, Ranks]:
    """By the name of each list, uint8 [B]: the target's place among the first K, 0 if not there.

    Args:
        answer: makes the lists.
        questions: all of them.
        variant: how they are asked.
        label: of the progress bar.
        uncut: what the same questions gave with whole histories; only those that the variant cuts
            are asked then.
    """
    lengths = questions.histories.lengths
    asked = np.argsort(lengths, kind="stable")  # those of like length together: little padding
    found: dict[str, Ranks] = {}
    if uncut is not None:
        asked = asked[lengths[asked] > variant.history]
        found = {name: ranks.copy() for name, ranks in uncut.items()}
    with console.progress(label, len(asked)) as advance:
        for start in range(0, len(asked), QUESTIONS_AT_ONCE):
            rows = asked[start : start + QUESTIONS_AT_ONCE]
            for name, items in answer(variant.requests(questions, rows)).items():
                ranks = target_ranks(items[:, :K].numpy(), questions.target[rows])
                of_all = found.setdefault(name, np.zeros(len(questions), dtype=np.uint8))
                of_all[rows] = ranks[:, 0]
            advance(rows.size)
    return found


def segment_figures(segments: Mapping[str, npt.NDArray[np.bool_]], ranks: Ranks) -> Row:
    """By name of each segment that somebody is in: how many, recall@10 and ndcg@10 of them."""
    found = {}
    for name, members in segments.items():
        if members.any():
            figures = figures_of(ranks[members])
            found[name] = {
                key: figures[key]
                for key in ("num_people", "recall@10", "recall@10_ci95", "ndcg@10")
            }
    return found


def figures_of(ranks: Ranks) -> Row:
    """Means over people, and the bootstrap interval of recall@10."""
    places = ranks[:, None].astype(np.int64)
    figures = {
        f"{name}@{k}": float(measure(places, k).mean())
        for k in (5, K)
        for name, measure in (("recall", recall_at), ("ndcg", ndcg_at))
    }
    interval = bootstrap_mean(recall_at(places, K), BootstrapConfig())
    return {"num_people": len(ranks), **figures, "recall@10_ci95": [interval.low, interval.high]}


class Rows:
    """The rows of one JSON file, each once; the ranks behind the main ones in an .npz beside it.

    Args:
        path: of the JSON; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.ranks: dict[str, Ranks] = {}
        self._read()

    def _read(self) -> None:
        if self.path.is_file():
            self.rows = json.loads(self.path.read_text(encoding="utf-8"))["rows"]
            with np.load(self.path.with_suffix(".npz"), allow_pickle=False) as kept:
                self.ranks = dict(kept)

    def add(self, row: Row, ranks: Ranks | None) -> None:
        """Puts a row in the place of the one with its identity, if there is one, and writes all."""
        with alone_with(self.path):
            self._read()  # another method may have been measured meanwhile
            key = key_of(row)
            self.rows = [each for each in self.rows if key_of(each) != key] + [row]
            self.rows.sort(key=key_of)
            if ranks is not None:
                self.ranks[key] = ranks
            write_arrays(self.path.with_suffix(".npz"), self.ranks)  # first: rows need theirs
            text = json.dumps({"rows": self.rows}, indent=1, allow_nan=False)
            write_text(self.path, text + "\n")


def key_of(row: Mapping[str, Any]) -> str:
    """What tells rows apart."""
    key = "/".join(str(row[name]) for name in IDENTITY)
    return f"{key}/shuffled" if row.get("shuffled", False) else key


def provenance(command: list[str]) -> Row:
    """Where and by which command a row was made."""
    environment = describe_environment(command)
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    hardware = f"{environment['num_cores']} cores of {environment['processor']}"
    return {
        "hardware": environment["accelerator"] or hardware,
        "threads": environment["threads_accuracy"],
        "command": environment["command"],
        "revision": revision,
    }
