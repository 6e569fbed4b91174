"""One writer at a time for each place on the disk; a lock is gone with the process that held it."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO

from genrec.artifacts.places import clean_up, explained
from genrec.errors import BusyError

try:
    import fcntl
except ImportError:  # not every system has it; there nobody is kept out
    fcntl = None  # type: ignore[assignment]

__all__ = ["claim"]

log = logging.getLogger(__name__)

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
"""What a file system says that knows no locks."""

_claims: dict[tuple[int, Path], _Claim] = {}
"""What this process has claimed, by process: a child made by fork has claimed nothing."""
_lock = Lock()


@dataclass
class _Claim:
    """A place that this process writes."""

    stream: IO[bytes] | None
    """The open lock file; None where the system has no locks."""
    count: int = 0
    """How often it is claimed, nested or by several threads."""


@contextmanager
def claim(path: Path | str) -> Iterator[None]:
    """Inside it, no other process writes `path`; what dead writers left beside it is cleaned up.

    May be nested within one process. A lock is held by the operating system and ends with the
    process, however it ends. Where the system or the file system knows no locks (some network file
    systems) nobody is kept out, which the log says, and nothing is cleaned up.

    Args:
        path: what is going to be written, a file or a folder.

    Raises:
        BusyError: another process is writing it.
        ArtifactError: nothing can be written there.
    """
    path = _one_name(Path(path))
    key = (os.getpid(), path)
    with _lock, explained(path):
        if key not in _claims:
            path.parent.mkdir(parents=True, exist_ok=True)
            _claims[key] = _Claim(_locked(path))
            if _claims[key].stream is not None:
                clean_up(path)
        _claims[key].count += 1
    try:
        yield
    finally:
        with _lock:
            _claims[key].count -= 1
            if not _claims[key].count:
                _release(path, _claims.pop(key).stream)


def _one_name(path: Path) -> Path:
    """The same name for the same place, whichever links and steps upwards lead to it."""
    return Path(os.path.realpath(path.parent), path.name)


def _lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _locked(path: Path) -> IO[bytes] | None:
    """The open lock file; it is the one that has the name, for a releasing process removes it."""
    if fcntl is None:
        return None
    file = _lock_file(path)
    while True:
        stream = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            raise BusyError(
                f"another process is writing {path}; wait until it is done, or choose another place"
            ) from None
        except OSError as error:
            stream.close()
            if error.errno not in WITHOUT_LOCKS:
                raise
            file.unlink(missing_ok=True)
            log.warning("%s is on a file system without locks: let one program write it", path)
            return None
        if _is_named(stream, file):
            return stream
        stream.close()


def _is_named(stream: IO[bytes], file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), file.stat())
    except FileNotFoundError:
        return False


def _release(path: Path, stream: IO[bytes] | None) -> None:
    if stream is not None:
        _lock_file(path).unlink(missing_ok=True)  # before others can have it
        stream.close()
