"""An append-only file of the items that were added to Semantic IDs; every line is checksummed.

Each line is a checksum, a space and a JSON object. The checksum covers the line and the one before
it, so that no line can be altered, lost or moved unnoticed. A second file, the head, holds how far
the journal went when its last change was acknowledged: a journal that is shorter has lost its end.
What a crash left behind the head was not acknowledged: whole lines count, the rest is cut off.
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

from genrec.checked import open_regular, parse_json
from genrec.errors import ArtifactError, ArtifactMissingError, InputError
from genrec.semantic_ids.given_items import is_text
from genrec.semantic_ids.journal_head import JournalHead, head_of, sync_folder, write_whole

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

FORMAT_VERSION = 3
ADDS_ONLY = 2
"""A format that is still read: without heads, changes and removals."""
BEFORE_THE_FIRST = "0" * 64


@dataclass(frozen=True, kw_only=True)
class JournalStart:
    """What the first line says."""

    base: str
    """Digest of the artefact that the items were added to."""
    num_added: int
    """Items that compactions had taken over before."""
    after: str = ""
    """Checksum of the last line of the journal that was taken over last."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One item that was added, or what it is from here on."""

    item_id: str
    codes: tuple[int, ...]
    """Its id, L codes."""
    nearest: tuple[int, ...]
    """The L codes it would have if all were free."""
    content: bytes
    """What it was encoded from: float32 [D], little-endian."""
    title: str | None = None
    removed: bool = False
    """Whether no answer shall hold it any more."""

    def __post_init__(self) -> None:
        rows = (*self.codes, *self.nearest)
        if not all(type(code) is int and 0 <= code < 1 << 16 for code in rows):
            raise ValueError(f"codes are whole numbers of 16 bits, got {rows}")
        if (
            not is_text(self.item_id)
            or not self.item_id
            or not (self.title is None or is_text(self.title))
        ):
            raise ValueError(f"{self.item_id!r} is no item id, or {self.title!r} is no title")
        if type(self.removed) is not bool:
            raise ValueError(f"removed must be true or false, got {self.removed!r}")

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Record:
        """What a line says."""
        return cls(
            item_id=line["item_id"],
            codes=tuple(line["codes"]),
            nearest=tuple(line["nearest"]),
            content=base64.b64decode(line["content"], validate=True),
            title=line["title"],
            removed=line.get("removed", False),
        )

    def as_line(self) -> dict[str, Any]:
        """JSON values."""
        line = {**vars(self), "content": base64.b64encode(self.content).decode("ascii")}
        if not self.removed:
            del line["removed"]
        return line

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
        self._start_checksum = self.checksum
        self.format = start.pop("format", None)
        if self.format not in (ADDS_ONLY, FORMAT_VERSION):
            raise ArtifactError(
                f"{path} has format {self.format}, this genrec reads {FORMAT_VERSION}; "
                "use the genrec that wrote it, or move it away and add its items again: they may "
                "get other ids"
            )
        self.start = _start_of(start, path)

    @property
    def num_records(self) -> int:
        """Records that were read or appended."""
        return self._num_lines - 1

    @classmethod
    def begin(cls, path: Path, start: JournalStart) -> Journal:
        """An empty journal, on the disk; what stood at `path` before is replaced at once."""
        line, _ = _line_of({"format": FORMAT_VERSION, **asdict(start)}, BEFORE_THE_FIRST)
        write_whole(path, line)
        journal = cls(path, line)
        journal.write_head()
        return journal

    @classmethod
    def open(cls, path: Path) -> Journal:
        """The journal at `path`, of which no record has been read yet.

        Raises:
            ArtifactMissingError: there is none.
            ArtifactError: its first line is altered, or of another format.
        """
        try:
            with os.fdopen(open_regular(path), "rb") as stream:
                return cls(path, stream.readline())
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"there is no journal at {path}; check the path") from error

    def read_new(self, *, mend: bool = False) -> list[Record] | None:
        """The records that nobody here has read yet; None if another journal took this one's place.

        Args:
            mend: cut off what a crash left of a line. Only for who holds the lock: for others it is
                a line that is being written.

        Raises:
            ArtifactError: a line was altered or lost, at the end too.
        """
        head = JournalHead.read(head_of(self.path))  # first: the journal is written before it
        try:
            with os.fdopen(open_regular(self.path), "rb") as stream:
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
        if tail and _payload_of(tail[:-1] + b"\n", self.checksum) is not None:
            raise self._altered()  # a whole line, but for the byte that ends it
        if head is not None and head.start == self._start_checksum:
            self._require_all_of(head)
        elif records and self.format != ADDS_ONLY:
            logger.warning(
                "%s has no head of its own (%s), so it cannot be told whether its end was lost; it "
                "is read as it is, and the next change writes one",
                self.path,
                head_of(self.path).name,
            )
        if mend:
            self._cut_off(tail)
        return records

    def write_head(self) -> None:
        """Notes how far the journal goes now. Only for who holds the lock."""
        JournalHead(
            start=self._start_checksum,
            length=self._end,
            checksum=self.checksum,
            num_records=self.num_records,
        ).write(head_of(self.path))

    def append(self, records: Sequence[Record]) -> None:
        """Adds records; when it returns, they are on the disk. Only for who holds the lock."""
        lines, checksum = [], self.checksum
        for seq, record in enumerate(records, self._num_lines):
            line, checksum = _line_of({"seq": seq, **record.as_line()}, checksum)
            lines.append(line)
        content = b"".join(lines)
        _append(self.path, content)
        self._end += len(content)
        self._num_lines += len(lines)
        self.checksum = checksum
        self.write_head()

    def _record(self, line: bytes) -> Record:
        content = self._verified(line)
        try:
            return Record.of(content)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{self.path}, line {self._num_lines} is no item that can be read ({error}); "
                "restore the file from a copy"
            ) from error

    def _require_all_of(self, head: JournalHead) -> None:
        """Raises an ArtifactError where lines that were acknowledged are not there."""
        is_same = head.length != self._end or head.checksum == self.checksum
        if head.length <= self._end and is_same:
            return
        raise ArtifactError(
            f"{self.path} has lost its end: {self.num_records} of {head.num_records} record(s) "
            f"are there. Restore it and {head_of(self.path).name} from one copy; to go on without "
            f"what was lost, remove {head_of(self.path).name} and add the later items again: they "
            "may get other ids"
        )

    def _verified(self, line: bytes) -> dict[str, Any]:
        """What the next line says."""
        payload = _payload_of(line, self.checksum)
        if payload is None:
            raise self._altered()
        content = parse_json(payload, f"{self.path}, line {self._num_lines + 1}")
        if not isinstance(content, dict):
            raise ArtifactError(f"{self.path}, line {self._num_lines + 1} is no JSON object")
        self._end += len(line)
        self._num_lines += 1
        self.checksum = line[:64].decode()
        return content

    def _cut_off(self, tail: bytes) -> None:
        """Removes bytes behind the last whole line."""
        if tail:
            logger.warning(
                "%s: its last line was never finished, for a crash; its %d byte(s) are cut off. "
                "Add the item that it was for again",
                self.path,
                len(tail),
            )
            with os.fdopen(open_regular(self.path, os.O_RDWR), "r+b") as stream:
                stream.truncate(self._end)
                os.fsync(stream.fileno())

    def _altered(self) -> ArtifactError:
        line = self._num_lines + 1
        if line == 1:
            remedy = "restore the file from a copy, or move it away and add its items again"
        else:
            remedy = (
                f"restore the file from a copy, or keep the lines before it (head -n {line - 1}), "
                f"remove {head_of(self.path).name} and add the later items again: they may get "
                "other ids"
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
    with os.fdopen(open_regular(path, os.O_WRONLY | os.O_CREAT), "wb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("waiting for another process that changes %s", path)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _line_of(content: dict[str, Any], before: str) -> tuple[bytes, str]:
    """A line, and its checksum."""
    payload = json.dumps(content, separators=(",", ":")).encode("ascii")
    checksum = _checksum(payload, before)
    return b"%s %s\n" % (checksum.encode("ascii"), payload), checksum


def _payload_of(line: bytes, before: str) -> bytes | None:
    """The JSON of a line; None if it is not as it was written, or does not follow on `before`."""
    checksum, _, payload = line.partition(b" ")
    payload, end = payload[:-1], payload[-1:]
    if end != b"\n" or checksum != _checksum(payload, before).encode("ascii"):
        return None
    return payload


def _start_of(line: Mapping[str, Any], path: Path) -> JournalStart:
    """What the first line says, behind its format."""
    start = {"after": "", **line}
    if {name: type(value) for name, value in start.items()} != {
        "base": str,
        "num_added": int,
        "after": str,
    }:
        raise ArtifactError(f"{path}, line 1 is no beginning of a journal; restore it from a copy")
    return JournalStart(**start)


def _checksum(payload: bytes, before: str) -> str:
    return hashlib.sha256(before.encode("ascii") + payload).hexdigest()


def _append(path: Path, content: bytes) -> None:
    descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
