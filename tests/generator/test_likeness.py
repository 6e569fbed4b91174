"""How like an item's content is to a history's: by hand, and for items that came later."""

from __future__ import annotations

import pytest
import torch

from genrec.generator.likeness import FADING, content_of, faded, history_content
from genrec.interactions import NO_ITEM

CONTENT = torch.eye(3)
ADDED = torch.tensor([[0.6, 0.8, 0.0]])
HISTORIES = torch.tensor([[0, 1, 2], [2, 2, NO_ITEM], [3, NO_ITEM, NO_ITEM], [NO_ITEM] * 3])


def test_an_event_counts_less_than_the_one_after_it() -> None:
    expected = [[FADING**2, FADING, 1.0], [FADING, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0] * 3]
    torch.testing.assert_close(faded(HISTORIES), torch.tensor(expected))


def test_a_history_is_the_weighted_mean_of_its_events_and_nothing_without_any() -> None:
    found = history_content(CONTENT, ADDED, HISTORIES)
    weights = torch.tensor([FADING**2, FADING, 1.0])
    torch.testing.assert_close(found[0], weights / weights.sum())
    torch.testing.assert_close(found[1], CONTENT[2])
    torch.testing.assert_close(found[2], ADDED[0])
    assert not found[3].any()
    assert history_content(CONTENT, None, HISTORIES[:, :0]).shape == (4, 3)


@pytest.mark.parametrize("shape", [(), (2,), (2, 2)])
def test_items_that_came_later_have_their_own_content(shape: tuple[int, ...]) -> None:
    for item, row in ((1, CONTENT[1]), (3, ADDED[0])):
        found = content_of(CONTENT, ADDED, torch.full(shape, item))
        torch.testing.assert_close(found, row.expand(*shape, 3))
