"""The training benchmark measures what it says, on a log so small that an epoch fits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.training_scale import Case, drawn_blocks, measure, record
from genrec.interactions import HistoryShards
from genrec.interactions.shards import joined

NUM_ITEMS = 60


def case(source: str, seconds: float) -> Case:
    return Case(
        events=6000, items=NUM_ITEMS, source=source, softmax="default", threads=1, seconds=seconds
    )


def test_drawn_histories_are_as_many_events_as_asked_for_and_few_items_have_most() -> None:
    whole = joined(list(drawn_blocks(200_000, 1000)))
    assert whole.item_index.size == pytest.approx(200_000, rel=0.02)
    assert whole.lengths.min() >= 2
    counts = np.sort(np.bincount(whole.item_index))[::-1]
    assert sum(counts[:100]) > 0.5 * whole.item_index.size


def test_an_epoch_that_fits_is_measured_whole_and_a_longer_one_is_extrapolated(
    tmp_path: Path,
) -> None:
    shards = HistoryShards.write(drawn_blocks(6000, NUM_ITEMS), tmp_path / "shards")
    whole = measure(case("stream", 60.0), shards.folder)
    assert not whole["extrapolated"]
    cut = measure(case("memory", 0.0), shards.folder)
    assert (cut["extrapolated"], cut["steps"]) == (whole["steps"] > 1, 1)
    expected = whole["seconds_per_step"] * whole["steps"]
    assert whole["epoch_seconds"] == pytest.approx(expected, rel=1e-6)
    for row in (whole, cut):
        record(tmp_path / "rows.json", row)
    record(tmp_path / "rows.json", cut)
    assert json.loads((tmp_path / "rows.json").read_text()) == [cut, whole]
