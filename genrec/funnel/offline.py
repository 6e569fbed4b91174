"""Recommendations for a whole file of people, in parts, so that a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import polars as pl

from genrec import artifacts
from genrec.console import progress
from genrec.errors import DataError, InputError
from genrec.funnel.questions import LONGEST_HISTORY, Question
from genrec.funnel.recommender import RecommendedItem, Recommender
from genrec.interactions.defects import naming
from genrec.interactions.mapping import ColumnMapping
from genrec.interactions.reading import TableFormat, read_table, table_digest
from genrec.interactions.validation import check_log

__all__ = ["FileReport", "HistoryReading", "check_output", "recommend_file"]

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
class HistoryReading:
    """How a table of histories is read."""

    mapping: ColumnMapping = field(default_factory=ColumnMapping)
    """What its columns mean."""
    table_format: TableFormat = field(default_factory=TableFormat)
    """How its text is taken apart."""
    drop: tuple[str, ...] = ()
    """Kinds of defects whose rows are left out."""
    keep: tuple[str, ...] = ()
    """Kinds whose rows are meant so and stay."""
    strip: bool = False
    """Whether the blanks around ids are taken off."""


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
    num_unknown_items: int = 0
    """Ids of the histories that the catalogue does not know; they were left out."""
    num_unknown_histories: int = 0
    """People of whose history nothing is known; their lists are those for new people."""


def recommend_file(
    recommender: Recommender,
    histories: Path,
    out: Path,
    *,
    k: int = 10,
    batch_size: int = 256,
    batches_per_part: int = 8,
    reading: HistoryReading | None = None,
) -> FileReport:
    """Writes `user_id, item_id, rank, score, served_by` for everybody in a table of histories.

    Finished parts stand in a folder beside `out` until all are there; then `out` appears at once.
    What stands at `out` is replaced only where this function wrote it.

    Args:
        recommender: who recommends.
        histories: Parquet, CSV or JSONL with `user_id`, `item_id`, and `position` or `timestamp`
            for the order.
        out: the Parquet file to write.
        k: items per person.
        batch_size: people answered together.
        batches_per_part: batches between two savings.
        reading: what the columns of `histories` mean and how they are read.

    Raises:
        InputError: `out` is no Parquet file or one that is not ours, or the table cannot be read.
        BusyError: another process is writing `out`.
        DataError: the table has defects.
    """
    check_output(out)
    with artifacts.claim(out):
        check_output(out)
        reading = reading or HistoryReading()
        questions = read_questions(histories, reading)
        size = batch_size * batches_per_part
        job = _job(recommender, histories, reading, k, size)
        report = _answer(recommender, questions, out, job, k, batch_size, size)
    num_items, num_histories = _count_unknown(recommender, questions)
    return replace(report, num_unknown_items=num_items, num_unknown_histories=num_histories)


def _answer(
    recommender: Recommender,
    questions: Sequence[Question],
    out: Path,
    job: str,
    k: int,
    batch_size: int,
    size: int,
) -> FileReport:
    """Answers in parts of `size` people what no finished part answers yet, and writes `out`."""
    if _job_of(out) == job:
        shutil.rmtree(_work_of(out, job), ignore_errors=True)  # a kill came before it was removed
        num_rows = pl.scan_parquet(out).select(pl.len()).collect().item()
        return FileReport(
            num_users=len(questions), num_rows=num_rows, num_resumed=0, up_to_date=True
        )
    work = _open_work(out, job)
    parts, num_resumed = [], 0
    with progress("recommending", len(questions)) as advance:
        for start in range(0, len(questions), size):
            people = questions[start : start + size]
            part = _find_part(work, start // size)
            if part is None:
                # Lists of another method would stand there for good, among those that were asked.
                lists = recommender.recommend_many(
                    people, k=k, batch_size=batch_size, fall_back=False
                )
                part = _write_part(_table(people, list(lists)), work, start // size)
            else:
                num_resumed += len(people)
            parts.append(part)
            advance(len(people))
    table = pl.concat([pl.read_parquet(part) for part in parts])
    with artifacts.replace_file(out) as staging:
        table.write_parquet(staging, metadata={JOB_KEY: job})
    shutil.rmtree(work)
    return FileReport(
        num_users=len(questions),
        num_rows=table.height,
        num_resumed=num_resumed,
        up_to_date=False,
    )


def _count_unknown(recommender: Recommender, questions: Sequence[Question]) -> tuple[int, int]:
    """How many ids are unknown, and of how many people all are."""
    known = set(recommender.dataset.catalogue.item_ids)
    num_items = num_histories = 0
    for question in questions:
        history = list(question.history or ())[-LONGEST_HISTORY:]
        unknown = sum(item_id not in known for item_id in history)
        num_items += unknown
        num_histories += 0 < unknown == len(history)
    return num_items, num_histories


def read_questions(histories: Path, reading: HistoryReading | None = None) -> list[Question]:
    """One question per person of a table, in the order of their first row; times only order.

    Raises:
        InputError: the table cannot be read.
        DataError: it lacks a column or has defective rows; all of them are told at once.
    """
    reading = reading or HistoryReading()
    table = read_table(
        histories,
        text_columns=reading.mapping.text_columns,
        table_format=reading.table_format,
    )
    with naming(histories):
        checked = check_log(
            table, reading.mapping, drop=reading.drop, keep=reading.keep, strip=reading.strip
        )
    if checked.problems:
        raise DataError(str(histories), checked.problems)
    for note in checked.notes:
        log.warning("%s: %s", histories, note)
    for kind, count in checked.dropped.items():
        log.warning("%s: dropped %d row(s) with %s", histories, count, kind)
    for why, count in checked.left_out.items():
        log.warning("%s: left out by choice: %d row(s), %s", histories, count, why)
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


def _job(
    recommender: Recommender, histories: Path, reading: HistoryReading, k: int, size: int
) -> str:
    """Names everything that the answer depends on."""
    ingredients = {
        "histories": table_digest(histories),
        "reading": asdict(reading),
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


def check_output(out: Path) -> None:
    """Refuses a place that recommendations are not written to, before any model is loaded.

    Raises:
        InputError: it is no Parquet file's, or holds something that genrec did not write.
    """
    if out.suffix != ".parquet":
        raise InputError(f"the output is a Parquet file, {out} does not end in .parquet")
    if (out.exists() or out.is_symlink()) and _job_of(out) is None:
        raise InputError(
            f"{out} is there and was not written by genrec, so it is not replaced; choose another "
            "name for the output, or remove the file"
        )


def _open_work(out: Path, job: str) -> Path:
    """The folder of this job's finished parts; those of other jobs, which are over, are removed."""
    work = _work_of(out, job)
    name = re.compile(rf"\.{re.escape(out.name)}\.(?:[0-9a-f]{{16}}\.)?parts")
    for other in sorted(out.parent.glob(".*.parts")):
        if name.fullmatch(other.name) and other != work:
            log.warning("%s holds parts of another job, which are removed", other)
            shutil.rmtree(other)
    work.mkdir(parents=True, exist_ok=True)
    return work


def _work_of(out: Path, job: str) -> Path:
    digest = hashlib.sha256(job.encode()).hexdigest()[:16]
    return out.parent / f".{out.name}.{digest}.parts"


def _find_part(work: Path, number: int) -> Path | None:
    """A finished part whose content is what its name says; any other is made again."""
    for part in sorted(work.glob(f"part-{number:05d}.*.parquet")):
        digest = part.name.split(".")[1]
        if part.is_file() and not part.is_symlink() and artifacts.sha256(part) == digest:
            return part
        log.warning("%s was altered; these people are answered again", part)
        part.unlink()
    return None


def _write_part(table: pl.DataFrame, work: Path, number: int) -> Path:
    """The part, whose name says what its content is: a reader need not trust the disk."""
    partial = work / "partial"
    with artifacts.explained(work):
        table.write_parquet(partial)
        part = work / f"part-{number:05d}.{artifacts.sha256(partial)}.parquet"
        partial.replace(part)
    return part


def _table(people: Sequence[Question], lists: Sequence[list[RecommendedItem]]) -> pl.DataFrame:
    rows = [
        (question.user_id, item.item_id, item.rank, item.score, item.served_by)
        for question, items in zip(people, lists, strict=True)
        for item in items
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
