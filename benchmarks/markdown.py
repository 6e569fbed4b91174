"""Tables in Markdown, and the places in documents that they are written to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genrec.errors import InputError

__all__ = ["markdown_table", "put_between_marks"]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put_between_marks(path: Path, name: str, text: str) -> None:
    """Puts a text in the place of what stands between two marks of a Markdown file.

    Raises:
        InputError: the marks `<!-- NAME -->` and `<!-- end of NAME -->` are not both there.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise InputError(f"{path} has no lines {begin.strip()} and {end}; put them where {name} is")
    path.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")
