"""A log that is larger than memory: read block by block, its training part written as shards.

A shard is a Parquet file with one row a history, `item_index` as a list. What stays in memory is a
block of events, and one number a person.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from genrec import artifacts
from genrec.errors import InputError
from genrec.interactions.dataset import DATA_KIND, FACTS_NAME, Repeats
from genrec.interactions.histories import UNKNOWN_TIME, Histories
from genrec.interactions.splits import MIN_EVENTS_TO_EVALUATE, EvaluationSet, Protocol

__all__ = ["EventLog", "HistoryShards", "histories_of", "joined"]

IntArray = npt.NDArray[np.int64]
EVENTS_AT_ONCE = 1 << 18
EVENTS_PER_SHARD = 1 << 21
ROWS_PER_GROUP = 1 << 13


@dataclass(frozen=True)
class HistoryShards:
    """A folder of shards."""

    folder: Path

    @property
    def paths(self) -> list[Path]:
        """The shards, in the order that they were written in."""
        return sorted(self.folder.glob("*.parquet"))

    def blocks(self) -> Iterator[Histories]:
        """All histories in order, some thousands at a time; their times are unknown."""
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(ROWS_PER_GROUP, columns=["item_index"]):
                    yield histories_of(batch.column("item_index"))

    def counts(self, num_items: int) -> IntArray:
        """int64 [N]: events of every item."""
        counts = np.zeros(num_items, dtype=np.int64)
        for block in self.blocks():
            counts += np.bincount(block.item_index, minlength=num_items)
        return counts

    @classmethod
    def write(
        cls, blocks: Iterator[Histories], folder: Path, *, events_per_shard: int = EVENTS_PER_SHARD
    ) -> HistoryShards:
        """Writes the histories of all blocks into a folder; shards that are there are replaced."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.parquet"):
            path.unlink()
        waiting: list[pa.Array] = []
        number = events = 0
        for block in blocks:
            waiting.append(
                pa.ListArray.from_arrays(block.offsets.astype(np.int32), block.item_index)
            )
            events += block.item_index.size
            if events >= events_per_shard:
                _write_shard(folder, number, waiting)
                number, events, waiting = number + 1, 0, []
        if waiting or not number:
            _write_shard(folder, number, waiting)
        return cls(folder)


def histories_of(lists: pa.Array) -> Histories:
    """The histories of a list array, times unknown."""
    offsets = np.asarray(lists.offsets, dtype=np.int64)
    items = np.asarray(lists.values, dtype=np.int64)[offsets[0] : offsets[-1]]
    return Histories(
        item_index=items,
        event_time=np.full(items.size, UNKNOWN_TIME),
        offsets=offsets - offsets[0],
    )


