"""TIGER's training: what is asked, how a history becomes tokens, and that chains are learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genrec.errors import InputError
from genrec.generator.tiger import (
    Tiger,
    TigerBatches,
    TigerSource,
    TigerTraining,
    fit_tiger,
)
from genrec.generator.tiger.shape import END, PAD
from genrec.interactions import (
    NO_ITEM,
    Histories,
    InteractionDataset,
    Protocol,
    RequestBatch,
    split_histories,
)

SMALL = TigerTraining(
    history=3, width=32, num_layers=1, num_heads=2, head_width=16, feed_forward=64, tokens=512
)
CODES = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]])
SIZES = (3, 2)


def small_tiger() -> Tiger:
    return Tiger(CODES, SMALL.shape(SIZES), history=SMALL.history, seed=0)


def test_every_event_is_asked_once_of_the_history_before_it() -> None:
    histories = Histories.from_lists([[0, 1, 2, 3, 4], [5], [], [2, 0]])
    batches = TigerBatches(histories, history=3, tokens=8, num_levels=2, seed=0)
    asked = []
    for batch in batches.epoch(0):
        for items, target in zip(
            batch["item_index"].tolist(), batch["target"].tolist(), strict=True
        ):
            asked.append(([item for item in items if item != NO_ITEM], target))
        assert batch["item_index"].numel() <= 4 or len(batch["target"]) == 1
    expected = [
        ([], 0),
        ([0], 1),
        ([0, 1], 2),
        ([0, 1, 2], 3),
        ([1, 2, 3], 4),
        ([], 5),
        ([], 2),
        ([2], 0),
    ]
    assert sorted(asked) == sorted(expected)
    assert len(batches) == len(list(batches.epoch(0)))


def test_epochs_differ_in_order_and_repeat_themselves() -> None:
    histories = Histories.from_lists([[0, 1, 2, 3, 4, 5]] * 20)
    batches = TigerBatches(histories, history=3, tokens=16, num_levels=2, seed=0)
    first, again, second = (
        [batch["target"].tolist() for batch in batches.epoch(epoch)] for epoch in (0, 0, 1)
    )
    assert first == again != second


def test_a_history_becomes_the_tokens_of_its_latest_items_and_an_end() -> None:
    model = small_tiger()
    item_index = torch.tensor(
        [[0, 5, 2, 4], [3, NO_ITEM, NO_ITEM, NO_ITEM], [NO_ITEM] * 4], dtype=torch.int64
    )
    # Codes of the first level are the tokens 2 to 4, of the second 5 and 6.
    assert model.tokens(item_index).tolist() == [
        [4, 6, 3, 5, 4, 5, END],
        [3, 6, END, PAD, PAD, PAD, PAD],
        [END, PAD, PAD, PAD, PAD, PAD, PAD],
    ]


@torch.no_grad()
def test_the_score_is_the_log_probability_that_training_lowers() -> None:
    model = small_tiger()
    histories = Histories.from_lists([[0, 1], [4]])
    requests = RequestBatch.from_histories(histories)
    found = TigerSource(model).recommend(requests, len(CODES))
    for row in range(2):
        for item, score in zip(found.item_index[row], found.score[row], strict=True):
            loss = model(item_index=requests.item_index[row : row + 1], target=item[None]).loss
            assert float(score) == pytest.approx(-float(loss) * len(SIZES), abs=1e-4)


def test_the_loss_is_the_mean_over_codes_and_nothing_where_there_is_none() -> None:
    tiger = small_tiger().eval()
    histories, targets = torch.tensor([[0, 1], [2, NO_ITEM]]), torch.tensor([3, 4])
    each = [tiger(histories[row : row + 1], targets[row : row + 1]).loss for row in range(2)]
    torch.testing.assert_close(tiger(histories, targets).loss, torch.stack(each).mean())
    nothing = tiger(histories[:0], targets[:0]).loss  # a process whose part is empty
    nothing.backward()
    assert nothing.item() == 0
    assert all(each.grad is None or not each.grad.any() for each in tiger.parameters())


def test_it_learns_the_chains_of_planted_data(
    planted_data: InteractionDataset, tmp_path: Path
) -> None:
    split = split_histories(planted_data.histories, Protocol.LEAVE_LAST_OUT)
    codes = np.stack(np.divmod(np.arange(planted_data.num_items), 8), axis=1)
    sizes = (int(codes[:, 0].max()) + 1, 8)
    training = replace(SMALL.training, num_epochs=25, learning_rate=5e-3)
    model, result = fit_tiger(
        split.train,
        codes,
        sizes,
        replace(SMALL, training=training),
        work_dir=tmp_path,
        identity={},
    )
    requests = RequestBatch.from_histories(split.test.histories).without_seen()
    found = TigerSource(model).recommend(requests, 1).item_index[:, 0]
    assert (found == torch.from_numpy(split.test.target)).float().mean() > 0.6
    assert result.best_epoch == 25


def test_no_event_to_learn_from_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="TIGER learns from training events"):
        fit_tiger(
            Histories.from_lists([[], []]), CODES, SIZES, SMALL, work_dir=tmp_path, identity={}
        )
