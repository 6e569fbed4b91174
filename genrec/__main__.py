"""The command `genrec`: lists every program and runs it by name, importing nothing of them."""

from __future__ import annotations

import difflib
import importlib.metadata
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

from genrec import console

__all__ = ["PROGRAMS", "Program", "checkout", "main", "module_name"]


class Program(NamedTuple):
    """What stands behind a word of the command line."""

    module: str
    """Its file in a checkout, as Python imports it: `train.generator`."""
    sentence: str
    """What it does: the first sentence of the file."""


PROGRAMS = {
    "data": Program("tokenizer.data", "Fetches, imports, checks and describes interaction logs."),
    "embed": Program("tokenizer.embed", "Encodes the text of every item into a vector."),
    "tokenize": Program(
        "tokenizer.semantic_ids",
        "Gives every item a Semantic ID of its own, and says how sound the IDs are.",
    ),
    "train generator": Program(
        "train.generator",
        "Trains the generator of a run: encoder, Semantic-ID decoder and dense head together.",
    ),
    "train two-tower": Program(
        "train.two_tower", "Trains the two-tower retriever of a run and builds its vector index."
    ),
    "train ranker": Program(
        "train.ranker",
        "Trains the ranker of a run on candidates whose sources never saw its labels.",
    ),
    "recommend": Program(
        "serve.recommend",
        "Recommends the next items for a history, a known person, or a whole file of people.",
    ),
    "compare": Program(
        "serve.compare",
        "Compares every way of recommending on the same people, and writes the report.",
    ),
    "doctor": Program(
        "serve.doctor", "Says what this machine has, what is missing, how to get it."
    ),
    "demo": Program(
        "serve.demo", "Takes interactions through every program, from the log to the comparison."
    ),
}
"""Every program, in the order in which data flows through them."""

EXIT_UNKNOWN = 2
PACKAGE = Path(__file__).parent


def main(argv: list[str] | None = None) -> None:
    """Runs the program that the first words name on the arguments behind them.

    Args:
        argv: the words behind `genrec`; None takes them from the command line.
    """
    words = sys.argv[1:] if argv is None else argv
    if words == ["--version"]:
        console.say(f"genrec {_version()}")
        return
    if not words or words[0] in ("-h", "--help"):
        console.say(_overview(PROGRAMS))
        return
    name = _program_in(words)
    if name is not None:
        _run(name, words[len(name.split()) :])
        return
    group = {known: PROGRAMS[known] for known in PROGRAMS if known.split()[0] == words[0]}
    if group and len(words) > 1 and words[1] in ("-h", "--help"):
        console.say(_overview(group))
        return
    print(_unknown(words, group), file=sys.stderr)
    raise SystemExit(EXIT_UNKNOWN)


def module_name(program: Program) -> str:
    """The name that `python -m` and `accelerate launch -m` know a program by.

    Installed, the programs stand under the package; in a checkout, beside it.
    """
    return program.module if checkout() else f"genrec.{program.module}"


def checkout() -> Path | None:
    """The folder in which the programs stand beside the package; None where they are inside it."""
    return None if (PACKAGE / "train").is_dir() else PACKAGE.parent


def _program_in(words: list[str]) -> str | None:
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in PROGRAMS:
            return name
    return None


def _run(name: str, arguments: list[str]) -> None:
    root = checkout()
    if root is not None and str(root) not in sys.path:
        sys.path.insert(0, str(root))
    before, sys.argv = sys.argv, [f"genrec {name}", *arguments]
    try:
        with console.call_program(f"genrec {name}"):
            runpy.run_module(module_name(PROGRAMS[name]), run_name="__main__", alter_sys=True)
    finally:
        sys.argv = before


def _overview(programs: dict[str, Program]) -> str:
    width = max(map(len, programs))
    listing = [f"  {name:{width}}  {program.sentence}" for name, program in programs.items()]
    return "\n".join(
        [
            "Usage: genrec PROGRAM [OPTIONS]",
            "",
            "Generative sequential recommendation, from the raw log to the answer.",
            "",
            "Programs, in the order in which data flows:",
            *listing,
            "",
            "`genrec PROGRAM --help` explains one; `genrec --version` prints the version.",
        ]
    )


def _unknown(words: list[str], group: dict[str, Program]) -> str:
    if group:
        return f"error: `genrec {' '.join(words[:2])}` is no program; there is {', '.join(group)}"
    near = difflib.get_close_matches(" ".join(words[:2]), PROGRAMS, cutoff=0.7)
    firsts = dict.fromkeys(name.split()[0] for name in PROGRAMS)
    near += difflib.get_close_matches(words[0], firsts, cutoff=0.7)
    meant = f"did you mean {' or '.join(dict.fromkeys(near))}? " if near else ""
    return f"error: genrec has no program {words[0]!r}; {meant}`genrec` lists all of them"


def _version() -> str:
    try:
        return importlib.metadata.version("genrec")
    except importlib.metadata.PackageNotFoundError:
        return "(run from a checkout that is not installed)"


if __name__ == "__main__":
    main()
