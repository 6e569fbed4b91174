"""Regular files: a pipe, a device or a folder in the place of one is refused, never waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from genrec.errors import ArtifactError, ArtifactMissingError

__all__ = ["open_regular", "read_regular"]

KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
}


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of the regular file at `path`, or of what a link there leads to.

    Args:
        path: the file.
        flags: as `os.open` takes them.

    Raises:
        ArtifactMissingError: there is nothing, and `flags` do not make it.
        ArtifactError: a pipe, a device, a socket or a folder stands there.
    """
    try:
        _require_regular(path, path.stat().st_mode)  # a device is not even opened
    except FileNotFoundError as error:
        if not flags & os.O_CREAT:
            raise ArtifactMissingError(
                f"{path} is missing; restore it, or make it again"
            ) from error
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        _require_regular(path, os.fstat(descriptor).st_mode)
    except ArtifactError:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: Path) -> bytes:
    """The content of the regular file at `path`.

    Raises:
        ArtifactMissingError: there is nothing.
        ArtifactError: what stands there is no regular file.
    """
    with os.fdopen(open_regular(path), "rb") as stream:
        return stream.read()


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "something else")
        raise ArtifactError(
            f"{path} is {kind}, not a file, and is not read; move it away, or restore the file "
            "from a copy"
        )
