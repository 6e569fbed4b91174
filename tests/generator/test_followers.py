"""Followers: the strongest are kept, and a history's events vote for theirs."""

from __future__ import annotations

import numpy as np
import torch

from genrec.generator.followers import (
    BORROWED_GAIN,
    borrowed_scores,
    follower_scores,
    strongest_followers,
)
from genrec.generator.likeness import FADING
from genrec.generator.relatives import Relatives
from genrec.interactions import NO_ITEM, Histories, divided_by_counts, transitions

HISTORIES = Histories.from_lists([[0, 1, 2], [0, 1], [2, 0, 3], [0, 3]])


def test_lists_hold_the_strongest_followers_first_and_end_with_no_item() -> None:
    items, strengths = strongest_followers([HISTORIES], 5, most=2)
    whole = divided_by_counts(transitions(HISTORIES, 5, 5), np.array([4, 2, 2, 2, 0])).toarray()
    assert items.dtype == np.int32
    assert items.tolist() == [[1, 3], [2, NO_ITEM], [0, 3], [NO_ITEM] * 2, [NO_ITEM] * 2]
    for item, (row, strength) in enumerate(zip(items, strengths, strict=True)):
        expected = [0.0 if follower == NO_ITEM else whole[item, follower] for follower in row]
        assert np.allclose(strength, expected)


def test_all_followers_score_as_the_whole_matrix_does() -> None:
    items, strengths = strongest_followers([HISTORIES], 5, most=100)
    whole = divided_by_counts(transitions(HISTORIES, 5, 5), np.array([4, 2, 2, 2, 0])).toarray()
    history = torch.tensor([[0, 1, 2], [3, 0, NO_ITEM], [NO_ITEM] * 3, [4, 0, 0]])
    scores = follower_scores(torch.from_numpy(items), torch.from_numpy(strengths), history, 5)
    fading = np.array([FADING**2, FADING, 1.0])
    assert np.allclose(scores[0], fading @ whole[[0, 1, 2]], atol=1e-6)
    assert np.allclose(scores[1], fading[1:] @ whole[[3, 0]], atol=1e-6)
    assert (scores[2] == 0).all()
    assert np.allclose(scores[3], (1 + FADING) * whole[0], atol=1e-6)


def test_items_that_came_after_training_follow_nothing_and_are_followed_by_nothing() -> None:
    items, strengths = strongest_followers([HISTORIES], 5, most=2)
    tables = (torch.from_numpy(items), torch.from_numpy(strengths))
    with_new = follower_scores(*tables, torch.tensor([[0, 6]]), 8)
    alone = follower_scores(*tables, torch.tensor([[0]]), 8)
    assert torch.allclose(with_new, FADING * alone)
    assert (with_new[:, 5:] == 0).all()


def test_without_lists_nothing_follows() -> None:
    none = (torch.zeros(5, 0, dtype=torch.int32), torch.zeros(5, 0))
    assert (follower_scores(*none, torch.tensor([[0, 1]]), 5) == 0).all()
    assert strongest_followers([Histories.from_lists([[0], [1]])], 2, most=3)[0].shape == (2, 0)


def test_block_by_block_is_as_all_at_once() -> None:
    blocks = [HISTORIES.select(np.array([0, 1])), HISTORIES.select(np.array([2, 3]))]
    for whole, parts in zip(
        strongest_followers([HISTORIES], 5, most=9),
        strongest_followers(blocks, 5, most=9),
        strict=True,
    ):
        assert np.array_equal(whole, parts)


def test_a_new_item_follows_what_its_relatives_follow() -> None:
    """Item 4 never occurs; items 1 and 3 are its relatives. In training or later: all the same."""
    relatives = Relatives(items=torch.tensor([[1, 3, 0]]), shares=torch.tensor([[0.75, 0.25, 0.0]]))
    history = torch.tensor([[0, 1, 2], [2, NO_ITEM, NO_ITEM]])
    found = []
    for given in (None, relatives):
        items, strengths = strongest_followers([HISTORIES], 5, most=9, relatives=given)
        tables = (torch.from_numpy(items), torch.from_numpy(strengths))
        found.append(follower_scores(*tables, history, 5))
    plain, borrowed = found
    assert torch.equal(borrowed[:, :4], plain[:, :4])
    expected = BORROWED_GAIN * (0.75 * plain[:, 1] + 0.25 * plain[:, 3])
    assert (expected > 0).any()
    torch.testing.assert_close(borrowed[:, 4], expected)
    torch.testing.assert_close(borrowed_scores(plain, relatives)[:, 0], expected)
