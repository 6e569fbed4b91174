"""Relatives: the used items of the same first code whose content is most alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.generator import relatives
from genrec.generator.relatives import NUM_RELATIVES, TEMPERATURE, UsedItems


def drawn(seed: int, num_items: int, num_codes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [N, 2] and unit content [N, 4]."""
    generator = np.random.default_rng(seed)
    codes = torch.from_numpy(generator.integers(0, num_codes, (num_items, 2)))
    content = torch.from_numpy(generator.normal(size=(num_items, 4)).astype(np.float32))
    return codes, torch.nn.functional.normalize(content, dim=-1)


@given(
    seed=st.integers(0, 100),
    num_items=st.integers(1, 120),
    num_codes=st.integers(1, 5),
    share_used=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_they_are_those_that_a_search_item_by_item_finds(
    seed: int, num_items: int, num_codes: int, share_used: float
) -> None:
    codes, content = drawn(seed, num_items, num_codes)
    used = torch.from_numpy(np.random.default_rng(seed).random(num_items) < share_used)
    found = UsedItems(codes, content, used).relatives(codes[~used], content[~used])
    assert found.items.shape == found.shares.shape == (int((~used).sum()), NUM_RELATIVES)
    for row, item in enumerate((~used).nonzero()[:, 0].tolist()):
        members = (used & (codes[:, 0] == codes[item, 0])).nonzero()[:, 0]
        alike, order = (content[members] @ content[item]).sort(descending=True)
        most = min(len(members), NUM_RELATIVES)
        shares = (alike[:most] / TEMPERATURE).softmax(0)
        torch.testing.assert_close(found.shares[row, :most], shares)
        assert (found.shares[row, most:] == 0).all()
        chosen = found.items[row, :most]
        assert torch.equal(chosen.sort().values, members[order[:most]].sort().values)


def test_an_item_with_a_first_code_that_nobody_used_has_none() -> None:
    codes, content = drawn(0, 30, 3)
    used = UsedItems(codes, content, codes[:, 0] != 1)
    asked = torch.tensor([[1, 0], [9, 0]])
    found = used.relatives(asked, content[:2])
    assert (found.shares == 0).all()
    assert (found.mean_of(content) == 0).all()


def test_the_mean_counts_each_relative_by_its_share() -> None:
    codes, content = drawn(1, 10, 1)
    used = torch.arange(10) < 8
    found = UsedItems(codes, content, used).relatives(codes[~used], content[~used])
    values = torch.arange(10.0)
    expected = [
        sum(share * values[item] for item, share in zip(items, shares, strict=True))
        for items, shares in zip(found.items, found.shares, strict=True)
    ]
    torch.testing.assert_close(found.mean_of(values[:, None])[:, 0], torch.stack(expected))


def test_of_many_with_its_first_code_it_is_compared_with_some_evenly_spread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relatives, "MOST_COMPARED", 30)
    codes, content = drawn(2, 101, 1)
    used = torch.arange(101) < 100
    found = UsedItems(codes, content, used).relatives(codes[~used], content[~used])
    compared = torch.arange(0, 100, 4)
    nearest = (content[compared] @ content[100]).topk(NUM_RELATIVES).indices
    assert torch.equal(found.items[0].sort().values, compared[nearest].sort().values)
