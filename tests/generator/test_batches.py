"""Windows: every event is asked for once, with the same window that serving would read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.generator.batches import WindowBatches, cut_to_window, window_start
from genrec.interactions import NO_ITEM, Histories, RequestBatch


@pytest.mark.parametrize(
    ("length", "start"), [(0, 0), (7, 0), (8, 0), (9, 4), (12, 4), (13, 8), (16, 8), (17, 12)]
)
def test_the_window_moves_by_half_its_length(length: int, start: int) -> None:
    assert window_start(np.array([length]), 8).tolist() == [start]


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(0, 30), min_size=1, max_size=8), epoch=st.integers(0, 3))
def test_every_event_but_the_first_is_asked_once_from_its_serving_window(
    lengths: list[int], epoch: int
) -> None:
    items = [[100 * user + place for place in range(n)] for user, n in enumerate(lengths)]
    batches = WindowBatches(Histories.from_lists(items), history=8, tokens=24, seed=1)
    asked = []
    for batch in batches.epoch(epoch):
        assert batch["item_index"].numel() <= 24
        for row, targets in zip(batch["item_index"], batch["target"], strict=True):
            for place in (targets != NO_ITEM).nonzero().flatten().tolist():
                target = int(targets[place])
                asked.append(target)
                user, position = divmod(target, 100)
                prefix = Histories.from_lists([items[user][:position]])
                served = cut_to_window(RequestBatch.from_histories(prefix).item_index, 8)[0]
                assert row[: place + 1].tolist() == served.tolist()
    assert sorted(asked) == [item for row in items for item in row[1:]]


def test_an_epoch_is_the_same_whenever_it_is_asked_for() -> None:
    histories = Histories.from_lists([[i, i + 1, i + 2] for i in range(50)])
    batches = WindowBatches(histories, history=4, tokens=16, seed=3)
    first = [batch["target"] for batch in batches.epoch(2)]
    again = [batch["target"] for batch in batches.epoch(2)]
    other = [batch["target"] for batch in batches.epoch(1)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    shapes = [[batch.shape for batch in batches] for batches in (first, other)]
    assert shapes[0] != shapes[1] or not all(map(torch.equal, first, other))


def test_openings_are_the_items_that_windows_begin_with() -> None:
    histories = Histories.from_lists([[7, 1, 2], [9, 3, 4], [8, 5, 6]])
    batches = WindowBatches(histories, history=4, tokens=100, seed=0)
    (batch,) = batches.epoch(0)
    assert set(batch["opening"].tolist()) <= {7, 8, 9}
    assert batch["opening"].numel() == 1
