"""The documents promise nothing that is not there: commands, options, targets, files, names."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from genrec import console
from genrec.__main__ import PROGRAMS, main

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {"text"}
"""Blocks that show output, trees or usage; all others are to be typed."""


def blocks(document: Path) -> list[tuple[str, str]]:
    """Language and content of every fenced block."""
    found = re.findall(
        r"^```(\w*)[^\n]*\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL
    )
    return list(found)


def typed_commands(document: Path) -> list[list[str]]:
    """Every command of the document's blocks as words, pipes and lists taken apart."""
    commands = []
    for language, content in blocks(document):
        if language in TEXT or language == "python":
            continue
        for line in content.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if set(word) <= set("|&;<>()"):
                    commands.append(words)
                    words = []
                else:
                    words.append(word)
    return [words for words in commands if words]


def cases(*starts: str) -> list[Any]:
    """One test case a command that starts with one of these words."""
    return [
        pytest.param(words, id=f"{document.name}: {' '.join(words)}")
        for document in DOCUMENTS
        if document.is_file()
        for words in typed_commands(document)
        if words[0] in starts
    ]


def program_of(words: list[str]) -> tuple[str, list[str]]:
    """The program that a command starts, and its arguments."""
    if words[0] == "genrec":
        for length in (2, 1):
            name = " ".join(words[1 : 1 + length])
            if name in PROGRAMS:
                return name, words[1 + length :]
        pytest.fail(f"genrec has no program {words[1]!r}")
    module = words[words.index("-m") + 1]
    names = {program.module: name for name, program in PROGRAMS.items()}
    name = names[module.removeprefix("genrec.")]
    return name, words[words.index("-m") + 2 :]


def app_of(name: str, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The typer app of a program, caught on its way to be run."""
    caught: list[typer.Typer] = []
    monkeypatch.setattr(console, "run", lambda app, argv=None: caught.append(app))
    main(name.split())
    [app] = caught
    return app


def check_arguments(app: typer.Typer, arguments: list[str]) -> None:
    """Parses arguments as the program would, without looking at the files they name.

    Raises:
        Exception: an option that does not exist, or that lacks its value; typer's own class.
    """
    command: Any = typer.main.get_command(app)  # Any: typer does not export its classes
    while True:
        context = command.make_context(command.name or "program", [], resilient_parsing=True)
        context.resilient_parsing = False
        given, rest, _ = command.make_parser(context).parse_args(list(arguments))
        if "help" in given:
            return
        for parameter in command.params:
            if parameter.required:
                assert given.get(parameter.name), f"{parameter.name} is missing"
        subcommands = getattr(command, "commands", {})
        if not subcommands:
            assert not rest, f"nobody takes {rest}"
            return
        if not rest and command.invoke_without_command:
            return
        command, arguments = subcommands[rest[0]], rest[1:]


@pytest.mark.parametrize("words", cases("genrec"))
def test_every_genrec_command_has_a_program_that_takes_its_options(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if words[1:] in ([], ["--help"], ["--version"]):
        return
    name, arguments = program_of(words)
    check_arguments(app_of(name, monkeypatch), arguments)


@pytest.mark.parametrize("words", cases("accelerate", "python", "python3"))
def test_every_program_started_by_module_takes_its_options(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = re.compile(r"(genrec\.)?(tokenizer|train|serve)\.")
    if "-m" in words and ours.match(words[words.index("-m") + 1]):
        name, arguments = program_of(words)
        check_arguments(app_of(name, monkeypatch), arguments)


def test_a_wrong_option_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of("doctor", monkeypatch)
    check_arguments(app, ["--json"])
    with pytest.raises(Exception, match="--jsno"):
        check_arguments(app, ["--jsno"])


def test_the_readme_shows_commands() -> None:
    typed = [" ".join(words) for words in typed_commands(ROOT / "README.md")]
    assert {"make demo", "make test"} <= set(typed)
    assert any(line.startswith("genrec ") for line in typed)


def test_the_readme_shows_the_very_steps_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    main(["demo", "--dry-run"])
    steps = [line.removeprefix("$ ") for line in capsys.readouterr().out.splitlines()]
    steps = [re.sub(r" --num_cpu_threads_per_process \d+", "", step) for step in steps]
    typed = [" ".join(words) for words in typed_commands(ROOT / "README.md")]
    typed = [re.sub(r" --num_cpu_threads_per_process \S+", "", line) for line in typed]
    missing = [step for step in steps if step not in typed]
    assert steps
    assert missing == []


@pytest.mark.parametrize("words", cases("make"))
def test_every_make_command_has_its_target_and_variables(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words[1:]:
        variable = re.fullmatch(r"([A-Z_]+)=.*", word)
        pattern = rf"^{variable[1]} \?=" if variable else rf"^{re.escape(word)}:"
        assert re.search(pattern, makefile, re.MULTILINE), f"the Makefile has no {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_python_examples_compile_and_name_what_genrec_has(document: Path) -> None:
    for language, content in blocks(document):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genrec"):
                module = importlib.import_module(node.module or "")
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert missing == []
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "genrec":
                assert hasattr(importlib.import_module("genrec"), node.attr)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_files_that_a_document_names_exist(document: Path) -> None:
    text = document.read_text()
    for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text):
        assert (document.parent / link).exists(), f"{document.name} links to {link}"
    folders = ("genrec", "tokenizer", "train", "serve", "tests", "benchmarks")
    known = {file.name for folder in folders for file in (ROOT / folder).rglob("*.py")}
    named = set(re.findall(r"(?<![\w<>*])[a-z_]\w*\.py\b", text))
    assert named - known == set()
