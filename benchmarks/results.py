"""Files of results: several programs may write into one, and none leaves half a file."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from genrec.semantic_ids.journal import exclusive

__all__ = ["alone_with", "write_arrays", "write_text"]


def alone_with(path: Path) -> AbstractContextManager[None]:
    """Inside it, no other program reads and writes these results."""
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return exclusive(Path(tempfile.gettempdir()) / f"genrec-results-{name}.lock")


def write_text(path: Path, text: str) -> None:
    """Puts a text in place of what stood there."""
    with _replacing(path) as stream:
        stream.write(text.encode("utf-8"))


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Puts an .npz of these arrays, by name, in place of what stood there."""
    with _replacing(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **{n: arrays[n] for n in sorted(arrays)})


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as stream:
        yield stream
    partial.replace(path)
