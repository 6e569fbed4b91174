"""Tables from files or memory as polars frames, and what their columns mean."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from genrec.errors import InputError
from genrec.interactions.times import TimeUnit

__all__ = ["CatalogueMapping", "ColumnMapping", "read_table"]

RESERVED = frozenset({"user_index", "item_index", "timestamp", "event", "value"})
"""Names that a stored log gives to its own columns."""
SEPARATORS = ",\t;|"


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """Which column of a log means what."""

    user: str = "user_id"
    item: str = "item_id"
    time: str | None = None
    """When it happened; with `position` None as well, columns `timestamp` and `position` are
    taken where there are any."""
    position: str | None = None
    """Place within the user's history; the order where both are given."""
    event: str | None = None
    """What was done (view, buy, …)."""
    value: str | None = None
    """A rating or an amount."""
    context: tuple[str, ...] = ()
    """Further columns to keep, under their own names."""
    time_unit: TimeUnit = TimeUnit.AUTO
    """How numbers in `time` count."""

    def __post_init__(self) -> None:
        columns = [self.user, self.item, *self.kept.values()]
        columns += [name for name in (self.time, self.position) if name is not None]
        if not all(columns):
            raise InputError(f"a column name is empty in {self}")
        reserved = [name for name in self.context if name in RESERVED]
        if reserved:
            raise InputError(
                f"context columns {reserved} have names that genrec uses itself; "
                "rename them in the file, or map them with --time, --event or --value"
            )
        if len(set(self.context)) < len(self.context):
            raise InputError(f"a context column is named twice: {list(self.context)}")

    @property
    def kept(self) -> dict[str, str]:
        """What is kept beside user, item and order: stored name -> column of the file."""
        named = {"event": self.event, "value": self.value}
        given = {name: column for name, column in named.items() if column is not None}
        return given | {name: name for name in self.context}

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns that a reader must not guess the type of: ids, times and positions."""
        order = (self.time, self.position)
        if order == (None, None):
            order = ("timestamp", "position")
        return (self.user, self.item, *(name for name in order if name is not None))

    def completed(self, columns: Sequence[str]) -> ColumnMapping:
        """The same mapping; without an order, the columns `timestamp` and `position` give it."""
        if self.time is not None or self.position is not None:
            return self
        return replace(
            self,
            time="timestamp" if "timestamp" in columns else None,
            position="position" if "position" in columns else None,
        )


@dataclass(frozen=True, kw_only=True)
class CatalogueMapping:
    """Which column of an items table means what; all others become attributes."""

    item_id: str = "item_id"
    title: str | None = None
    """None takes a column `title` where there is one."""


def read_table(
    source: object, *, text_columns: Sequence[str] = (), separator: str | None = None
) -> pl.DataFrame:
    """A table as a polars frame.

    Args:
        source: a path (.parquet, .csv, .tsv, .txt, .jsonl, .ndjson; the text formats also as
            .gz), a polars or pandas frame, an Arrow table or a `datasets.Dataset`.
        text_columns: read as text, not as numbers, so that an id 007 of a text file stays 007.
        separator: between the columns of a text file; None finds it out.

    Raises:
        InputError: there is no such file, or it cannot be read as what its name says.
    """
    if isinstance(source, str | Path):
        return _read_file(Path(source), text_columns, separator)
    if separator is not None:
        raise InputError("a separator belongs to a text file, this table is in memory")
    if isinstance(source, pl.DataFrame):
        return source
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    read = _FROM_LIBRARY.get(type(source).__module__.partition(".")[0])
    if read is None:
        raise InputError(
            f"cannot read a table from {type(source).__module__}.{type(source).__name__}; give a "
            "path, a polars or pandas frame, an Arrow table or a datasets.Dataset"
        )
    return read(source)


def _from_pandas(frame: Any) -> pl.DataFrame:  # Any: pandas is no requirement
    return pl.from_pandas(frame, nan_to_null=True)


def _from_arrow(table: Any) -> pl.DataFrame:  # Any: pyarrow ships no types
    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        raise InputError(f"an Arrow table is needed, this is a {type(table).__name__}")
    return frame


def _from_datasets(dataset: Any) -> pl.DataFrame:  # Any: datasets is no requirement
    if not hasattr(dataset, "column_names") or isinstance(dataset.column_names, dict):
        raise InputError("a DatasetDict holds several tables; choose one: dataset['train']")
    frame = dataset.with_format(None).to_polars()
    if not isinstance(frame, pl.DataFrame):
        raise InputError(
            f"{type(dataset).__name__} cannot be read whole; load it without streaming"
        )
    return frame


_FROM_LIBRARY: dict[str, Callable[[Any], pl.DataFrame]] = {
    "pandas": _from_pandas,
    "pyarrow": _from_arrow,
    "datasets": _from_datasets,
}


def _read_file(path: Path, text_columns: Sequence[str], separator: str | None) -> pl.DataFrame:
    if not path.is_file():
        raise InputError(f"there is no file {path}; check the path")
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    as_text = dict.fromkeys(text_columns, pl.String())
    is_delimited = kind.lower() in (".csv", ".tsv", ".txt")
    if separator is not None and not is_delimited:
        raise InputError(f"{path} is no .csv, .tsv or .txt file: leave --separator out")
    if separator is not None and len(separator.encode()) != 1:
        raise InputError(f"a separator is one character, got {separator!r}")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pl.read_parquet(path)
        if is_delimited:
            return _read_delimited(path, as_text, separator)
        if kind.lower() in (".jsonl", ".ndjson"):
            return _read_json_lines(path)
    except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as error:
        remedy = "check the file; text must be UTF-8, and every line as long as the header"
        raise InputError(f"{path} cannot be read as {path.suffix} ({error}); {remedy}") from error
    raise InputError(
        f"{path} has an unknown ending {path.suffix!r}; give .parquet, .csv, .tsv, .txt, "
        ".jsonl or .ndjson (the text formats also as .gz)"
    )


def _read_delimited(
    path: Path, as_text: dict[str, pl.String], separator: str | None
) -> pl.DataFrame:
    if path.stat().st_size == 0:
        return pl.DataFrame()
    return pl.read_csv(
        path,
        separator=separator or _sniffed_separator(path),
        infer_schema_length=None,
        schema_overrides=as_text,
    )


def _read_json_lines(path: Path) -> pl.DataFrame:
    """JSON says itself what is text; a column of text and numbers becomes text."""
    if path.stat().st_size == 0:
        return pl.DataFrame()
    return pl.read_ndjson(path, infer_schema_length=None)


def _sniffed_separator(path: Path) -> str:
    """The separator that the header has most of; a comma where it has none."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        header = stream.readline().decode("utf-8")
    return max(SEPARATORS, key=header.count)
