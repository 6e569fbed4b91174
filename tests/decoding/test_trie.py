"""The trie's ranges, counts and filters against codes that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.decoding import PrefixTrie
from genrec.errors import InputError

# In order: (0,1) (0,2) (2,0) (2,1) (2,5); items are numbered in another order.
CODES = np.array([[2, 1], [0, 2], [2, 5], [0, 1], [2, 0]], dtype=np.uint16)


def test_leaves_stand_in_the_order_of_their_codes() -> None:
    trie = PrefixTrie(CODES)
    assert trie.leaf_item.tolist() == [3, 1, 4, 0, 2]
    assert trie.num_nodes == [2, 5]


def test_children_of_a_node_are_a_range() -> None:
    edges = PrefixTrie(CODES).expand(1, torch.tensor([1, 0]))
    assert edges.row.tolist() == [0, 0, 0, 1, 1]
    assert edges.child.tolist() == [2, 3, 4, 0, 1]
    assert edges.degree.tolist() == [3, 2]


def test_dead_entries_get_no_edges() -> None:
    edges = PrefixTrie(CODES).expand(1, torch.tensor([1, 0]), torch.tensor([False, True]))
    assert edges.row.tolist() == [1, 1]
    assert edges.degree.tolist() == [0, 2]


def test_every_item_has_its_path() -> None:
    trie = PrefixTrie(CODES)
    assert trie.path_of_item.tolist() == [[1, 3], [0, 1], [1, 4], [0, 0], [1, 2]]
    assert trie.parents_of_items(torch.tensor([2, 3]), 1).tolist() == [1, 0]
    assert trie.parents_of_items(torch.tensor([2, 3]), 0).tolist() == [0, 0]


def test_a_prefix_without_permitted_items_is_closed() -> None:
    permitted = torch.zeros(1, 5, dtype=torch.bool)
    permitted[0, 2] = True
    first, last = PrefixTrie(CODES).permitted_nodes(permitted)
    assert first.tolist() == [[False, True]]
    assert last.tolist() == [[False, False, False, False, True]]


def test_equal_codes_are_an_error_that_names_both_items() -> None:
    with pytest.raises(InputError, match=r"items 0 and 2 have the same codes \[1, 1\]"):
        PrefixTrie(np.array([[1, 1], [0, 0], [1, 1]], dtype=np.uint16))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), num_items=st.integers(1, 60), levels=st.integers(1, 4))
def test_walking_down_reaches_every_item_once(seed: int, num_items: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    drawn = random.integers(0, 5 if levels > 2 else 60, (num_items, levels))
    codes = np.unique(drawn, axis=0).astype(np.uint16)
    trie = PrefixTrie(codes[random.permutation(len(codes))])
    nodes = torch.zeros(1, dtype=torch.int64)
    for level in range(levels):
        nodes = trie.expand(level, nodes).child
        assert nodes.tolist() == list(range(trie.num_nodes[level]))
    assert sorted(trie.leaf_item.tolist()) == list(range(len(codes)))
