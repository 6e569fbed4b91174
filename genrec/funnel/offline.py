"""Recommendations for a whole file of people, in parts, so that a killed run goes on."""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import polars as pl

from genrec.console import progress
from genrec.errors import DataError, InputError, Problem
from genrec.funnel.questions import Question
from genrec.funnel.recommender import RecommendedItem, Recommender
from genrec.interactions.readers import ColumnMapping
from genrec.interactions.reading import read_table, table_digest
from genrec.interactions.validation import check_log

__all__ = ["FileReport", "recommend_file"]

log = logging.getLogger(__name__)

JOB_KEY = "genrec.job"
"""Under this key the finished file says what it was made from."""
SCHEMA = {
    "user_id": pl.String,
    "item_id": pl.String,
    "rank": pl.Int32,
    "score": pl.Float32,
    "served_by": pl.String,
}


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What was done for a file."""

    num_users: int
    """People asked about."""
    num_rows: int
    """Recommendations written."""
    num_resumed: int
    """People whose lists an earlier, interrupted run had made."""
    up_to_date: bool
    """Whether the file had been made before from just the same, and nothing was done."""


def recommend_file(
    recommender: Recommender,
    histories: Path,
    out: Path,
    *,
    k: int = 10,
    batch_size: int = 256,
    batches_per_part: int = 8,
) -> FileReport:
    """Writes `user_id, item_id, rank, score, served_by` for everybody in a table of histories.

    Finished parts stand in a folder beside `out` until all are there; then `out` appears at once.

    Args:
        recommender: who recommends.
        histories: Parquet, CSV or JSONL with `user_id`, `item_id`, and `position` or `timestamp`
            for the order.
        out: the Parquet file to write.
        k: items per person.
        batch_size: people answered together.
        batches_per_part: batches between two savings.

    Raises:
        InputError: `out` is no Parquet file, or the table cannot be read.
        DataError: the table has defects.
    """
    if out.suffix != ".parquet":
        raise InputError(f"the output is a Parquet file, {out} does not end in .parquet")
    questions = read_questions(histories)
    size = batch_size * batches_per_part
    job = _job(recommender, histories, k, size)
    if _job_of(out) == job:
        num_rows = pl.scan_parquet(out).select(pl.len()).collect().item()
        return FileReport(
            num_users=len(questions), num_rows=num_rows, num_resumed=0, up_to_date=True
        )
    work = _open_work(out, job)
    parts = [work / f"part-{number:05d}.parquet" for number in range(-(-len(questions) // size))]
    num_resumed = 0
    with progress("recommending", len(questions)) as advance:
        for number, part in enumerate(parts):
            people = questions[number * size : (number + 1) * size]
            if part.is_file():
                num_resumed += len(people)
            else:
                lists = recommender.recommend_many(people, k=k, batch_size=batch_size)
                _write(_table(people, list(lists)), part)
            advance(len(people))
    table = pl.concat([pl.read_parquet(part) for part in parts])
    _write(table, out, {JOB_KEY: job})
    shutil.rmtree(work)
    return FileReport(
        num_users=len(questions),
        num_rows=table.height,
        num_resumed=num_resumed,
        up_to_date=False,
    )


def read_questions(histories: Path) -> list[Question]:
    """One question per person of a table, in the order of their first row; times only order.

    Raises:
        InputError: the table cannot be read.
        DataError: it lacks a column or has defective rows; all of them are told at once.
    """
    try:
        table = read_table(histories, text_columns=ColumnMapping().text_columns)
    except DataError as error:
        raise _without_drop(histories, error.problems) from error
    checked = check_log(table, ColumnMapping())
    if checked.problems:
        raise _without_drop(histories, checked.problems)
    people = (
        checked.events.with_row_index("row")
        .sort("position", "microseconds", "row")
        .group_by("user_id", maintain_order=True)
        .agg(pl.col("item_id"), pl.col("row").min())
        .sort("row")
    )
    return [
        Question(user_id=user_id, history=items)
        for user_id, items in people.select("user_id", "item_id").iter_rows()
    ]


def _without_drop(histories: Path, problems: Sequence[Problem]) -> DataError:
    """The problems, without the offer to drop rows, which nobody takes here."""
    return DataError(str(histories), [replace(problem, droppable=False) for problem in problems])


def _job(recommender: Recommender, histories: Path, k: int, size: int) -> str:
    """Names everything that the answer depends on."""
    ingredients = {
        "histories": table_digest(histories),
        # Without a name for the models, no answer of before is known to be theirs.
        "models": dict(recommender.digests) or uuid.uuid4().hex,
        "method": recommender.method,
        "repeats": str(recommender.repeats),
        "slate": None if recommender.slate is None else asdict(recommender.slate),
        "k": k,
        "people_per_part": size,
    }
    return json.dumps(ingredients, sort_keys=True)


def _job_of(out: Path) -> str | None:
    """What a file was made for; None where there is none that was made here."""
    try:
        return pl.read_parquet_metadata(out).get(JOB_KEY)
    except (OSError, pl.exceptions.PolarsError):
        return None


def _open_work(out: Path, job: str) -> Path:
    """The folder of finished parts; parts of another job are removed."""
    work = out.parent / f".{out.name}.parts"
    note = work / "job.json"
    if work.is_dir() and not (note.is_file() and note.read_text() == job):
        log.warning("%s holds parts of another job, which are removed", work)
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    if not note.is_file():
        note.write_text(job)
    return work


def _table(people: Sequence[Question], lists: Sequence[list[RecommendedItem]]) -> pl.DataFrame:
    rows = [
        (question.user_id, item.item_id, item.rank, item.score, item.served_by)
        for question, items in zip(people, lists, strict=True)
        for item in items
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _write(table: pl.DataFrame, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Under a temporary name first, so that no half a file ever stands at `path`."""
    partial = path.with_name(f".{path.name}.partial")
    table.write_parquet(partial, metadata=metadata)
    partial.replace(path)
