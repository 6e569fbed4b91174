"""NumPy's files, read only if they hold what is expected: names, types, shapes, finite numbers."""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from genrec.checked.files import open_regular, read_regular
from genrec.errors import ArtifactError

__all__ = ["ArraySpec", "read_array", "read_arrays", "require_array"]

ArraySpec = tuple[str, tuple[int | None, ...]]
"""Dtype, or several with | between them, and shape; None stands for any length."""
LONGEST_HEADER = 10_000


def read_array(path: Path, spec: ArraySpec, *, mapped: bool = False) -> npt.NDArray[Any]:
    """The array of a .npy file.

    Args:
        path: the file.
        spec: what it must be.
        mapped: leave the values on the disk, where writing does not reach; they are not examined.

    Raises:
        ArtifactError: it is something else, or shorter than its own header says.
    """
    with (
        io.BytesIO(read_regular(path))
        if not mapped
        else os.fdopen(open_regular(path), "rb") as stream
    ):
        size = path.stat().st_size
        start, dtype, shape = _read_header(stream, str(path))
        _require_spec(str(path), dtype, shape, spec)
        _require_size(str(path), dtype, shape, size - start)
        if mapped:
            on_disk: npt.NDArray[Any] = np.load(
                path, allow_pickle=False, mmap_mode="c", max_header_size=LONGEST_HEADER
            )
            return on_disk
        stream.seek(0)
        values: npt.NDArray[Any] = np.load(
            stream, allow_pickle=False, max_header_size=LONGEST_HEADER
        )
    require_array(str(path), values, spec)
    return values


def read_arrays(
    path: Path,
    expected: Mapping[str, ArraySpec],
    *,
    optional: Collection[str] = (),
    may_be_nan: Collection[str] = (),
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file that `numpy.savez` wrote.

    Args:
        path: the file.
        expected: what each must be, by name; others are refused.
        optional: names of those that need not be there.
        may_be_nan: names of those in which NaN stands for a value that is not known.

    Raises:
        ArtifactError: one is missing, too many, or something else than expected.
    """
    content = read_regular(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            found = {entry.filename: entry for entry in packed.infolist()}
            wanted = {f"{name}.npy": name for name in expected}
            unknown = sorted(set(found) - set(wanted))
            missing = sorted(set(expected) - {wanted.get(name) for name in found} - set(optional))
            if unknown or missing or len(found) < len(packed.infolist()):
                raise ArtifactError(
                    f"{path} must hold {sorted(expected)}: missing {missing}, too many {unknown}"
                )
            arrays = {}
            for file, entry in found.items():
                # Nothing is unpacked here that is larger than the file itself.
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(content):
                    raise ArtifactError(f"{path}: {file} is packed otherwise than genrec packs")
                name = wanted[file]
                values = _parse(packed.read(entry), f"{path}: {name}", expected[name])
                if name not in may_be_nan:
                    require_array(f"{path}: {name}", values, expected[name])
                arrays[name] = values
            return arrays
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ArtifactError(f"{path} is no archive of arrays ({error}); make it again") from error


def require_array(place: str, values: npt.NDArray[Any], spec: ArraySpec) -> None:
    """Raises an ArtifactError unless an array has this dtype and shape, and is finite."""
    _require_spec(place, values.dtype, values.shape, spec)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ArtifactError(f"{place} has NaN or infinity in it; make it again")


def _parse(content: bytes, place: str, spec: ArraySpec) -> npt.NDArray[Any]:
    stream = io.BytesIO(content)
    start, dtype, shape = _read_header(stream, place)
    _require_spec(place, dtype, shape, spec)
    _require_size(place, dtype, shape, len(content) - start)
    stream.seek(0)
    values: npt.NDArray[Any] = np.load(stream, allow_pickle=False, max_header_size=LONGEST_HEADER)
    return values


def _read_header(stream: BinaryIO, place: str) -> tuple[int, np.dtype[Any], tuple[int, ...]]:
    """Where the values start, their type and their shape."""
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(stream, max_header_size=LONGEST_HEADER)
    except (
        ValueError,
        KeyError,
        TypeError,
        SyntaxError,
        struct.error,
        EOFError,
        RecursionError,
        MemoryError,
        OverflowError,
    ) as error:
        raise ArtifactError(f"{place} is no array ({error}); make it again") from error
    return stream.tell(), dtype, shape


def _require_spec(
    place: str, dtype: np.dtype[Any], shape: tuple[int, ...], spec: ArraySpec
) -> None:
    wanted, sizes = spec
    fits = len(shape) == len(sizes) and all(
        size in (None, found) for size, found in zip(sizes, shape, strict=True)
    )
    if dtype not in map(np.dtype, wanted.split("|")) or not fits:
        named = ["any" if size is None else size for size in sizes]
        raise ArtifactError(
            f"{place} must be {wanted} {named}, but is {dtype} {list(shape)}; make it again"
        )


def _require_size(place: str, dtype: np.dtype[Any], shape: tuple[int, ...], size: int) -> None:
    needed = dtype.itemsize * math.prod(shape)
    if any(length < 0 for length in shape) or needed != size:
        raise ArtifactError(
            f"{place} says that it has {list(shape)} values, {needed} bytes, but has {size}; make "
            "it again"
        )
