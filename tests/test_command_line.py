"""The command `genrec`: its table, its help, its errors; programs are run here, never imported."""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from rich.console import Console
from rich.table import Table

from genrec import console
from genrec.__main__ import PROGRAMS, main
from genrec.errors import InputError

ROOT = Path(__file__).parents[1]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `genrec WORDS`."""
    code: object = 0
    try:
        main(list(words))
    except SystemExit as left:
        code = left.code
    printed = capsys.readouterr()
    assert isinstance(code, int)
    return code, printed.out, printed.err


def first_sentence(file: Path) -> str:
    doc = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(re.split(r"(?<=[.?!])\s", doc.strip() + " ")[0].split())


def file_of(name: str) -> Path:
    return ROOT / (PROGRAMS[name].module.replace(".", "/") + ".py")


def test_every_program_file_is_in_the_table_and_no_other() -> None:
    on_disk = {
        file
        for folder in ("tokenizer", "train", "serve")
        for file in (ROOT / folder).rglob("*.py")
        if "\ndef main(" in file.read_text(encoding="utf-8")
    }
    assert {file_of(name) for name in PROGRAMS} == on_disk


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_table_says_what_the_program_says_of_itself(name: str) -> None:
    assert PROGRAMS[name].sentence == first_sentence(file_of(name))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_help_of_every_program_starts_with_its_sentence(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed, _ = run(capsys, *name.split(), "--help")
    assert code == 0
    usage, _, rest = printed.partition("\n\n")
    assert usage.startswith(f"Usage: genrec {name} ")
    assert " ".join(rest.split()).startswith(PROGRAMS[name].sentence)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_genrec_alone_lists_every_program_with_its_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed, _ = run(capsys, *words)
    assert code == 0
    lines = {" ".join(line.split()) for line in printed.splitlines()}
    assert {f"{name} {program.sentence}" for name, program in PROGRAMS.items()} <= lines


def test_help_for_a_first_word_lists_the_programs_that_share_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, printed, _ = run(capsys, "train", "--help")
    assert code == 0
    assert "train ranker" in printed
    assert "tokenize" not in printed


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["recomend"], "did you mean recommend?"),
        (["trian", "generator"], "did you mean train generator"),
        (["train"], "train generator, train two-tower, train ranker"),
        (["train", "generatr"], "train generator, train two-tower, train ranker"),
        (["--data", "x"], "`genrec` lists all of them"),
    ],
)
def test_an_unknown_word_is_answered_with_what_was_meant(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed, message = run(capsys, *words)
    assert (code, printed) == (2, "")
    assert message.startswith("error: ")
    assert hint in message


def test_the_version_is_that_of_the_installed_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"1.2.3 of {name}")
    assert run(capsys, "--version") == (0, "genrec 1.2.3 of genrec\n", "")


def test_running_a_program_leaves_the_arguments_of_the_process_as_they_were(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = list(sys.argv)
    run(capsys, "doctor", "--help")
    assert sys.argv == before


# --- console.run -------------------------------------------------------------------------------


def app_that_raises(error: BaseException | None) -> typer.Typer:
    app = console.program("Raises.")

    @app.command()
    def raise_it() -> None:
        if error is not None:
            raise error

    return app


def test_a_program_that_ends_well_returns() -> None:
    console.run(app_that_raises(None), [])


def test_a_typed_error_becomes_one_message_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as left:
        console.run(app_that_raises(InputError("k is -1; give 1 or more")), [])
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: k is -1; give 1 or more\n"


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        console.run(app_that_raises(KeyboardInterrupt()), [])
    assert left.value.code == 130
    assert "run the same command again to go on" in capsys.readouterr().err


def test_an_interruption_of_what_begins_anew_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    app = console.program("Works.")

    @app.command()
    def work(force: bool = False) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        console.run(app, ["--force"])
    assert "to go on, without --force, which begins anew" in capsys.readouterr().err


def test_a_defect_keeps_its_trace() -> None:
    with pytest.raises(ZeroDivisionError):
        console.run(app_that_raises(ZeroDivisionError()), [])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "a.csv"), "error: a.csv: Permission denied"),
        (MemoryError(), "error: there is not enough memory"),
        (RuntimeError("can't allocate memory: 128 bytes"), "error: there is not enough memory"),
        (ImportError("x.so: failed to map segment"), "error: there is not enough memory"),
    ],
)
def test_what_the_system_refuses_is_one_message_and_exit_code_1(
    error: BaseException, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        console.run(app_that_raises(error), [])
    assert left.value.code == 1
    assert capsys.readouterr().err.startswith(message)


def test_what_a_program_holds_is_left_when_it_ends(tmp_path: Path) -> None:
    left = []

    @contextlib.contextmanager
    def resource() -> Iterator[None]:
        try:
            yield
        finally:  # a program ends with SystemExit
            left.append(True)

    app = console.program("Holds.")

    @app.command()
    def hold() -> None:
        console.hold(resource())
        assert not left

    console.run(app, [])
    assert left == [True]
    with pytest.raises(RuntimeError, match="no program runs"):
        console.hold(resource())


def test_an_unknown_option_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        console.run(app_that_raises(None), ["--nothing-such"])
    assert left.value.code == 2
    assert "--nothing-such" in capsys.readouterr().err


# --- progress ----------------------------------------------------------------------------------


def test_progress_into_a_pipe_prints_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 5.0, 20.0, 21.0, 40.0])
    monkeypatch.setattr("genrec.console.time.monotonic", lambda: next(clock))
    with console.progress("reading", 100) as advance:
        advance(10)
        advance(30, note="loss 2.5")
        advance(60)
    assert capsys.readouterr().err.splitlines() == [
        "reading: 40 of 100 (40%), 2.0/s, 0:00:30 left  loss 2.5",
        "reading: 100 done in 0:00:40",
    ]


def test_progress_without_a_total_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 20.0, 20.0])
    monkeypatch.setattr("genrec.console.time.monotonic", lambda: next(clock))
    with console.progress("reading") as advance:
        advance(10)
    assert capsys.readouterr().err.splitlines()[0] == "reading: 10, 0.5/s"


def test_progress_on_a_terminal_is_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with console.progress("reading", 3) as advance:
        advance(3, note="loss 2.5")
    printed = capsys.readouterr().err
    assert "3/3" in printed
    assert "loss 2.5" in printed


def test_what_is_logged_goes_where_a_bar_has_redirected_stderr_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = console.program("Logs.")
    above_the_bar = io.StringIO()

    @app.command()
    def log() -> None:
        with contextlib.redirect_stderr(above_the_bar):
            logging.getLogger("genrec.tests").info("a line of the log")

    console.run(app, [])
    assert above_the_bar.getvalue() == "a line of the log\n"
    assert capsys.readouterr().err == ""


def test_an_error_inside_progress_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), console.progress("reading", 3):
        raise ZeroDivisionError


# --- doctor ------------------------------------------------------------------------------------


def test_the_doctor_finds_everything_required_here(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = run(capsys, "doctor", "--json")
    diagnosis = json.loads(printed)
    assert code == 0
    assert diagnosis["complete"]
    assert {finding["group"] for finding in diagnosis["findings"]} >= {"machine", "encoder"}


def test_the_doctor_names_a_missing_package_and_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version

    def without_faiss(name: str) -> str:
        if name == "faiss-cpu":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_faiss)
    code, printed, _ = run(capsys, "doctor")
    assert code == 1
    assert re.search(r"faiss-cpu +missing +-> pip install 'faiss-cpu", printed)


# --- demo --------------------------------------------------------------------------------------


def test_the_demo_imports_a_log_with_its_catalogue(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("interactions.parquet", "items.parquet"):
        (tmp_path / name).touch()
    _, printed, _ = run(capsys, "demo", "--dry-run", "--data", str(tmp_path), "--out", "runs/x")
    first = printed.splitlines()[0].removeprefix("$ ")
    log, items = tmp_path / "interactions.parquet", tmp_path / "items.parquet"
    assert first == f"genrec data import {log} --items {items} --out runs/x/data"


def test_the_demo_hands_the_options_of_an_import_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "log.csv").touch()
    words = ["--user", "userId", "--time-format", "%d/%m/%y"]
    data = ["--data", str(tmp_path / "log.csv"), "--out", "x"]
    _, printed, _ = run(capsys, "demo", "--dry-run", *words, *data)
    assert printed.splitlines()[0].endswith("--out x/data --user userId --time-format %d/%m/%y")
    code, _, message = run(capsys, "demo", "--dry-run", *words)
    assert (code, "only a log that is imported" in message) == (2, True)


def test_the_demo_stops_behind_the_import_of_data_that_nothing_can_learn_from(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\nu,a,1\nu,b,2\nv,c,3\n")
    data = ["--data", str(tmp_path / "log.csv"), "--out", str(tmp_path / "run")]
    code, _, message = run(capsys, "demo", *data)
    assert (code, "nothing can be trained" in message) == (2, True)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["data"]


def test_the_demo_gives_its_seed_to_every_step_that_draws(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, printed, _ = run(capsys, "demo", "--dry-run", "--seed", "7")
    seeded = [line for line in printed.splitlines() if line.endswith("--seed 7")]
    assert [("tokenize" in line, "train" in line) for line in seeded] == [
        (False, True),
        (True, False),
        *[(False, True)] * 2,
    ]


def test_the_demo_refuses_a_place_without_a_log(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, message = run(capsys, "demo", "--dry-run", "--data", str(tmp_path))
    assert code == 2
    assert "there is no log at" in message


def test_the_demo_stops_at_the_first_step_that_fails(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("no,such,columns\n1,2,3\n")
    code, printed, message = run(capfd, "demo", "--data", str(log), "--out", str(tmp_path / "run"))
    assert code == 2
    assert printed.count("$ genrec") == 1
    assert "ended with exit code 2, its message stands above" in message


def test_brackets_in_a_table_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("item", title="[red]log[/x]")
    for item_id in ("[/b]", "[b7]", "Film [dvd]", ":smile:"):
        table.add_row(item_id)
    console.show(table)
    shown = capsys.readouterr().out
    for text in ("[red]log[/x]", "[/b]", "[b7]", "Film [dvd]", ":smile:"):
        assert text in shown


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_a_terminal_cannot_write_is_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    app = console.program("Prints.")

    @app.command()
    def print_all() -> None:
        console.say("said Ж \ud800 \u202eabc")
        table = Table("item")
        table.add_row("tabled Ж \ud800")
        console.show(table)
        raise InputError("failed Ж \ud800")

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit) as left:
        console.run(app, [])
    assert left.value.code == 2
    for stream, words in ((out, ("said ", "tabled ")), (err, ("failed ",))):
        stream.flush()
        written = stream.buffer.getvalue().decode(encoding)
        for word in words:
            assert word + ("\\u0416" if encoding == "ascii" else "Ж") + " \\ud800" in written


def test_the_bar_shows_labels_and_notes_as_they_are() -> None:
    stream = io.StringIO()
    page = Console(file=stream, force_terminal=True, width=120)
    with console._bar(page) as bar:
        bar.add_task("[/b] encoding", total=2, note="[dvd]")
    assert "[/b] encoding" in stream.getvalue()
    assert "[dvd]" in stream.getvalue()


@pytest.mark.parametrize("words", [["data", "import"], ["data", "validate"], ["recommend"]])
def test_every_program_that_reads_a_log_has_the_options_of_reading(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _, shown, _ = run(capsys, *words, "--help")
    options = set(re.findall(r"--[a-z-]+", shown))
    order = {"--user", "--item", "--time", "--time-unit", "--time-format", "--position"}
    text = {"--separator", "--encoding", "--quote", "--no-header", "--columns", "--explode"}
    choice = {"--event", "--event-in", "--value", "--min-value"}
    assert order | text | choice | {"--drop", "--keep", "--strip"} <= options
