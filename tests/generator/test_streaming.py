"""Streamed windows are the windows of memory, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from genrec.generator import GeneratorTraining, fit_generator
from genrec.generator.batches import PaddedBatches, WindowBatches
from genrec.generator.streaming import StreamedWindowBatches
from genrec.interactions import NO_ITEM, Histories, HistoryShards
from genrec.training import Batches, TrainingConfig

ROOT = Path(__file__).parents[2]
NUM_ITEMS = 50


def people(count: int = 400) -> Histories:
    random = np.random.default_rng(0)
    lists = [random.integers(0, NUM_ITEMS, random.integers(0, 25)).tolist() for _ in range(count)]
    return Histories.from_lists(lists)


def in_shards(histories: Histories, folder: Path) -> HistoryShards:
    rows = np.arange(len(histories))
    blocks = (histories.select(part) for part in np.array_split(rows, 9))
    return HistoryShards.write(blocks, folder, events_per_shard=600)


def windows(batches: Batches, epoch: int) -> Counter[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Inputs and targets of every window, and how often it comes."""
    found: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for batch in batches.epoch(epoch):
        assert isinstance(batches, PaddedBatches)
        for items, targets in zip(batch["item_index"], batch["target"], strict=True):
            inside = items != NO_ITEM
            found[tuple(items[inside].tolist()), tuple(targets[inside].tolist())] += 1
    return found


def test_a_stream_asks_the_same_windows_as_memory_in_every_epoch(tmp_path: Path) -> None:
    histories = people()
    streamed = StreamedWindowBatches(in_shards(histories, tmp_path), history=8, tokens=64, seed=3)
    in_memory = WindowBatches(histories, history=8, tokens=64, seed=3)
    assert windows(streamed, 0) == windows(in_memory, 0) == windows(streamed, 1)
    assert abs(len(streamed) - len(list(streamed.epoch(0)))) < 0.1 * len(streamed)
    sizes = [streamed.size_of(batch) for batch in streamed.epoch(0)]
    assert max(size.places for size in sizes) <= 64
    assert 1 - sum(s.events for s in sizes) / sum(s.places for s in sizes) < 0.1


def test_an_epoch_of_a_stream_is_the_same_whenever_it_is_asked_for(tmp_path: Path) -> None:
    shards = in_shards(people(), tmp_path)
    one, other = (StreamedWindowBatches(shards, history=8, tokens=64, seed=seed) for seed in (3, 4))
    first = [batch["target"] for batch in one.epoch(2)]
    again = [batch["target"] for batch in one.epoch(2)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for differs in (one.epoch(1), other.epoch(2)):
        shapes = [batch["target"].shape for batch in differs]
        assert shapes != [target.shape for target in first]


def test_a_generator_trains_from_shards(tmp_path: Path) -> None:
    histories = people(60)
    codes = np.stack([np.arange(NUM_ITEMS) // 8, np.arange(NUM_ITEMS) % 8], axis=1)
    model, result = fit_generator(
        in_shards(histories, tmp_path / "shards"),
        codes.astype(np.uint16),
        (8, 8),
        np.random.default_rng(0).standard_normal((NUM_ITEMS, 6)).astype(np.float32),
        GeneratorTraining(
            history=8,
            width=16,
            encoder_layers=1,
            tokens=64,
            training=TrainingConfig(num_epochs=2),
        ),
        judge=None,
        work_dir=tmp_path / "work",
        identity={},
    )
    assert result.curve[1]["loss"] < result.curve[0]["loss"]
    seen = np.bincount(histories.item_index, minlength=NUM_ITEMS) > 0
    assert model.known.tolist() == seen.tolist()


MEMORY = """
import json, resource, sys
from pathlib import Path
from genrec.generator.streaming import StreamedWindowBatches
from genrec.interactions import HistoryShards
batches = StreamedWindowBatches(HistoryShards(Path(sys.argv[1])), history=50, tokens=2048, seed=0)
events = sum(batches.size_of(batch).events for batch in batches.epoch(0))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([events, peak / 1024]))
"""


@pytest.mark.slow
def test_ten_times_the_log_takes_no_more_memory(tmp_path: Path) -> None:
    random = np.random.default_rng(0)

    def block(count: int) -> Histories:
        offsets = np.concatenate([[0], np.cumsum(random.integers(2, 30, count))])
        items = random.integers(0, NUM_ITEMS, offsets[-1])
        return Histories(item_index=items, event_time=items, offsets=offsets)

    measured = []
    for number, blocks in enumerate((5, 50)):
        folder = tmp_path / str(number)
        HistoryShards.write((block(4000) for _ in range(blocks)), folder, events_per_shard=200_000)
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        )
        measured.append(json.loads(done.stdout))
    (few_events, small), (many_events, large) = measured
    assert many_events > 9 * few_events
    assert large < small + 60  # MiB; the events alone are 25 MiB more, their windows as much again
