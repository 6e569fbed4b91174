"""What was written under a temporary name takes its place at once, or what stood there stays."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from genrec.errors import ArtifactError

__all__ = [
    "clean_up",
    "explained",
    "put_in_place",
    "remove",
    "set_modes",
    "staging_for",
    "was_interrupted",
]

AT_FDCWD = -100
RENAME_EXCHANGE = 2
PARTIAL, OLD = "partial", "old"
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""What numpy says where an array did not fit."""
DISK_TROUBLE = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space in your quota",
    errno.EFBIG: "files of that size are not allowed there; raise the limit (ulimit -f)",
    errno.EACCES: "allow this user to write there",
    errno.EPERM: "allow this user to write there",
    errno.EROFS: "it is read-only; choose another place",
    errno.EIO: "the disk has failed; choose another",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a part of the path is a file; choose another place",
}


def staging_for(path: Path) -> Path:
    """A name beside `path` that no other writer has: two containers may share a process id."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.{PARTIAL}")


def clean_up(path: Path) -> None:
    """Puts back what an interrupted replacement took away, and removes what dead writers left.

    Only for who has claimed `path`: no living process writes it.
    """
    for old in _leftovers(path, OLD):
        if path.exists():
            remove(old)
        else:
            old.rename(path)
    for partial in _leftovers(path, PARTIAL):
        remove(partial)


def was_interrupted(path: Path) -> bool:
    """Whether a replacement was killed between its two renames: the old one waits beside `path`."""
    return not path.exists() and bool(_leftovers(path, OLD))


def put_in_place(staging: Path, path: Path) -> None:
    """`staging` becomes `path`; a reader finds what stood there before or this, never nothing.

    Systems that cannot exchange two names have a moment between two renames; what a kill leaves
    then is put back by the next `claim`.
    """
    if not path.exists():
        staging.rename(path)
        return
    if _exchange(staging, path):
        remove(staging)
        return
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.{OLD}")
    path.rename(old)
    try:
        staging.rename(path)
    except OSError:
        old.rename(path)
        raise
    remove(old)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Inside it, what the disk refuses becomes an ArtifactError that names `path` and a remedy."""
    try:
        yield
    except ArtifactError:
        raise
    except Exception as error:
        number = _trouble_of(error)
        if number is None:
            raise
        raise ArtifactError(
            f"{path} cannot be written ({os.strerror(number)}): {DISK_TROUBLE[number]}. What stood "
            "there is as it was"
        ) from error


def _trouble_of(error: Exception) -> int | None:
    """The number of the system's error, of which writers that are not Python's have but words."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in DISK_TROUBLE else None
    words = str(error)
    is_full = os.strerror(errno.ENOSPC).lower() in words.lower()
    if is_full or SHORT_WRITE.fullmatch(words):
        return errno.ENOSPC
    return None


def _exchange(one: Path, other: Path) -> bool:
    """Whether the two names could be exchanged at once."""
    call = _renameat2()
    if call is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    failed: int = call(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
    return not failed


@cache
def _renameat2() -> Any:  # Any: a C function, or None where there is none
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return None


def _leftovers(path: Path, ending: str) -> list[Path]:
    """What writers of `path`, and of no other place whose name begins like it, left beside it.

    Before names were drawn, the middle was a process id or nothing.
    """
    name = re.compile(rf"\.{re.escape(path.name)}\.(?:(?:[0-9a-f]{{32}}|[0-9]+)\.)?{ending}")
    return sorted(each for each in path.parent.glob(f".*.{ending}") if name.fullmatch(each.name))


def set_modes(folder: Path, like: Path) -> None:
    """Gives every file of a folder the mode that `like` got from the umask."""
    mode = like.stat().st_mode & 0o777
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(mode)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
