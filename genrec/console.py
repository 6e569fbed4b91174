"""How programs talk to a person: help, errors in one clear message, progress, results."""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from inspect import cleandoc
from typing import Protocol, TextIO

import typer
from rich import progress as rich_progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genrec.errors import GenrecError, InputError

__all__ = [
    "Progress",
    "call_program",
    "hold",
    "named_values",
    "program",
    "progress",
    "run",
    "say",
    "show",
]

EXIT_SYSTEM_ERROR = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
LACK_OF_MEMORY = re.compile(
    "allocate memory|out of memory|bad_alloc|failed to map segment|could not create a primitive",
    re.IGNORECASE,
)
SECONDS_BETWEEN_LINES = 15.0
PAGE_WIDTH = 132
"""Of tables where nobody says how wide the page is."""

_called_as: str | None = None
_held: ExitStack | None = None


def program(doc: str | None) -> typer.Typer:
    """An empty typer app whose help is `doc`, the program's module docstring."""
    return typer.Typer(help=cleandoc(doc or ""), add_completion=False, rich_markup_mode=None)


def run(app: typer.Typer, argv: Sequence[str] | None = None) -> None:
    """Runs a program on its arguments, and leaves with its exit code if that is not 0.

    A `GenrecError` becomes one message on stderr and exit code 2, what the system refuses (a file
    that may not be read, no memory) one and exit code 1, an interruption a hint and 130; any other
    exception is a defect and keeps its trace.

    Args:
        app: the program; its help is that of the app, also where it has one command only.
        argv: the arguments behind the program's name; None takes them from the command line.
    """
    command = typer.main.get_command(app)
    if isinstance(app.info.help, str):
        command.help = app.info.help
    arguments = list(sys.argv[1:] if argv is None else argv)
    _write_what_cannot_be_encoded()
    try:
        with _log_shown(), _holding(), _threads_leave_no_trace():
            command(args=arguments, prog_name=_called_as)
    except GenrecError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR) from None
    except BrokenPipeError:
        sys.stderr.close()  # who read our output has left; nothing can be said
        raise SystemExit(EXIT_SYSTEM_ERROR) from None
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        refusal = _tell_refusal(error)
        if refusal is None:
            raise
        print(f"error: {refusal}", file=sys.stderr)
        raise SystemExit(EXIT_SYSTEM_ERROR) from None
    except SystemExit as left:
        if left.code == EXIT_INTERRUPTED:
            but = ", without --force, which begins anew" if "--force" in arguments else ""
            print(f"interrupted; run the same command again to go on{but}", file=sys.stderr)
        if left.code:
            raise


def _tell_refusal(error: Exception) -> str | None:
    """What the system refused, in words; None where the error is something else.

    torch and the system's loader tell of too little memory in words alone.
    """
    if isinstance(error, MemoryError) or LACK_OF_MEMORY.search(str(error)):
        return "there is not enough memory; end other programs, or give this one less to do"
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return None


def _write_what_cannot_be_encoded() -> None:
    """From here on stdout and stderr escape what their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def hold(resource: AbstractContextManager[object]) -> None:
    """Enters a context that is left when the program that runs now has ended, however it ends."""
    if _held is None:
        raise RuntimeError("no program runs: hold is for the commands that `run` calls")
    _held.enter_context(resource)


@contextmanager
def _holding() -> Iterator[None]:
    global _held  # noqa: PLW0603  (a command gets no argument from who runs it)
    before = _held
    try:
        with ExitStack() as _held:
            yield
    finally:
        _held = before


@contextmanager
def _threads_leave_no_trace() -> Iterator[None]:
    """Inside it, who waits for a thread tells what the system refused it, once, as an error."""
    before = threading.excepthook

    def tell(failed: threading.ExceptHookArgs) -> None:
        if not isinstance(failed.exc_value, OSError | MemoryError):
            before(failed)

    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def _log_shown() -> Iterator[None]:
    """Inside it, what the library logs is shown on stderr, a line a message."""
    logger = logging.getLogger("genrec")
    handler = _ToStderr()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _ToStderr(logging.Handler):
    """Writes to what stderr is at the moment: where a bar is drawn, that puts lines above it."""

    def emit(self, record: logging.LogRecord) -> None:
        """A line, or several where the record has a trace."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


