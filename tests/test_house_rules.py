"""The sizes that keep the code readable: arguments are ruff's to count, lines are counted here."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60


def sources() -> list[Path]:
    """Every Python file of the library and its programs."""
    folders = ("genrec", "tokenizer", "train", "serve")
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in sources()
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = {}
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION and "kernels" not in file.parts:
                too_long[f"{file.relative_to(ROOT)}:{node.name}"] = lines
    assert too_long == {}
