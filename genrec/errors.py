"""What can go wrong, by name: every message names the value, the place and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "ArtifactError",
    "ArtifactMissingError",
    "BusyError",
    "DataError",
    "DeadlineExceededError",
    "ForkedProcessError",
    "GenrecError",
    "InputError",
    "MissingDependencyError",
    "Problem",
    "TrainingError",
    "UnknownItemError",
]


class GenrecError(Exception):
    """The base of every error that genrec raises on purpose; programs print it without a trace."""


class InputError(GenrecError, ValueError):
    """An argument, option or request that cannot be used as it is."""


class UnknownItemError(InputError):
    """An item id that the catalogue does not know, where knowing it is required."""


class ArtifactError(GenrecError):
    """A saved folder that is altered, incomplete, of another kind or of another parent."""


class ArtifactMissingError(ArtifactError, FileNotFoundError):
    """A saved folder that is not there, or was never finished."""


class DeadlineExceededError(GenrecError):
    """A stage saw that its time was up and stopped; the funnel answers with what it has."""


class BusyError(GenrecError):
    """Another process is writing what was to be written."""


class ForkedProcessError(GenrecError, RuntimeError):
    """A model that was loaded before a fork is asked in the child, where it would hang."""


class TrainingError(GenrecError):
    """A training that cannot go on: its loss is no longer a number."""


class MissingDependencyError(GenrecError, ImportError):
    """An optional package that is needed for what was asked."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One kind of defect in a table, with how often and where it occurs."""

    kind: str
    """Short name, as `--drop KIND` takes it: `null-user`, `duplicate`, `unknown-item`, …"""
    count: int
    """Rows that have it."""
    rows: tuple[int, ...]
    """The first of these rows, 0-based, as they stand in the file."""
    detail: str
    """What is wrong and what to do about it, in a sentence."""
    droppable: bool = True
    """Whether `--drop` can remove these rows; a missing column cannot be dropped."""
    keepable: bool = False
    """Whether `--keep` lets these rows stay as they are, for they may be meant so."""
    values: tuple[tuple[int, str], ...] = ()
    """Up to three different values that have it, each with its row."""

    @property
    def examples(self) -> str:
        """The values with their rows, as a person reads them; empty where there are none."""
        return ", ".join(f"{value} (row {row})" for row, value in self.values)


class DataError(GenrecError, ValueError):
    """A table with defects: all of them at once, none of them dropped in silence."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        lines = [f"{source}: {len(self.problems)} kind(s) of problems; nothing was written"]
        for problem in self.problems:
            rows = ", ".join(str(row) for row in problem.rows)
            where = f" (rows {rows}{', …' if problem.count > len(problem.rows) else ''})"
            shown = f": {problem.examples}" if problem.values else ""
            lines.append(
                f"  {problem.kind}: {problem.count} row(s){where if rows else ''}: "
                f"{problem.detail}{shown}"
            )
        droppable = dict.fromkeys(p.kind for p in self.problems if p.droppable)
        keepable = dict.fromkeys(p.kind for p in self.problems if p.keepable)
        if droppable:
            flags = " ".join(f"--drop {kind}" for kind in droppable)
            lines.append(f"  to go on without these rows: {flags}")
        if keepable:
            flags = " ".join(f"--keep {kind}" for kind in keepable)
            lines.append(f"  if these rows are meant as they are: {flags}")
        super().__init__("\n".join(lines))
