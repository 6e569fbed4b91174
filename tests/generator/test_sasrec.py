"""SASRec: its loss, its window, and that it learns which item follows which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from genrec.errors import InputError
from genrec.generator.sasrec import SasRec, SasRecConfig, SasRecSource, fit_sasrec
from genrec.interactions import (
    NO_ITEM,
    Histories,
    InteractionDataset,
    Protocol,
    RequestBatch,
    split_histories,
)

CONFIG = SasRecConfig(history=4, width=8, tokens=64, dropout=0.0)


def test_the_loss_is_the_cross_entropy_of_every_position_and_of_first_items() -> None:
    torch.manual_seed(0)
    model = SasRec(6, CONFIG)
    items = torch.tensor([[0, 1, 2], [3, 4, NO_ITEM]])
    target = torch.tensor([[1, 2, 5], [NO_ITEM, 0, NO_ITEM]])
    opening = torch.tensor([3])
    states = model.encode(items)
    logits = torch.stack([*states[0], states[1, 1], model.empty_state]) @ model.items.weight.T
    wanted = torch.tensor([1, 2, 5, 0, 3])
    loss = model(item_index=items, target=target, opening=opening).loss
    assert torch.allclose(loss, F.cross_entropy(logits, wanted), atol=1e-6)


def test_a_state_knows_nothing_of_what_comes_later() -> None:
    model = SasRec(6, CONFIG)
    first, second = (model.encode(torch.tensor([[0, 1, last]])) for last in (2, 3))
    assert torch.equal(first[:, :2], second[:, :2])
    assert not torch.equal(first[:, 2], second[:, 2])


def test_only_the_window_is_read() -> None:
    source = SasRecSource(SasRec(9, CONFIG))
    histories = Histories.from_lists([[8, 8, 0, 1, 2, 3], [7, 6, 0, 1, 2, 3]])
    found = source.recommend(RequestBatch.from_histories(histories), 9)
    # A product may sum one row of a batch in another order than the next.
    torch.testing.assert_close(found.score[0], found.score[1])


def test_it_learns_the_chains_of_planted_data(
    planted_data: InteractionDataset, tmp_path: Path
) -> None:
    split = split_histories(planted_data.histories, Protocol.LEAVE_LAST_OUT)
    config = SasRecConfig(width=32, dropout=0.1, tokens=256)
    config = replace(config, training=replace(config.training, num_epochs=25, learning_rate=5e-3))
    model, result = fit_sasrec(
        split.train,
        planted_data.num_items,
        config,
        judge=None,
        work_dir=tmp_path,
        identity={},
    )
    requests = RequestBatch.from_histories(split.test.histories)
    found = SasRecSource(model).recommend(requests, 1).item_index[:, 0]
    assert (found == torch.from_numpy(split.test.target)).float().mean() > 0.6
    assert result.best_epoch == 25


def test_nobody_to_learn_from_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 2 training events"):
        fit_sasrec(
            Histories.from_lists([[0], [1]]),
            2,
            CONFIG,
            judge=None,
            work_dir=tmp_path,
            identity={},
        )


@pytest.mark.parametrize(
    ("name", "wrong"), [("width", 7), ("history", 3), ("history", 0), ("tokens", 2)]
)
def test_sizes_that_do_not_fit_are_refused(name: str, wrong: int) -> None:
    sizes = {"width": 8, "history": 4, "tokens": 64, name: wrong}
    with pytest.raises(ValueError, match="must be"):
        SasRecConfig(width=sizes["width"], history=sizes["history"], tokens=sizes["tokens"])
