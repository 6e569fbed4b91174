"""A single file that is written whole or not at all, by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genrec.artifacts.locks import claim
from genrec.artifacts.places import explained, staging_for
from genrec.errors import InputError

__all__ = ["replace_file", "write_page"]

GENERATOR = '<meta name="generator" content="genrec">'
"""Tells a page that genrec wrote from any other."""


@contextmanager
def replace_file(path: Path | str) -> Iterator[Path]:
    """Gives a temporary file to write; on leaving, it becomes `path` at once.

    What stood at `path` stays if the block raises.

    Raises:
        BusyError: another process is writing it.
        ArtifactError: it cannot be written there.
    """
    path = Path(path)
    with claim(path), explained(path):
        staging = staging_for(path)
        try:
            yield staging
            with staging.open("rb") as stream:
                os.fsync(stream.fileno())
            staging.replace(path)
        finally:
            staging.unlink(missing_ok=True)


def write_page(path: Path | str, html: str) -> None:
    """Writes a page that genrec made; only another page of genrec's is replaced by it.

    Args:
        path: where the page shall stand.
        html: the page; what says that it is genrec's is put into its `<head>`.

    Raises:
        InputError: something else stands at `path`.
        BusyError: another process is writing it.
        ArtifactError: it cannot be written there.
    """
    path = Path(path)
    with claim(path):
        if path.exists() or path.is_symlink():
            content = path.read_bytes() if path.is_file() else b""
            if GENERATOR.encode() not in content:
                raise InputError(
                    f"{path} is there and is no page that genrec wrote, so it is not replaced; "
                    "choose another name, or remove it"
                )
        with replace_file(path) as staging:
            staging.write_text(html.replace("<head>", f"<head>{GENERATOR}", 1), encoding="utf-8")
