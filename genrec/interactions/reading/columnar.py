"""Tables in files that store columns with their types: Parquet, Arrow, Excel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from genrec.errors import InputError, MissingDependencyError
from genrec.interactions.reading.failures import POLARS_ERRORS

__all__ = ["read_arrow_file", "read_excel", "read_parquet"]

ARROW_FILE = b"ARROW1"
FEATHER_1 = b"FEA1"


def read_parquet(path: Path) -> pl.DataFrame:
    """The table in a Parquet file."""
    return _read(path, "Parquet", lambda: pl.read_parquet(path, hive_partitioning=False))


def read_arrow_file(path: Path) -> pl.DataFrame:
    """The table in an Arrow file or stream, which Feather's second version is too."""
    with path.open("rb") as file:
        beginning = file.read(len(ARROW_FILE))
    if beginning.startswith(FEATHER_1):
        raise InputError(f"{path} is of Feather's first version; write it anew, or as Parquet")
    if beginning == ARROW_FILE:
        return _read(path, "Arrow", lambda: pl.read_ipc(path))
    return _read(path, "Arrow", lambda: pl.read_ipc_stream(path))


def read_excel(path: Path) -> pl.DataFrame:
    """The table on the only sheet of a workbook.

    Raises:
        MissingDependencyError: the reader of workbooks is not installed.
        InputError: there are several sheets with content, or it is no workbook.
    """
    try:
        import fastexcel
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is a workbook: pip install genrec[excel], or save it as CSV"
        ) from error

    def read() -> pl.DataFrame:
        try:
            workbook = fastexcel.read_excel(path)
            sheets = [
                workbook.load_sheet(name, schema_sample_rows=None).to_polars()
                for name in workbook.sheet_names
            ]
        except fastexcel.FastExcelError as error:
            raise ValueError(str(error)) from error
        filled = [
            (name, sheet)
            for name, sheet in zip(workbook.sheet_names, sheets, strict=True)
            if sheet.width
        ]
        if len(filled) > 1:
            raise InputError(
                f"{path} has several sheets, {[name for name, _ in filled]}; keep one in a file"
            )
        return filled[0][1] if filled else pl.DataFrame()

    return _read(path, "Excel", read)


def _read(
    path: Path,
    kind: str,
    read: Callable[[], pl.DataFrame],
) -> pl.DataFrame:
    try:
        return read()
    except (*POLARS_ERRORS, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(
            f"{path} cannot be read as {kind} ({said}); it is damaged or of another kind than "
            "its name says"
        ) from error
