"""Flat batches hold every event as a target just once."""

from __future__ import annotations

import pytest
import torch

from genrec.errors import InputError
from genrec.interactions import Histories
from genrec.retrieval import PrefixBatches


def targets(batches: PrefixBatches, epoch: int) -> list[tuple[int, int, int]]:
    """Person, place and item of each target."""
    found = []
    for batch in batches.epoch(epoch):
        columns = [batch[name][batch["is_target"]] for name in ("user", "position", "item_index")]
        found += list(zip(*(column.tolist() for column in columns), strict=True))
    return found


@pytest.mark.parametrize("length", [1, 7, 8, 9, 40])
def test_every_event_is_a_target_once_an_epoch_however_long_the_history(length: int) -> None:
    people = [[0], [], list(range(length)), [3, 3]]
    batches = PrefixBatches(Histories.from_lists(people), batch_events=32, max_history=3, seed=0)
    expected = [
        (user, place, item) for user, row in enumerate(people) for place, item in enumerate(row)
    ]
    assert sorted(targets(batches, 0)) == expected


def test_a_long_history_is_cut_into_pieces_that_carry_their_context() -> None:
    histories = Histories.from_lists([list(range(10))])
    batches = PrefixBatches(histories, batch_events=16, max_history=3, seed=0)
    for batch in batches.epoch(0):
        for piece in batch["piece"].unique():
            rows = batch["piece"] == piece
            first = int(batch["position"][rows & batch["is_target"]][0])
            context = batch["position"][rows & ~batch["is_target"]]
            assert context.tolist() == list(range(max(first - 3, 0), first))


def test_epochs_differ_in_order_and_repeat_exactly() -> None:
    histories = Histories.from_lists([[user] for user in range(50)])
    batches = PrefixBatches(histories, batch_events=8, max_history=3, seed=0)
    assert targets(batches, 0) == targets(batches, 0)
    assert targets(batches, 0) != targets(batches, 1)
    assert len(batches) == len(list(batches.epoch(0))) == 7


def test_a_log_without_events_is_refused() -> None:
    with pytest.raises(InputError, match="no event"):
        PrefixBatches(Histories.from_lists([[], []]), batch_events=8, max_history=3, seed=0)


def test_a_batch_is_made_of_int64_and_bool() -> None:
    batches = PrefixBatches(Histories.from_lists([[0, 1]]), batch_events=8, max_history=3, seed=0)
    kinds = {name: column.dtype for name, column in next(iter(batches.epoch(0))).items()}
    assert kinds.pop("is_target") is torch.bool
    assert set(kinds.values()) == {torch.int64}
