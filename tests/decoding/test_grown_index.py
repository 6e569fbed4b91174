"""A catalogue that changes, against an index that is built anew from what is in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.decoding import Decoder, Edges, Eligibility, GrownIndex, PrefixIndex, beam_search
from genrec.errors import InputError
from genrec.interactions import NO_ITEM

NUM_CODES, NUM_LEVELS = 4, 3
NUM_REQUESTS = 2


class PrefixScores(Decoder):
    """Scores a child by its prefix alone, so that two indices over the same items must agree."""

    def __init__(self, index: PrefixIndex, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        shape = (NUM_LEVELS, NUM_REQUESTS, NUM_CODES**NUM_LEVELS)
        self.index, self.table = index, torch.randn(shape, generator=draw)
        self.prefix = torch.zeros(NUM_REQUESTS, 1, dtype=torch.int64)

    def score_children(self, level: int, edges: Edges) -> Tensor:
        beams = self.prefix.shape[1]
        prefix = self.prefix.flatten()[edges.row] * NUM_CODES
        prefix = prefix + self.index.codes_at(level, edges.child)
        logits = self.table[level, edges.row // beams, prefix]
        logits = logits.masked_fill(~edges.is_child, -torch.inf)
        total = torch.zeros(edges.degree.numel()).index_add(0, edges.row, logits.exp())
        return logits - total.log()[edges.row]

    def advance(self, level: int, parents: Tensor, nodes: Tensor) -> None:
        codes = self.index.codes_at(level, nodes)
        self.prefix = self.prefix.flatten()[parents] * NUM_CODES + codes


def all_codes(seed: int) -> np.ndarray:
    """Every row of codes once, in an order drawn."""
    grid = np.indices((NUM_CODES,) * NUM_LEVELS).reshape(NUM_LEVELS, -1).T
    return np.random.default_rng(seed).permutation(grid).astype(np.uint16)


def grown(codes: np.ndarray, num_first: int, changes: list[int]) -> tuple[GrownIndex, list[int]]:
    """An index of the first rows after these changes (a number of an item to drop, -1 to add)."""
    index = GrownIndex.on(PrefixIndex(codes[:num_first]))
    there = list(range(num_first))
    for change in changes:
        if change < 0 or len(there) < 2:
            there.append(index.num_items)
            index = index.add(torch.from_numpy(codes[index.num_items].astype(np.int64))).index
        else:
            index = index.remove(there.pop(change % len(there))).index
    return index, there


CHANGES = st.lists(st.integers(-10, 9), max_size=20)


@pytest.mark.parametrize("is_static", [False, True], ids=["as it comes", "static"])
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    num_first=st.integers(1, 30),
    changes=CHANGES,
    num_beams=st.sampled_from([1, 4, 60]),
    share=st.sampled_from([None, 0.5]),
)
def test_a_grown_index_finds_what_one_built_anew_finds(
    is_static: bool,
    seed: int,
    num_first: int,
    changes: list[int],
    num_beams: int,
    share: float | None,
) -> None:
    codes = all_codes(seed)
    index, there = grown(codes, num_first, changes)
    index = index.static() if is_static else index
    anew = PrefixIndex(codes[there], np.array(there))
    draw = torch.Generator().manual_seed(seed)
    allowed = None
    if share is not None:
        allowed = torch.rand(NUM_REQUESTS, index.num_items, generator=draw) < share
    excluded = torch.randint(NO_ITEM, index.num_items, (NUM_REQUESTS, 3), generator=draw)
    found = [
        beam_search(
            PrefixScores(each, seed),
            each,
            num_requests=NUM_REQUESTS,
            num_beams=num_beams,
            eligibility=Eligibility(each, NUM_REQUESTS, allowed=allowed, excluded=excluded),
        )
        for each in (index, anew)
    ]
    assert torch.equal(found[0].item_index, found[1].item_index)
    torch.testing.assert_close(found[0].log_prob, found[1].log_prob)


@pytest.mark.parametrize("is_static", [False, True], ids=["as it comes", "static"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), num_first=st.integers(1, 30), changes=CHANGES)
def test_paths_counts_and_codes_are_those_of_an_index_built_anew(
    is_static: bool, seed: int, num_first: int, changes: list[int]
) -> None:
    codes = all_codes(seed)
    index, there = grown(codes, num_first, changes)
    index = index.static() if is_static else index
    anew = PrefixIndex(codes[there], np.array(there))
    assert is_static or torch.equal(index.compacted().leaf_item, anew.leaf_item)
    items = torch.tensor(there)
    every = torch.arange(index.num_items + 2)
    assert index.has_items(every).nonzero()[:, 0].tolist() == sorted(there)
    path, expected = index.path_of(items), anew.path_of(items)
    if not is_static:
        every_item, every_path = index.paths()
        order = every_item.argsort()
        assert every_item[order].tolist() == sorted(there)
        assert torch.equal(every_path[order], path[items.argsort()])
    assert torch.equal(index.items_at(path[:, -1]), items)
    for level in range(NUM_LEVELS):
        nodes, others = path[:, level], expected[:, level]
        assert index.codes_at(level, nodes).tolist() == codes[there][:, level].tolist()
        assert torch.equal(index.num_leaves(level, nodes), anew.num_leaves(level, others))
        above = path[:, level - 1] if level else torch.zeros_like(nodes)
        edges = index.expand(level, above)
        place = index.place_of(edges, torch.arange(len(nodes)), nodes)
        assert torch.equal(edges.child[place], nodes)
        assert edges.is_child[place].all()


def test_a_static_view_does_not_read_what_came_later() -> None:
    """Behind a list of children stands, in the same memory, what a later version put there."""
    codes = all_codes(1)
    first = GrownIndex.on(PrefixIndex(codes[:20])).add(torch.from_numpy(codes[20].astype("int64")))
    view, later = first.index.static(), first.index
    for row in range(21, 60):
        later = later.add(torch.from_numpy(codes[row].astype(np.int64))).index
    for level in range(NUM_LEVELS):
        above = torch.arange(view.num_nodes[level - 1] if level else 1)
        edges = view.expand(level, above)
        assert int(edges.child.max()) < view.num_nodes[level]


def test_a_search_that_began_before_sees_the_catalogue_as_it_was() -> None:
    codes = all_codes(0)
    first = GrownIndex.on(PrefixIndex(codes[:20]))
    decoder = PrefixScores(first, 0)
    before = beam_search(decoder, first, num_requests=NUM_REQUESTS, num_beams=40)
    index = first.remove(3).index
    for row in range(20, 40):
        index = index.add(torch.from_numpy(codes[row].astype(np.int64))).index
    again = beam_search(PrefixScores(first, 0), first, num_requests=NUM_REQUESTS, num_beams=40)
    assert torch.equal(before.item_index, again.item_index)
    assert torch.equal(before.log_prob, again.log_prob)
    assert first.num_items == 20


def test_a_change_says_which_nodes_stand_for_the_prefixes() -> None:
    index = GrownIndex.on(PrefixIndex(np.array([[0, 0], [0, 1], [2, 0]])))
    added = index.add(torch.tensor([0, 3]))
    assert added.before == (0, None)
    assert added.after == (2, 3)
    removed = added.index.remove(2)  # the only item under its prefix
    assert removed.before == (1, 2)
    assert removed.after == (None, None)
    assert removed.index.num_changes == 2


def test_codes_that_are_taken_are_refused() -> None:
    index = GrownIndex.on(PrefixIndex(np.array([[0, 0], [0, 1]])))
    with pytest.raises(InputError, match=r"item 1 has the codes \[0, 1\]"):
        index.add(torch.tensor([0, 1]))


def test_an_item_that_is_gone_cannot_go_again_and_its_codes_are_free() -> None:
    index = GrownIndex.on(PrefixIndex(np.array([[0, 0], [0, 1]])))
    index = index.remove(1).index
    with pytest.raises(InputError, match="no item 1 to remove"):
        index.remove(1)
    index = index.add(torch.tensor([0, 1])).index
    assert index.has_items(torch.tensor([0, 1, 2])).tolist() == [True, False, True]


def test_it_has_no_ranges_of_leaves() -> None:
    grown = GrownIndex.on(PrefixIndex(np.array([[0, 0], [0, 1]])))
    with pytest.raises(InputError, match="lie apart"):
        grown.leaf_bounds(0, torch.tensor([0]))


def test_only_the_newest_version_can_be_changed() -> None:
    first = GrownIndex.on(PrefixIndex(np.array([[0, 0], [0, 1]])))
    first.add(torch.tensor([1, 1]))
    with pytest.raises(InputError, match="version 0 of the index was changed before"):
        first.add(torch.tensor([1, 2]))
