"""Options that are declared once: a command has them all, and gets them as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from genrec import console
from genrec.option_records import OptionRecord, Prefixed, takes_records


@dataclass(frozen=True, kw_only=True)
class Text(OptionRecord):
    separator: Annotated[str | None, typer.Option(help="Between the columns.")] = None
    header: Annotated[bool, typer.Option(help="Are there names?")] = True


@dataclass(frozen=True, kw_only=True)
class Table(OptionRecord):
    name: Annotated[str, typer.Option(help="Of the table.")]
    text: Text
    other: Annotated[Text, Prefixed("other", "Of the other")]
    drop: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None


@pytest.fixture
def seen() -> list[tuple[str, Table, bool]]:
    """What the command was called with."""
    return []


@pytest.fixture
def app(seen: list[tuple[str, Table, bool]]) -> typer.Typer:
    app = console.program("Reads tables.")

    @app.command()
    @takes_records
    def read(
        file: Annotated[str, typer.Argument()],
        table: Table,
        force: Annotated[bool, typer.Option()] = False,
    ) -> None:
        seen.append((file, table, force))

    return app


def test_defaults_are_those_of_the_records(
    app: typer.Typer, seen: list[tuple[str, Table, bool]]
) -> None:
    console.run(app, ["f", "--name", "a"])
    assert seen == [("f", Table(name="a", text=Text(), other=Text()), False)]


def test_what_is_given_reaches_its_record(
    app: typer.Typer, seen: list[tuple[str, Table, bool]]
) -> None:
    words = ["--separator", ";", "--other-separator", "|", "--no-other-header"]
    console.run(app, ["f", "--name", "a", "--drop", "x", "--drop", "y", "--force", *words])
    text, other = Text(separator=";"), Text(separator="|", header=False)
    assert seen == [("f", Table(name="a", text=text, other=other, drop=["x", "y"]), True)]


def test_help_tells_every_option_and_whom_it_is_for(
    app: typer.Typer, capsys: pytest.CaptureFixture[str]
) -> None:
    console.run(app, ["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    for words in ("--separator", "--no-header", "--other-separator", "--name", "[required]"):
        assert words in printed
    assert "Of the other: between the columns." in printed


def test_an_option_that_is_required_is_asked_for(
    app: typer.Typer,
    seen: list[tuple[str, Table, bool]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        console.run(app, ["f"])
    assert "--name" in capsys.readouterr().err
    assert seen == []
