"""Items that go along with a search get their own probability and change nothing of the search."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.decoding import Eligibility, GrownIndex, beam_search
from genrec.interactions import NO_ITEM
from tests.decoding.stubs import TableDecoder, make_decoder


@given(
    seed=st.integers(0, 2**31),
    num_requests=st.integers(1, 3),
    num_beams=st.sampled_from([1, 3, 50]),
    num_followed=st.integers(0, 5),
)
@settings(deadline=None, derandomize=True, database=None, max_examples=40)
def test_followed_items_have_their_own_log_probability_and_beams_stay_as_they_are(
    seed: int, num_requests: int, num_beams: int, num_followed: int
) -> None:
    decoder = make_decoder(seed, num_requests)
    index, truth = decoder.index, decoder.all_items()
    draw = torch.Generator().manual_seed(seed)
    shape = (num_requests, num_followed)
    tracked = torch.randint(NO_ITEM, index.num_items, shape, generator=draw)
    excluded = torch.randint(0, index.num_items, (num_requests, 8), generator=draw)
    alone, beside = (
        beam_search(
            TableDecoder(index, decoder.logits),
            index,
            num_requests=num_requests,
            num_beams=num_beams,
            eligibility=Eligibility(index, num_requests, excluded=excluded),
            tracked=items,
        )
        for items in (None, tracked)
    )
    assert alone.tracked is None
    assert torch.equal(alone.item_index, beside.item_index)
    assert torch.equal(alone.log_prob, beside.log_prob)
    expected = truth.gather(1, tracked.clamp(min=0)).masked_fill(tracked == NO_ITEM, -torch.inf)
    assert beside.tracked is not None
    torch.testing.assert_close(beside.tracked, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("num_requests", [1, 2])
def test_items_of_a_catalogue_that_changed_are_followed_to_their_new_nodes(
    num_requests: int,
) -> None:
    decoder = make_decoder(3, num_requests)
    base = decoder.index
    gone = GrownIndex.on(base).remove(0).index
    codes = gone.codes_of(torch.tensor(0))
    index = gone.add(codes).index  # the same codes again, under another number and other nodes
    path, again = base.path_of(torch.tensor(0)), index.path_of(torch.tensor(base.num_items))
    assert not torch.equal(path, again)
    logits = []
    for level, old in enumerate(decoder.logits):  # the new nodes are as likely as the old
        new = torch.zeros(num_requests, index.num_nodes[level])
        new[:, : old.shape[1]] = old
        new[:, again[level]] = old[:, path[level]]
        logits.append(new)
    items = torch.tensor([[base.num_items, 1, 5, NO_ITEM]]).expand(num_requests, -1)
    found = beam_search(
        TableDecoder(index, logits), index, num_requests=num_requests, num_beams=2, tracked=items
    )
    assert found.tracked is not None
    expected = decoder.all_items()[:, [0, 1, 5]]
    torch.testing.assert_close(found.tracked[:, :3], expected, atol=1e-5, rtol=0)
    assert (found.tracked[:, 3] == -torch.inf).all()
