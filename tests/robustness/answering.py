"""Loads the runs that are named on its standard input, each in a child that may hang or die.

The parent imports everything and computes nothing: thread pools (Polars' is one) do not survive a
fork. It answers with a line of JSON a run: the outcome, and what the child said.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

import torch

import genrec.generator
import genrec.ranking
import genrec.retrieval  # noqa: F401
from genrec.embeddings import ItemEmbeddings
from genrec.errors import GenrecError
from genrec.funnel import METHODS, Recommender
from genrec.semantic_ids import SemanticIdStore

HISTORY = ["i10", "i11", "i12"]
SECONDS = 60
BYTES = 3 << 30
OUTCOMES = ("answered", "refused", "untyped")


def answers(run: Path) -> list[list[object]]:
    """Its codes, the shape of its embeddings, and what every method answers, scores rounded."""
    ids = SemanticIdStore.open(run / "semantic_ids")
    num_items = len(ids.ids.codes)
    embeddings = ItemEmbeddings.load(run / "embeddings", num_items=num_items)
    others = [ids.codes.tolist(), list(embeddings.vectors.shape)]
    recommender = Recommender.load(run, warm_up=False)
    return others + [
        [method, item.item_id, item.title, round(item.score, 3)]
        for method in METHODS
        for item in recommender.using(method=method).recommend(HISTORY, k=5)
    ]


def ask(run: Path) -> tuple[int, str]:
    """The place of the outcome among OUTCOMES, and the answer or the error."""
    try:
        return 0, json.dumps(answers(run))
    except GenrecError as error:
        return 1, f"{type(error).__name__}: {error}"
    except BaseException as error:
        return 2, f"{type(error).__name__}: {error}"


def ask_in_child(run: Path) -> tuple[str, str]:
    """As `ask`; the outcome may be a hang or an abort, too."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_AS, (_virtual_bytes() + BYTES, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(SECONDS)
        status, said = ask(run)
        os.write(writing, said.encode("utf-8", "replace")[:60_000])
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode()
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        return ("hang" if os.WTERMSIG(ended) == signal.SIGALRM else "abort"), said
    status = os.WEXITSTATUS(ended)
    return (OUTCOMES[status] if status < len(OUTCOMES) else "abort"), said


def _virtual_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[0]
    return int(pages) * resource.getpagesize()


def main() -> None:
    """Answers line by line until the input ends."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(ask_in_child(Path(line.rstrip("\n")))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