@contextmanager
def call_program(words: str) -> Iterator[None]:
    """Inside it, `run` calls the program `words` in usage lines (`genrec train generator`)."""
    global _called_as  # noqa: PLW0603  (runpy sets argv[0] to the file, so no argument carries it)
    before, _called_as = _called_as, words
    try:
        yield
    finally:
        _called_as = before


def named_values(options: Sequence[str], flag: str) -> dict[str, str]:
    """Options NAME=VALUE, taken apart.

    Args:
        options: as a person wrote them.
        flag: the option they belong to, for messages.

    Raises:
        InputError: one without a name or a value, or a name twice.
    """
    values: dict[str, str] = {}
    for option in options:
        name, _, value = option.partition("=")
        if not name or not value:
            raise InputError(f"{flag} takes NAME=VALUE, got {option!r}")
        if name in values:
            raise InputError(f"{flag} names {name!r} twice; give each its own name")
        values[name] = value
    return values


def say(text: str) -> None:
    """Prints a line of a program's result at once, also into a pipe."""
    print(text, flush=True)


def show(result: Table | Text) -> None:
    """Prints a table or a text as wide as the page; into a pipe, of a fixed width.

    What stands in brackets is printed as it is: titles and ids are no markup.
    """
    page = _page(sys.stdout)
    if not page.is_terminal:
        page = _page(sys.stdout, width=PAGE_WIDTH)
    page.print(result)


def _page(stream: TextIO, width: int | None = None) -> Console:
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


class Progress(Protocol):
    """What `progress` gives: call it as work gets done."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Counts `steps` more as done; `note` (a loss, a name) stands beside the bar."""


@contextmanager
def progress(label: str, total: int | None = None, done: int = 0) -> Iterator[Progress]:
    """Shows how far a loop is, how fast, and the time left: a bar, or lines where none can be.

    On a terminal it is a bar on stderr; into a file or pipe, a plain line at most every 15 s.

    Args:
        label: what is being done.
        total: steps in all; None where that is not known.
        done: steps that an interrupted run has done already; the rate leaves them out.
    """
    console = _page(sys.stderr)
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(label, total=total, completed=done, note="")
            yield lambda steps=1, note="": bar.update(task, advance=steps, note=note)
    else:
        lines = _Lines(label, total, done, sys.stderr)
        yield lines
        lines.finish()


class _RateColumn(rich_progress.ProgressColumn):
    """Steps per second."""

    def render(self, task: rich_progress.Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s", style="progress.data.speed")


def _bar(console: Console) -> rich_progress.Progress:
    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        _RateColumn(),
        rich_progress.TimeRemainingColumn(elapsed_when_finished=True),
        rich_progress.TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )


class _Lines:
    """Progress where no bar can be drawn."""

    def __init__(self, label: str, total: int | None, done: int, stream: TextIO) -> None:
        self.label, self.total, self.stream = label, total, stream
        self.done = self.before = done
        self.started = self.last_line = time.monotonic()

    def __call__(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        now = time.monotonic()
        if now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            self._print(self._state(now - self.started), note)

    def finish(self) -> None:
        seconds = time.monotonic() - self.started
        self._print(f"{self.done:,} done in {_duration(seconds)}")

    def _state(self, seconds: float) -> str:
        rate = (self.done - self.before) / seconds
        if not self.total:
            return f"{self.done:,}, {rate:,.1f}/s"
        share = f"{self.done:,} of {self.total:,} ({self.done / self.total:.0%})"
        left = f", {_duration((self.total - self.done) / rate)} left" if rate else ""
        return f"{share}, {rate:,.1f}/s{left}"

    def _print(self, state: str, note: str = "") -> None:
        print(f"{self.label}: {state}{'  ' + note if note else ''}", file=self.stream, flush=True)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(max(seconds, 0.0))))