class EventLog:
    """The log of a data artefact, which is never in memory as a whole.

    Args:
        path: an artefact of kind `data`.

    Raises:
        ArtifactError: it is missing, altered, or not a data folder.
    """

    def __init__(self, path: Path) -> None:
        artifact = artifacts.read(path, kind=DATA_KIND)
        self._events = artifact.file("interactions.parquet")
        self.num_items: int = pq.read_metadata(artifact.file("items.parquet")).num_rows
        """N."""
        self._num_people: int = pq.read_metadata(artifact.file("users.parquet")).num_rows
        facts = json.loads(artifact.file(FACTS_NAME).read_text())
        self.name: str = facts["name"]
        """Of the data set."""
        self.repeats = Repeats(facts["repeats"])
        """Whether people repeat items."""

    @cached_property
    def lengths(self) -> IntArray:
        """int64 [U]: events of every person."""
        counts = np.zeros(self._num_people, dtype=np.int64)
        with pq.ParquetFile(self._events) as file:
            for batch in file.iter_batches(EVENTS_AT_ONCE, columns=["user_index"]):
                users = batch.column("user_index").to_numpy()
                counts += np.bincount(users, minlength=self._num_people)
        return counts

    def write_shards(self, folder: Path, protocol: Protocol | None) -> HistoryShards:
        """The training part of a split, or with None everything, of everybody.

        Raises:
            InputError: the split is not leave-last-out, which alone needs no look at all times.
        """
        if protocol is None:
            return HistoryShards.write((block for _, block in self.blocks()), folder)
        if protocol is not Protocol.LEAVE_LAST_OUT:
            raise InputError(
                f"a log that is streamed is split leave-last-out, not {protocol}, whose cut is a "
                "quantile of all times; train without --stream"
            )
        return HistoryShards.write(self._training_blocks(), folder)

    def validation_sample(self, size: int, seed: int) -> EvaluationSet:
        """At most `size` questions of leave-last-out: those that `EvaluationSet.sample` draws.

        Raises:
            InputError: nobody has events enough to be asked about.
        """
        evaluated = np.flatnonzero(self.lengths >= MIN_EVENTS_TO_EVALUATE)
        if not evaluated.size:
            raise InputError(
                f"leave-last-out needs at least one person with {MIN_EVENTS_TO_EVALUATE} events"
            )
        if size < evaluated.size:
            drawn = np.random.default_rng(seed).choice(evaluated.size, size, replace=False)
            evaluated = evaluated[np.sort(drawn)]
        people = [
            block.select(np.flatnonzero(np.isin(users, evaluated)))
            for users, block in self.blocks()
        ]
        whole = joined(people)
        rows = whole.offsets[1:] - 2
        return EvaluationSet(
            user_index=evaluated,
            histories=whole.keep_first(whole.lengths - 2),
            target=whole.item_index[rows],
            target_time=whole.event_time[rows],
        )

    def _training_blocks(self) -> Iterator[Histories]:
        for _, block in self.blocks():
            lengths = block.lengths
            yield block.keep_first(
                np.where(lengths >= MIN_EVENTS_TO_EVALUATE, lengths - 2, lengths)
            )

    def blocks(self) -> Iterator[tuple[IntArray, Histories]]:
        """Whole people, some hundred thousand events at a time: user_index [u] and histories."""
        columns = ["user_index", "item_index", "timestamp"]
        rest = [np.empty(0, dtype=np.int64)] * 3
        with pq.ParquetFile(self._events) as file:
            for batch in file.iter_batches(EVENTS_AT_ONCE, columns=columns):
                read = [
                    np.asarray(batch.column(name).fill_null(UNKNOWN_TIME), dtype=np.int64)
                    for name in columns
                ]
                joined = [np.concatenate(pair) for pair in zip(rest, read, strict=True)]
                # The last person may go on in the next batch.
                begin = int(np.searchsorted(joined[0], joined[0][-1]))
                rest = [column[begin:] for column in joined]
                if begin:
                    yield _people(*(column[:begin] for column in joined))
        if rest[0].size:
            yield _people(*rest)


def _people(
    user: IntArray, item_index: IntArray, event_time: IntArray
) -> tuple[IntArray, Histories]:
    users, starts = np.unique(user, return_index=True)
    offsets = np.append(starts, user.size).astype(np.int64)
    return users, Histories(item_index=item_index, event_time=event_time, offsets=offsets)


def joined(blocks: list[Histories]) -> Histories:
    """The histories of all blocks, one after the other."""
    lengths = np.concatenate([block.lengths for block in blocks])
    return Histories(
        item_index=np.concatenate([block.item_index for block in blocks]),
        event_time=np.concatenate([block.event_time for block in blocks]),
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
    )


def _write_shard(folder: Path, number: int, lists: list[pa.Array]) -> None:
    column = pa.chunked_array(lists, type=pa.list_(pa.int64()))
    table = pa.table({"item_index": column})
    path = folder / f"histories-{number:05d}.parquet"
    pq.write_table(table, path, row_group_size=ROWS_PER_GROUP, compression="zstd")
