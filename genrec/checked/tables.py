"""Parquet files of an artefact: the columns and types that it has, or an error."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from genrec.checked.files import read_regular
from genrec.errors import ArtifactError

__all__ = ["read_parquet"]


def read_parquet(path: Path, columns: Mapping[str, tuple[type[pl.DataType], ...]]) -> pl.DataFrame:
    """The table of a file.

    Args:
        path: the file.
        columns: the types that a column may have, of those that must be there; others may be.

    Raises:
        ArtifactError: it is no Parquet file, or a column is missing or of another type.
    """
    try:
        table = pl.read_parquet(io.BytesIO(read_regular(path)))
    except (PolarsError, ValueError, OSError, MemoryError, pl.exceptions.PanicException) as error:
        raise ArtifactError(
            f"{path} is no table that can be read ({error}); make it again"
        ) from error
    for name, kinds in columns.items():
        found = table.schema.get(name)
        if found is None or found.base_type() not in kinds:
            raise ArtifactError(
                f"{path} must have a column {name} of {' or '.join(map(str, kinds))}, but it is "
                f"{found}; make it again"
            )
    return table
