"""The bytes of a text file, unpacked where it is compressed."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
import zlib
from pathlib import Path

from genrec.errors import InputError

__all__ = ["COMPRESSIONS", "read_bytes"]

COMPRESSIONS = (".gz", ".bz2", ".zip", ".zst")
NAMES_SHOWN = 10
DAMAGES = (zlib.error, zipfile.BadZipFile)


def read_bytes(path: Path) -> bytes:
    """What the file holds, unpacked by its ending (.gz, .bz2, .zip, .zst, in any case).

    Raises:
        InputError: it cannot be read or unpacked, or a zip holds several files.
    """
    try:
        return _unpack(path.read_bytes(), path)
    except InputError:
        raise
    except (*DAMAGES, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"{path} cannot be read as {path.suffix} ({error}); it is damaged or was cut short, "
            "fetch or write it anew"
        ) from error


def _unpack(content: bytes, path: Path) -> bytes:
    match path.suffix.lower():
        case ".gz":
            return gzip.decompress(content)
        case ".bz2":
            return bz2.decompress(content) if content else b""
        case ".zst":
            return _unpack_zstandard(content)
        case ".zip":
            return _unpack_zip(content, path)
    return content


def _unpack_zstandard(content: bytes) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
        unpacked: bytes = stream.read()
    return unpacked


def _unpack_zip(content: bytes, path: Path) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = [
            entry
            for entry in archive.infolist()
            if not entry.is_dir()
            and not any(part.startswith((".", "__MACOSX")) for part in Path(entry.filename).parts)
        ]
        names = [entry.filename for entry in files]
        if len(files) != 1:
            raise InputError(
                f"{path} holds {len(files)} files ({', '.join(names[:NAMES_SHOWN])}), not one "
                "table; unpack it and name the file"
            )
        if files[0].flag_bits & 1:
            raise InputError(f"{path} is encrypted; unpack it first")
        return archive.read(files[0])
