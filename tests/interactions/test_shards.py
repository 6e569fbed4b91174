"""A log read block by block holds what the log in memory holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.errors import InputError
from genrec.interactions import (
    Catalogue,
    EventLog,
    Histories,
    HistoryShards,
    InteractionDataset,
    Protocol,
    Repeats,
    describe,
    describe_log,
    split_histories,
)
from genrec.interactions import shards as shards_module

NUM_ITEMS = 40
LENGTHS = [0, 1, 2, 3, 9, 17, 4, 5, 0, 6]


@pytest.fixture
def dataset(tmp_path: Path) -> InteractionDataset:
    random = np.random.default_rng(0)
    people = [random.integers(0, NUM_ITEMS, length).tolist() for length in LENGTHS]
    made = InteractionDataset(
        name="small",
        catalogue=Catalogue(pl.DataFrame({"item_id": [f"i{item}" for item in range(NUM_ITEMS)]})),
        user_ids=[f"u{user}" for user in range(len(LENGTHS))],
        histories=Histories.from_lists(people, [list(range(len(row))) for row in people]),
        repeats=Repeats.ALLOW,
        extra=pl.DataFrame(),
    )
    made.save(tmp_path / "data", source="drawn")
    return made


def lists(shards: HistoryShards) -> list[list[int]]:
    """All histories that are not empty."""
    return [row.tolist() for block in shards.blocks() for row in block if row.size]


@pytest.mark.parametrize("events_at_once", [1, 5, 9, 47, 1000])
def test_shards_hold_the_training_part_however_the_blocks_fall(
    dataset: InteractionDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    events_at_once: int,
) -> None:
    monkeypatch.setattr(shards_module, "EVENTS_AT_ONCE", events_at_once)
    log = EventLog(tmp_path / "data")
    assert log.lengths.tolist() == LENGTHS
    assert (log.num_items, log.repeats) == (NUM_ITEMS, Repeats.ALLOW)
    train = split_histories(dataset.histories, Protocol.LEAVE_LAST_OUT).train
    written = log.write_shards(tmp_path / "shards", Protocol.LEAVE_LAST_OUT)
    assert lists(written) == [row.tolist() for row in train if row.size]
    expected = np.bincount(train.item_index, minlength=NUM_ITEMS)
    assert written.counts(NUM_ITEMS).tolist() == expected.tolist()
    everything = log.write_shards(tmp_path / "shards", None)
    assert lists(everything) == [row.tolist() for row in dataset.histories if row.size]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_validation_sample_is_the_one_that_is_drawn_in_memory(
    dataset: InteractionDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(shards_module, "EVENTS_AT_ONCE", 7)
    ours = EventLog(tmp_path / "data").validation_sample(size, seed=4)
    split = split_histories(dataset.histories, Protocol.LEAVE_LAST_OUT)
    theirs = split.validation.sample(size, seed=4)
    for name in ("user_index", "target", "target_time"):
        assert getattr(ours, name).tolist() == getattr(theirs, name).tolist()
    assert [row.tolist() for row in ours.histories] == [row.tolist() for row in theirs.histories]


def test_histories_are_spread_over_shards_and_those_of_before_are_gone(tmp_path: Path) -> None:
    blocks = [Histories.from_lists([[i, i + 1], [i]]) for i in range(6)]
    written = HistoryShards.write(iter(blocks), tmp_path, events_per_shard=6)
    assert len(written.paths) == 3
    assert lists(written) == [row.tolist() for block in blocks for row in block]
    again = HistoryShards.write(iter(blocks[:1]), tmp_path, events_per_shard=6)
    assert lists(again) == [[0, 1], [0]]
    assert lists(HistoryShards.write(iter([]), tmp_path)) == []


@pytest.mark.usefixtures("dataset")
def test_a_split_that_needs_all_times_at_once_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train without --stream"):
        EventLog(tmp_path / "data").write_shards(tmp_path, Protocol.GLOBAL_TEMPORAL)


def test_a_log_is_described_block_by_block_as_it_is_in_memory(
    dataset: InteractionDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards_module, "EVENTS_AT_ONCE", 7)
    whole, told = describe(dataset), describe_log(EventLog(tmp_path / "data"))
    for name in ("name", "num_users", "num_items", "num_events", "repeats", "history_length"):
        assert told[name] == whole[name]
    assert told["popularity"] == whole["popularity"]
    assert told["time"].items() <= whole["time"].items()
    [split] = told["splits"].values()
    assert split.items() <= whole["splits"]["leave-last-out"].items()
