"""What is permitted, against the definition: a node is open if a permitted item stands beneath."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.decoding import Eligibility, FilterCache, PrefixIndex
from genrec.interactions import NO_ITEM

NUM_REQUESTS = 3


def make_index(seed: int) -> PrefixIndex:
    random = np.random.default_rng(seed)
    return PrefixIndex(np.unique(random.integers(0, 3, (30, 3)), axis=0).astype(np.uint16))


def open_by_definition(index: PrefixIndex, permitted: Tensor, level: int) -> Tensor:
    """bool [B, nodes] from the permitted items, bool [B, N]."""
    nodes = index.path_of(torch.arange(index.num_items))[:, level]
    counts = torch.zeros(len(permitted), index.num_nodes[level])
    return counts.index_add_(1, nodes, permitted.float()) > 0


def open_as_told(index: PrefixIndex, eligibility: Eligibility, level: int) -> Tensor:
    """bool [B, nodes]: every node of a level asked for by every request."""
    above = 1 if level == 0 else index.num_nodes[level - 1]
    edges = index.expand(level, torch.arange(above).repeat(NUM_REQUESTS))
    permits = eligibility.permits(level, edges, above)
    told = torch.ones(NUM_REQUESTS, index.num_nodes[level], dtype=torch.bool)
    if permits is not None:
        real = edges.is_child
        told[(edges.row // above)[real], edges.child[real]] = permits[real]
    return told


@pytest.mark.parametrize("is_static", [False, True], ids=["as it comes", "static"])
@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    shared=st.sampled_from([None, True, False]),
    share=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    num_excluded=st.sampled_from([0, 1, 5, 40]),
)
def test_a_node_is_open_if_a_permitted_item_stands_beneath(
    is_static: bool, seed: int, shared: bool | None, share: float, num_excluded: int
) -> None:
    index = make_index(seed)
    index = index.static() if is_static else index
    n = index.num_items
    draw = torch.Generator().manual_seed(seed)
    allowed = None
    if shared is not None:
        allowed = torch.rand(1 if shared else NUM_REQUESTS, n, generator=draw) < share
    excluded = torch.randint(NO_ITEM, n, (NUM_REQUESTS, num_excluded), generator=draw)
    eligibility = Eligibility(index, NUM_REQUESTS, allowed=allowed, excluded=excluded)
    permitted = torch.ones(NUM_REQUESTS, n, dtype=torch.bool)
    if allowed is not None:
        permitted &= allowed
    for row, items in enumerate(excluded.tolist()):
        permitted[row, [item for item in items if item != NO_ITEM]] = False
    for level in range(index.num_levels):
        expected = open_by_definition(index, permitted, level)
        assert torch.equal(open_as_told(index, eligibility, level), expected)


def test_nothing_asked_for_permits_everything() -> None:
    index = make_index(0)
    assert Eligibility(index, 1).is_open
    nobody = torch.full((2, 4), NO_ITEM)
    assert Eligibility(index, 2, excluded=nobody).is_open
    assert not Eligibility(index, 1, excluded=torch.tensor([[0]])).is_open


def test_a_filter_is_propagated_once_and_the_oldest_is_forgotten() -> None:
    index = make_index(1)
    first, second = torch.rand(2, index.num_items) > 0.5
    one_filter = 4 * sum(index.num_nodes)
    cache = FilterCache(index, max_bytes=one_filter)
    made = cache.permitted_leaves(first)
    assert cache.permitted_leaves(first.clone()) is made
    assert (cache.hits, cache.misses) == (1, 1)
    cache.permitted_leaves(second)
    assert cache.permitted_leaves(first) is not made
    assert (cache.hits, cache.misses) == (1, 3)


@pytest.mark.parametrize("times", [1, 3])
def test_an_item_that_is_left_out_twice_counts_once(times: int) -> None:
    """A prefix with two items stays open while one of them is left."""
    index = PrefixIndex(np.array([[0, 0], [0, 1], [1, 0]], dtype=np.uint16))
    eligibility = Eligibility(index, 1, excluded=torch.tensor([[0] * times]))
    assert eligibility.permits(0, index.expand(0, torch.zeros(1, dtype=torch.int64)), 1) is None
