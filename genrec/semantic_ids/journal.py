"""An append-only file of the items that were added to Semantic IDs; every line is checksummed.

Each line is a checksum, a space and a JSON object. The checksum covers the line and the one before
it, so that no line can be altered, lost or moved unnoticed. What a crash left of a line that was
being written lacks its end, and is cut off; nobody was told that it had been saved.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.errors import ArtifactError, ArtifactMissingError, InputError

__all__ = [
    "Journal",
    "JournalStart",
    "Record",
    "exclusive",
    "has_locks",
    "journal_of",
    "lock_of",
    "sync_folder",
]

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
BEFORE_THE_FIRST = "0" * 64


@dataclass(frozen=True, kw_only=True)
class JournalStart:
    """What the first line says."""

    base: str
    """Digest of the artefact that the items were added to."""
    num_added: int
    """Items that compactions had taken over before."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One item that was added."""

    item_id: str
    codes: tuple[int, ...]
    """Its id, L codes."""
    nearest: tuple[int, ...]
    """The L codes it would have if all were free."""
    content: bytes
    """What it was encoded from: float32 [D], little-endian."""
    title: str | None = None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Record:
        """What a line says."""
        return cls(
            item_id=line["item_id"],
            codes=tuple(line["codes"]),
            nearest=tuple(line["nearest"]),
            content=base64.b64decode(line["content"]),
            title=line["title"],
        )

    def as_line(self) -> dict[str, Any]:
        """JSON values."""
        return {**vars(self), "content": base64.b64encode(self.content).decode("ascii")}

    @property
    def vector(self) -> npt.NDArray[np.float32]:
        """float32 [D]: what it was encoded from."""
        return np.frombuffer(self.content, dtype="<f4")


class Journal:
    """A journal, read as far as `read_new` went; made by `begin` or `open`."""

    def __init__(self, path: Path, first_line: bytes) -> None:
        self.path = path
        self._first_line = first_line
        self._end = 0
        self._num_lines = 0
        self.checksum = BEFORE_THE_FIRST
        """Of the last line that was read: it stands for all lines up to there."""
        start = self._verified(first_line)
        if start.get("format") != FORMAT_VERSION:
            raise ArtifactError(
                f"{path} has format {start.get('format')}, this genrec reads {FORMAT_VERSION}; "
                "use the genrec that wrote it, or move it away and add its items again: they may "
                "get other ids"
            )
        self.start = JournalStart(base=start["base"], num_added=start["num_added"])

    @property
    def num_records(self) -> int:
        """Records that were read or appended."""
        return self._num_lines - 1

    @classmethod
    def begin(cls, path: Path, start: JournalStart) -> Journal:
        """An empty journal, on the disk; what stood at `path` before is replaced at once."""
        line, _ = _line_of({"format": FORMAT_VERSION, **asdict(start)}, BEFORE_THE_FIRST)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        _write(partial, line, flags=os.O_CREAT | os.O_TRUNC)
        partial.replace(path)
        sync_folder(path.parent)
        return cls(path, line)

    @classmethod
    def open(cls, path: Path) -> Journal:
        """The journal at `path`, of which no record has been read yet.

        Raises:
            ArtifactMissingError: there is none.
            ArtifactError: its first line is altered, or of another format.
        """
        try:
            with path.open("rb") as stream:
                return cls(path, stream.readline())
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"there is no journal at {path}; check the path") from error

    def read_new(self, *, mend: bool = False) -> list[Record] | None:
        """The records that nobody here has read yet; None if another journal took this one's place.

        Args:
            mend: cut off what a crash left of a line. Only for who holds the lock: for others it is
                a line that is being written.

        Raises:
            ArtifactError: a line was altered or lost.
        """
        try:
            with self.path.open("rb") as stream:
                if stream.read(len(self._first_line)) != self._first_line:
                    return None
                if stream.seek(0, os.SEEK_END) < self._end:
                    raise ArtifactError(
                        f"{self.path} has become shorter than it was: {self._end} byte(s) had been "
                        "read; restore it from a copy"
                    )
                stream.seek(self._end)
                *lines, tail = stream.read().split(b"\n")
        except FileNotFoundError:
            return None
        records = [self._record(line + b"\n") for line in lines]
        self._examine(tail, mend=mend)
        return records

    def append(self, records: Sequence[Record]) -> None:
        """Adds records; when it returns, they are on the disk. Only for who holds the lock."""
        lines, checksum = [], self.checksum
        for seq, record in enumerate(records, self._num_lines):
            line, checksum = _line_of({"seq": seq, **record.as_line()}, checksum)
            lines.append(line)
        content = b"".join(lines)
        _write(self.path, content, flags=os.O_APPEND)
        self._end += len(content)
        self._num_lines += len(lines)
        self.checksum = checksum

    def _record(self, line: bytes) -> Record:
        return Record.of(self._verified(line))

    def _verified(self, line: bytes) -> dict[str, Any]:
        """What the next line says."""
        content = _content_of(line, self.checksum)
        if content is None:
            raise self._altered()
        self._end += len(line)
        self._num_lines += 1
        self.checksum = line[:64].decode()
        return content

    def _examine(self, tail: bytes, *, mend: bool) -> None:
        """Looks at bytes behind the last whole line."""
        if tail and _content_of(tail[:-1] + b"\n", self.checksum) is not None:
            raise self._altered()  # a whole line, but for the byte that ends it
        if tail and mend:
            logger.warning(
                "%s: its last line was never finished, for a crash; its %d byte(s) are cut off. "
                "Add the item that it was for again",
                self.path,
                len(tail),
            )
            with self.path.open("r+b") as stream:
                stream.truncate(self._end)
                os.fsync(stream.fileno())

    def _altered(self) -> ArtifactError:
        line = self._num_lines + 1
        if line == 1:
            remedy = "restore the file from a copy, or move it away and add its items again"
        else:
            remedy = (
                f"restore the file from a copy, or keep what stands before it (head -n {line - 1}) "
                "and add the later items again: they may get other ids"
            )
        return ArtifactError(
            f"{self.path}, line {line} was altered after it was written (its checksum differs); "
            + remedy
        )


