"""Which files make up a table, what kind each is, and who reads it."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Sequence
from pathlib import Path

from genrec import artifacts
from genrec.errors import InputError
from genrec.interactions.reading.columnar import read_arrow_file, read_excel, read_parquet
from genrec.interactions.reading.compression import COMPRESSIONS, read_bytes
from genrec.interactions.reading.delimited import read_delimited
from genrec.interactions.reading.json_text import read_json
from genrec.interactions.reading.memory import rename_columns
from genrec.interactions.reading.table_format import TableFormat, TableReading

__all__ = ["check_regular", "is_text_file", "list_files", "read_file", "table_digest"]

DELIMITED = (".csv", ".tsv", ".txt", ".dat", ".inter")
JSON = (".json", ".jsonl", ".ndjson")
COLUMNAR = {
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".arrow": read_arrow_file,
    ".feather": read_arrow_file,
    ".ipc": read_arrow_file,
    ".xlsx": read_excel,
}
ENDINGS = (
    ".parquet, .pq, .arrow, .feather, .ipc, .xlsx, or text as .csv, .tsv, .txt, .dat, .inter, "
    ".json, .jsonl, .ndjson (also as .gz, .bz2, .zip, .zst)"
)
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
KINDS = {
    **dict.fromkeys(DELIMITED, "delimited text"),
    **dict.fromkeys(JSON, "JSON"),
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".ipc": "Arrow",
    ".xlsx": "Excel",
}
WRITTEN_AS = {b"PAR1": ".parquet", b"PK\x03\x04": ".zip", b"\x1f\x8b": ".gz", b"ARROW1": ".arrow"}


def check_regular(path: Path) -> None:
    """Refuses what is not a file to be read whole: it is never opened.

    Raises:
        InputError: there is nothing, or a folder, FIFO, device or socket, or a link to one.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        if path.is_symlink():
            raise InputError(f"{path} is a link to nothing ({path.readlink()}); mend it") from error
        raise InputError(f"there is no file {path}; check the path") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {_reason(error)}; check the path") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a device or a socket"
        link = "a link to " if path.is_symlink() else ""
        raise InputError(f"{path} is {link}{kind}, not a file; save the table in a file first")


def list_files(source: object) -> list[tuple[Path, dict[str, str]]]:
    """The files of a table in order, each with the columns that its folders' names give.

    Of a folder these are all its files of one kind, sorted by their paths. What begins with a
    point or `_` is passed over. A folder `day=2024-03-02` inside gives a column `day`.

    Raises:
        InputError: there is no such file, or there are files of several kinds.
    """
    parts = source if isinstance(source, list | tuple) else [source]
    found: list[tuple[Path, dict[str, str]]] = []
    for part in parts:
        path = Path(str(part))
        found += _list_folder(path) if path.is_dir() else [(path, {})]
    kinds = {KINDS.get(kind_of(file)[0], kind_of(file)[0]): file for file, _ in found}
    if len(kinds) > 1:
        examples = ", ".join(f"{file} ({kind})" for kind, file in sorted(kinds.items()))
        raise InputError(f"files of several kinds: {examples}; name the files of one kind")
    return found


def table_digest(source: object) -> str:
    """SHA-256 in hex, which names what a table's files hold; of one file it is the file's own.

    Raises:
        InputError: there is no such file, or something that is none.
    """
    files = list_files(source)
    digests = []
    for file, partitions in files:
        check_regular(file)
        try:
            digests.append((artifacts.sha256(file), file.name, sorted(partitions.items())))
        except OSError as error:
            raise InputError(f"{file} cannot be read: {_reason(error)}") from error
    if len(digests) == 1 and not digests[0][2]:
        return digests[0][0]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _list_folder(folder: Path) -> list[tuple[Path, dict[str, str]]]:
    found = []
    try:
        paths = sorted(folder.rglob("*"))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {_reason(error)}") from error
    for path in paths:
        inside = path.relative_to(folder).parts
        if path.is_dir() or any(part.startswith((".", "_")) for part in inside):
            continue
        partitions = dict(part.split("=", 1) for part in inside[:-1] if "=" in part)
        found.append((path, partitions))
    if not found:
        raise InputError(f"{folder} holds no files of a table; give {ENDINGS}")
    if any(partitions.keys() != found[0][1].keys() for _, partitions in found):
        raise InputError(f"{folder} has partitions of different names; name the files of one kind")
    return found


def kind_of(path: Path) -> tuple[str, str]:
    """What the name says: the ending of the table and of its compression, in small letters."""
    compression = path.suffix.lower()
    if compression in COMPRESSIONS:
        return Path(path.stem).suffix.lower(), compression
    return compression, ""


def is_text_file(path: Path) -> bool:
    """Whether the name says that it is text, which has an encoding: delimited or JSON."""
    kind, compression = kind_of(path)
    return kind in DELIMITED or kind in JSON or bool(compression)


def read_file(path: Path, text_columns: Sequence[str], table_format: TableFormat) -> TableReading:
    """The table in one file, and which of its rows could not be read.

    Raises:
        InputError: it cannot be read as what its name says.
        DataError: rows cannot be read.
    """
    check_regular(path)
    refuse_lfs_pointer(path)
    try:
        return _read_by_kind(path, text_columns, table_format)
    except MemoryError as error:
        raise InputError(
            f"{path} needs more memory than there is; divide it into files, or write it as Parquet"
        ) from error


def _read_by_kind(
    path: Path, text_columns: Sequence[str], table_format: TableFormat
) -> TableReading:
    kind, compression = kind_of(path)
    if kind in COLUMNAR and not compression:
        _refuse_text_settings(path, table_format)
        with_names = rename_columns(COLUMNAR[kind](path), table_format.columns)
        return TableReading(frame=with_names)
    if kind in JSON:
        _refuse_text_settings(path, table_format, but="encoding")
        reading = read_json(read_bytes(path), str(path), table_format)
        frame = rename_columns(reading.frame, table_format.columns)
        return TableReading(frame=frame, unreadable=reading.unreadable)
    if kind in DELIMITED or (compression and not kind):
        content = read_bytes(path)
        written = next((e for magic, e in WRITTEN_AS.items() if content.startswith(magic)), None)
        if written is not None:
            raise InputError(f"{path} is no text but a {written} file; name it so")
        return read_delimited(content, str(path), text_columns, table_format)
    raise InputError(f"{path} has an unknown ending {path.suffix!r}; give {ENDINGS}")


def refuse_lfs_pointer(path: Path) -> None:
    """Refuses the few lines that Git LFS leaves in place of a file."""
    try:
        with path.open("rb") as stream:
            beginning = stream.read(len(LFS_POINTER))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {_reason(error)}") from error
    if beginning == LFS_POINTER:
        raise InputError(
            f"{path} is a Git LFS pointer, the file itself is not here; fetch it: git lfs pull"
        )


def _refuse_text_settings(path: Path, table_format: TableFormat, but: str = "") -> None:
    given = {
        "separator": table_format.separator is not None,
        "encoding": table_format.encoding is not None,
        "quote": table_format.quote != '"',
        "no-header": not table_format.has_header,
    }
    wrong = [f"--{name}" for name, is_given in given.items() if is_given and name != but]
    if wrong:
        raise InputError(f"{path} is no delimited text: leave {' and '.join(wrong)} out")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
