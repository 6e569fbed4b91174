"""Lists that another model made, checked and brought into the same tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from genrec.errors import DataError, InputError, Problem
from genrec.evaluation.metrics import target_ranks
from genrec.evaluation.offline import EvaluationTask, Faults, RankedLists, count_faults
from genrec.interactions import (
    NO_ITEM,
    InteractionDataset,
    Recommendations,
    TableFormat,
    read_ids,
    read_table,
)
from genrec.interactions.reading import list_paths, select_paths

__all__ = ["PredictedLists", "PredictionReading", "load_predictions"]

IntArray = npt.NDArray[np.int64]

COLUMNS = ("user_id", "item_id", "rank")


@dataclass(frozen=True, kw_only=True)
class PredictionReading:
    """How tables of foreign lists are read, and which of their columns mean what."""

    user: str = "user_id"
    item: str = "item_id"
    rank: str = "rank"
    table_format: TableFormat = field(default_factory=TableFormat)

    @property
    def names(self) -> dict[str, str]:
        """Column of the table -> what it is."""
        names = dict(zip((self.user, self.item, self.rank), COLUMNS, strict=True))
        if len(names) < len(COLUMNS):
            raise InputError(
                f"user, item and rank are three columns, got {self.user!r}, {self.item!r} and "
                f"{self.rank!r}"
            )
        return names


OPTIONS = {"user_id": "--user", "item_id": "--item", "rank": "--rank"}
"""By which `genrec compare` names the columns."""
NUM_SHOWN_ROWS = 5
ROWS_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class PredictedLists:
    """Foreign lists for the people of a task."""

    lists: RankedLists
    num_missing_users: int
    """People of the task whom the file has no list for; they count as misses."""
    num_other_users: int
    """People in the file whom the task does not ask about; their rows are not used."""


def load_predictions(
    path: Path | str,
    name: str,
    dataset: InteractionDataset,
    task: EvaluationTask,
    reading: PredictionReading | None = None,
) -> PredictedLists:
    """The lists of a table (a user, an item, a rank from 1), judged like any other.

    Ranks beyond `task.k` are not looked at; a rank that is left out is an empty place.

    Raises:
        InputError: there is no such file, or it cannot be read as a table.
        DataError: a column is missing, or rows with nulls, unknown users or items, a rank below
            1, a rank or an item twice for one person; all of them at once.
    """
    table = _read(Path(path), reading or PredictionReading())
    rows = _indexed(table, dataset)
    problems = _problems(rows)
    if problems:
        raise DataError(str(path), problems)
    place = np.full(len(dataset.user_ids), -1, dtype=np.int64)  # user_index -> row of the task
    place[task.questions.user_index] = np.arange(len(task))
    row = place[rows["user"].to_numpy()]
    rank = rows["rank"].to_numpy().astype(np.int64)
    used = (row >= 0) & (rank <= task.k)
    items = np.full((len(task), task.k), NO_ITEM, dtype=np.int64)
    items[row[used], rank[used] - 1] = rows["item"].to_numpy()[used]
    asked = np.unique(row[row >= 0])
    lists = RankedLists(
        name=name,
        items=items,
        ranks=target_ranks(items, task.questions.target),
        faults=_faults(items, task),
        seconds=0.0,
    )
    num_users = int(rows["user"].n_unique())
    return PredictedLists(
        lists=lists,
        num_missing_users=len(task) - int(asked.size),
        num_other_users=num_users - int(asked.size),
    )


def _read(path: Path, reading: PredictionReading) -> pl.DataFrame:
    table = read_table(
        path, text_columns=(reading.user, reading.item), table_format=reading.table_format
    )
    table = select_paths(table, [reading.rank])
    missing = {name: what for name, what in reading.names.items() if name not in table.columns}
    if missing:
        kinds = [
            Problem(
                kind=f"no-{what}",
                count=table.height,
                rows=(),
                detail=f"the table has no column {name!r}, it has {list_paths(table)}; "
                f"set {OPTIONS[what]}",
                droppable=False,
            )
            for name, what in missing.items()
        ]
        raise DataError(str(path), kinds)
    table = table.select(*reading.names).rename(reading.names)
    if table["rank"].dtype.is_float() and (table["rank"].drop_nulls() % 1 == 0).all():
        table = table.with_columns(pl.col("rank").cast(pl.Int64))  # whole numbers beside nulls
    if not table["rank"].dtype.is_integer():
        raise InputError(
            f"{path}: {reading.rank} must be a column of whole numbers from 1, it has type "
            f"{table['rank'].dtype}"
        )
    ids = [read_ids(table, name).alias(name) for name in ("user_id", "item_id")]
    return table.select(*ids, pl.col("rank"))


def _indexed(table: pl.DataFrame, dataset: InteractionDataset) -> pl.DataFrame:
    """user, item (null where unknown) and rank, beside the ids."""
    users = pl.DataFrame(
        {"user_id": dataset.user_ids, "user": np.arange(len(dataset.user_ids))},
        schema={"user_id": pl.String, "user": pl.Int64},
    )
    items = pl.DataFrame(
        {"item_id": dataset.catalogue.item_ids, "item": np.arange(dataset.num_items)},
        schema={"item_id": pl.String, "item": pl.Int64},
    )
    return table.join(users, on="user_id", how="left", maintain_order="left").join(
        items, on="item_id", how="left", maintain_order="left"
    )


def _problems(rows: pl.DataFrame) -> list[Problem]:
    null = pl.any_horizontal(pl.col(COLUMNS).is_null())
    same_rank = ~pl.struct("user_id", "rank").is_first_distinct()
    same_item = ~pl.struct("user_id", "item_id").is_first_distinct()
    checks = {
        "null": (null, "a prediction needs user_id, item_id and rank"),
        "unknown-user": (
            pl.col("user_id").is_not_null() & pl.col("user").is_null(),
            "user_id must be one of the data set's",
        ),
        "unknown-item": (
            pl.col("item_id").is_not_null() & pl.col("item").is_null(),
            "item_id must be one of the catalogue's",
        ),
        "rank": (pl.col("rank") < 1, "ranks count from 1, the best first"),
        "duplicate-rank": (same_rank & ~null, "a person can have one item at each rank"),
        "duplicate-item": (same_item & ~null, "a person can be recommended an item once"),
    }
    return [
        Problem(
            kind=kind,
            count=len(found),
            rows=tuple(found[:NUM_SHOWN_ROWS]),
            detail=detail,
            droppable=False,
            values=tuple((row, _told(rows.row(row, named=True))) for row in found[:NUM_SHOWN_ROWS]),
        )
        for kind, (condition, detail) in checks.items()
        if (found := rows.select(condition.fill_null(False).arg_true()).to_series().to_list())
    ]


def _told(row: dict[str, object]) -> str:
    return " ".join(f"{name}={row[name]}" for name in COLUMNS)


def _faults(items: IntArray, task: EvaluationTask) -> Faults:
    """What stands in the lists and must not; empty places are the other model's own affair."""
    faults = Faults()
    for start in range(0, len(task), ROWS_AT_ONCE):
        lists = torch.from_numpy(items[start : start + ROWS_AT_ONCE])
        answer = Recommendations(
            item_index=lists, score=torch.zeros(lists.shape), source="predictions"
        )
        requests = task.requests(start, start + ROWS_AT_ONCE)
        faults += count_faults(answer, requests, task.num_items)
    return replace(faults, missing=0)