def journal_of(path: Path | str) -> Path:
    """Where the items stand that were added to the Semantic IDs at `path`."""
    path = Path(path)
    return path.with_name(f"{path.name}.journal")


def lock_of(path: Path) -> Path:
    """What stands for the ids at `path` while they are being changed."""
    return path.with_name(f"{path.name}.journal.lock")


def has_locks() -> bool:
    """Whether the operating system has the locks that items are added under."""
    return importlib.util.find_spec("fcntl") is not None


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Inside it, no other process or thread holds the lock that the file `path` stands for.

    Raises:
        InputError: the operating system has no such locks.
    """
    try:
        import fcntl
    except ModuleNotFoundError as error:
        raise InputError(
            "items are added under a file lock, which this operating system does not have; "
            "add them on Linux or macOS"
        ) from error
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("waiting for another process that changes %s", path)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk: files that were made, renamed or replaced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line_of(content: dict[str, Any], before: str) -> tuple[bytes, str]:
    """A line, and its checksum."""
    payload = json.dumps(content, separators=(",", ":")).encode("ascii")
    checksum = _checksum(payload, before)
    return b"%s %s\n" % (checksum.encode("ascii"), payload), checksum


def _content_of(line: bytes, before: str) -> dict[str, Any] | None:
    """What a line says; None if it is not as it was written, or does not follow on `before`."""
    checksum, _, payload = line.partition(b" ")
    payload, end = payload[:-1], payload[-1:]
    if end != b"\n" or checksum != _checksum(payload, before).encode("ascii"):
        return None
    return dict(json.loads(payload))


def _checksum(payload: bytes, before: str) -> str:
    return hashlib.sha256(before.encode("ascii") + payload).hexdigest()


def _write(path: Path, content: bytes, *, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | flags, 0o666)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
