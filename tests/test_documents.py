"""What documents hold of other files is there: tables of docs/results, tests by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import accuracy, decoding_page
from benchmarks.accuracy_rows import Rows

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_tables_of_decoding_are_those_of_its_files() -> None:
    for (path, name), text in decoding_page.texts().items():
        assert f"<!-- {name} -->\n\n{text}\n\n<!-- end of {name} -->" in path.read_text(), name


def test_the_tables_of_accuracy_are_those_of_its_files() -> None:
    for (path, name), text in accuracy.texts(Rows(accuracy.OUT)).items():
        assert f"<!-- {name} -->\n\n{text}\n\n<!-- end of {name} -->" in path.read_text(), name


def test_every_test_that_the_guide_to_data_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "data.md").read_text())
    assert len(named) > 20
    for file, test in named:
        content = (ROOT / file).read_text()
        assert f"def {test or 'test_'}" in content, (file, test)
