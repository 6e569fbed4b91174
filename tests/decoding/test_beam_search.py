"""Beam search against an exhaustive ranking of all items."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.decoding import Eligibility, PrefixIndex, beam_recall, beam_search
from genrec.errors import DeadlineExceededError, InputError
from genrec.interactions import NO_ITEM
from tests.decoding.stubs import TableDecoder, make_decoder


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    num_requests=st.sampled_from([1, 2, 5]),
    forbid=st.sampled_from([0.0, 0.5, 0.97, 1.0]),
)
def test_beams_as_wide_as_the_catalogue_rank_it_exactly(
    seed: int, num_requests: int, forbid: float
) -> None:
    decoder = make_decoder(seed, num_requests)
    n = decoder.index.num_items
    generator = torch.Generator().manual_seed(seed)
    permitted = torch.rand(num_requests, n, generator=generator) >= forbid
    beams = beam_search(
        decoder,
        decoder.index,
        num_requests=num_requests,
        num_beams=n,
        eligibility=Eligibility(decoder.index, num_requests, allowed=permitted),
    )
    truth = decoder.all_items().masked_fill(~permitted, -torch.inf)
    scores, order = truth.sort(dim=1, descending=True)
    torch.testing.assert_close(beams.log_prob, scores, atol=1e-5, rtol=0)
    for found, wanted, score in zip(beams.item_index, order, scores, strict=True):
        inside = score > -torch.inf
        assert found[inside].tolist() == wanted[inside].tolist()
        assert (found[~inside] == NO_ITEM).all()


def test_narrow_beams_give_only_permitted_items_each_once() -> None:
    decoder = make_decoder(3, 4)
    permitted = torch.rand(4, decoder.index.num_items) > 0.6
    eligibility = Eligibility(decoder.index, 4, allowed=permitted)
    beams = beam_search(
        decoder, decoder.index, num_requests=4, num_beams=6, eligibility=eligibility
    )
    for row, items in enumerate(beams.item_index.tolist()):
        real = [item for item in items if item != NO_ITEM]
        assert len(set(real)) == len(real)
        assert permitted[row, real].all()


def test_a_prefix_whose_items_are_all_forbidden_takes_no_beam() -> None:
    """The best first code leads to forbidden items only: one beam must still find the rest."""
    index = PrefixIndex(np.array([[0, 0], [0, 1], [1, 0]], dtype=np.uint16))
    decoder = TableDecoder(index, [torch.tensor([[9.0, 0.0]]), torch.zeros(1, 3)])
    permitted = torch.tensor([[False, False, True]])
    eligibility = Eligibility(index, 1, allowed=permitted)
    beams = beam_search(decoder, index, num_requests=1, num_beams=1, eligibility=eligibility)
    assert beams.item_index.tolist() == [[2]]
    expected = torch.tensor([9.0, 0.0]).log_softmax(0)[1].item()
    assert beams.log_prob.item() == pytest.approx(expected, abs=1e-6)


def test_equal_scores_put_the_lowest_node_first() -> None:
    index = PrefixIndex(np.array([[c] for c in range(6)], dtype=np.uint16))
    decoder = TableDecoder(index, [torch.tensor([[0.0, 1.0, 0.0, 1.0, 1.0, 0.0]])])
    beams = beam_search(decoder, index, num_requests=1, num_beams=4)
    assert beams.item_index.tolist() == [[1, 3, 4, 0]]


def test_a_shared_filter_serves_every_request() -> None:
    decoder = make_decoder(5, 3)
    shared = torch.zeros(1, decoder.index.num_items, dtype=torch.bool)
    shared[0, 7] = True
    eligibility = Eligibility(decoder.index, 3, allowed=shared)
    beams = beam_search(
        decoder, decoder.index, num_requests=3, num_beams=2, eligibility=eligibility
    )
    assert beams.item_index.tolist() == [[7, NO_ITEM]] * 3


def test_a_deadline_in_the_past_stops_the_search() -> None:
    decoder = make_decoder(1, 1)
    with pytest.raises(DeadlineExceededError, match="before level 0"):
        beam_search(
            decoder,
            decoder.index,
            num_requests=1,
            num_beams=2,
            deadline=time.perf_counter() - 1,
        )


def test_beam_recall_is_the_share_of_the_best_that_was_found() -> None:
    exact = torch.tensor([[5, 6, 7, 8], [1, 2, NO_ITEM, NO_ITEM], [NO_ITEM] * 4])
    found = torch.tensor([[6, 9, 5, 7], [2, NO_ITEM, NO_ITEM, 1], [NO_ITEM] * 4])
    torch.testing.assert_close(beam_recall(found, exact, 3), torch.tensor([2 / 3, 1 / 2, 0.0]))


def test_beams_may_widen_level_by_level_up_to_all_prefixes() -> None:
    decoder = make_decoder(6, 3)
    index = decoder.index
    exact = beam_search(decoder, index, num_requests=3, num_beams=index.num_nodes)
    scores, order = decoder.all_items().sort(dim=1, descending=True)
    assert torch.equal(exact.item_index, order)
    torch.testing.assert_close(exact.log_prob, scores)
    narrow = beam_search(decoder, index, num_requests=3, num_beams=[1, 2, 3])
    assert narrow.item_index.shape == (3, 3)


@pytest.mark.parametrize("num_beams", [0, [1, 2], [1, 0, 1]])
def test_widths_that_are_no_widths_are_refused(num_beams: int | list[int]) -> None:
    decoder = make_decoder(6, 1)
    with pytest.raises(InputError, match="num_beams must be at least 1"):
        beam_search(decoder, decoder.index, num_requests=1, num_beams=num_beams)
