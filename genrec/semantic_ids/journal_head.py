"""The head of a journal: how far it went when its last change was acknowledged, in a second file.

A journal that was cut at the end of a line reads as one that never had the lines behind it. Its
head, which is replaced as a whole after each change, tells that they are missing.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from genrec.checked import open_regular, parse_json, read_regular
from genrec.errors import ArtifactError

__all__ = ["JournalHead", "head_of", "sync_folder", "write_whole"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class JournalHead:
    """What stands in a journal for certain."""

    start: str
    """Checksum of the journal's first line: which journal it is."""
    length: int
    """Bytes up to the end of the last line."""
    checksum: str
    """Of the last line."""
    num_records: int
    """Lines behind the first."""

    @classmethod
    def read(cls, path: Path) -> JournalHead | None:
        """The head at `path`; None where there is none.

        Raises:
            ArtifactError: what stands there is no head.
        """
        try:
            content = read_regular(path)
        except FileNotFoundError:
            return None
        record = parse_json(content, str(path))
        if not isinstance(record, dict) or {
            name: type(value) for name, value in record.items()
        } != {"start": str, "length": int, "checksum": str, "num_records": int}:
            raise ArtifactError(
                f"{path} is not the head of a journal; restore it and the journal from one copy, "
                "or remove it to go on with what the journal has"
            )
        return cls(**record)

    def write(self, path: Path) -> None:
        """Puts it at `path`, on the disk, in the place of the one before."""
        write_whole(path, json.dumps(asdict(self)).encode("ascii") + b"\n")


def head_of(journal: Path) -> Path:
    """Where the head of the journal at this path stands."""
    return journal.with_name(f"{journal.name}.head")


def write_whole(path: Path, content: bytes) -> None:
    """Replaces the file at `path` at once; when it returns, that is on the disk.

    What a killed process left of an earlier try is removed: only for who holds the ids' lock.
    """
    for left in path.parent.glob(f".{path.name}.*.partial"):
        left.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    descriptor = open_regular(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk: files that were made, renamed or replaced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
