"""The index's ranges, codes and paths against codes that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.decoding import Edges, PrefixIndex
from genrec.errors import ArtifactError, InputError

# In order: (0,1) (0,2) (2,0) (2,1) (2,5); items are numbered in another order.
CODES = np.array([[2, 1], [0, 2], [2, 5], [0, 1], [2, 0]], dtype=np.uint16)


def drawn_codes(seed: int, num_items: int, num_levels: int, num_codes: int) -> np.ndarray:
    """Unique rows in an order of their own."""
    random = np.random.default_rng(seed)
    codes = np.unique(random.integers(0, num_codes, (num_items, num_levels)), axis=0)
    return codes[random.permutation(len(codes))].astype(np.uint16)


def children(edges: Edges) -> list[list[int]]:
    """Row by row, without padding."""
    return [
        edges.child[start : start + degree].tolist()
        for start, degree in zip(edges.start.tolist(), edges.degree.tolist(), strict=True)
    ]


def test_leaves_stand_in_the_order_of_their_codes() -> None:
    index = PrefixIndex(CODES)
    assert index.leaf_item.tolist() == [3, 1, 4, 0, 2]
    assert index.num_nodes == [2, 5]
    assert index.num_items == 5


def test_children_of_a_node_are_a_range() -> None:
    edges = PrefixIndex(CODES).expand(1, torch.tensor([1, 0]))
    assert children(edges) == [[2, 3, 4], [0, 1]]
    assert edges.row[edges.is_child].tolist() == [0, 0, 0, 1, 1]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    num_items=st.integers(1, 60),
    num_levels=st.integers(1, 4),
    num_codes=st.sampled_from([1, 3, 40]),
)
def test_a_static_view_has_the_same_children_in_rows_of_one_length(
    seed: int, num_items: int, num_levels: int, num_codes: int
) -> None:
    index = PrefixIndex(drawn_codes(seed, num_items, num_levels, num_codes))
    view = index.static()
    assert (index.is_static, view.is_static) == (False, True)
    for level in range(num_levels):
        above = index.num_nodes[level - 1] if level else 1
        nodes = torch.arange(above)
        alive = torch.from_numpy(np.random.default_rng(seed).random(above) < 0.7)
        ragged, padded = (each.expand(level, nodes, alive) for each in (index, view))
        assert padded.width == index.max_degree[level]
        assert padded.child.numel() == above * index.max_degree[level]
        assert children(padded) == children(ragged)
        assert 0 <= int(padded.child.min()) <= int(padded.child.max()) < index.num_nodes[level]
        last = (padded.degree - 1).clamp(min=0)
        wanted = padded.child[padded.start + last]
        place = view.place_of(padded, nodes, wanted)  # here, rows are nodes
        assert torch.equal(place[alive], (padded.start + last)[alive])


def test_dead_entries_have_no_children() -> None:
    edges = PrefixIndex(CODES).expand(1, torch.tensor([1, 0]), torch.tensor([False, True]))
    assert children(edges) == [[], [0, 1]]
    assert edges.degree.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("degrees", "width", "is_full"),
    [([3, 3, 3], 3, True), ([3, 2, 3], 3, False), ([9, 1, 1, 1], None, True)],
)
def test_rows_are_padded_where_most_places_are_filled(
    degrees: list[int], width: int | None, is_full: bool
) -> None:
    codes = [[node, child] for node, degree in enumerate(degrees) for child in range(degree)]
    edges = PrefixIndex(np.array(codes)).expand(1, torch.arange(len(degrees)))
    assert (edges.width, edges.is_full) == (width, is_full)
    assert [len(row) for row in children(edges)] == degrees


def test_a_node_knows_its_code_and_a_leaf_its_item() -> None:
    index = PrefixIndex(CODES)
    assert index.codes_at(0, torch.tensor([1, 0])).tolist() == [2, 0]
    assert index.codes_at(1, torch.tensor([[4], [0]])).tolist() == [[5], [1]]
    assert index.items_at(torch.tensor([4, 0])).tolist() == [2, 3]


def test_codes_up_to_the_largest_uint16_are_kept() -> None:
    index = PrefixIndex(np.array([[65_535, 0], [0, 40_000]], dtype=np.uint16))
    assert index.codes_at(0, torch.arange(2)).tolist() == [0, 65_535]
    assert index.codes_at(1, torch.arange(2)).tolist() == [40_000, 0]


def test_every_item_has_its_path() -> None:
    index = PrefixIndex(CODES)
    assert index.path_of(torch.arange(5)).tolist() == [[1, 3], [0, 1], [1, 4], [0, 0], [1, 2]]
    assert index.path_of(torch.tensor([[3]])).tolist() == [[[0, 0]]]


def test_the_leaves_beneath_a_node_are_counted() -> None:
    index = PrefixIndex(CODES)
    assert index.num_leaves(0, torch.tensor([0, 1])).tolist() == [2, 3]
    assert index.num_leaves(1, torch.tensor([4])).tolist() == [1]


def test_the_items_beneath_nodes_are_listed() -> None:
    row, items = PrefixIndex(CODES).items_below(0, torch.tensor([1, 0, 1]))
    assert row.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert items.tolist() == [4, 0, 2, 3, 1, 4, 0, 2]
    assert PrefixIndex(CODES).items_below(1, torch.tensor([2]))[1].tolist() == [4]


def test_permitted_items_are_counted_beneath_every_node() -> None:
    permitted = torch.zeros(5, dtype=torch.bool)
    permitted[[2, 4]] = True  # (2,5) and (2,0)
    first, last = PrefixIndex(CODES).permitted_leaves(permitted)
    assert first.tolist() == [0, 2]
    assert last.tolist() == [0, 0, 1, 0, 1]


def test_rows_may_belong_to_any_items() -> None:
    index = PrefixIndex(CODES, np.array([7, 3, 1, 0, 4]))
    assert index.leaf_item.tolist() == [0, 3, 4, 7, 1]
    assert index.path_of(torch.tensor([7, 0])).tolist() == [[1, 3], [0, 0]]
    assert index.has_items(torch.tensor([0, 2, 7, 8])).tolist() == [True, False, True, False]


def test_equal_codes_are_an_error_that_names_both_items() -> None:
    with pytest.raises(InputError, match=r"items 0 and 2 have the same codes \[1, 1\]"):
        PrefixIndex(np.array([[1, 1], [0, 0], [1, 1]], dtype=np.uint16))


@pytest.mark.parametrize("codes", [np.zeros((0, 3)), np.zeros((3, 0)), np.array([[70_000]])])
def test_codes_that_cannot_be_indexed_are_refused(codes: np.ndarray) -> None:
    with pytest.raises(InputError, match="codes"):
        PrefixIndex(codes.astype(np.int64))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    num_items=st.integers(1, 60),
    num_levels=st.integers(1, 4),
    num_codes=st.sampled_from([1, 2, 5, 60]),
)
def test_walking_down_reaches_every_item_once(
    seed: int, num_items: int, num_levels: int, num_codes: int
) -> None:
    codes = drawn_codes(seed, num_items, num_levels, num_codes)
    index = PrefixIndex(codes)
    nodes = torch.zeros(1, dtype=torch.int64)
    for level in range(num_levels):
        edges = index.expand(level, nodes)
        nodes = edges.child[edges.is_child]
        assert nodes.tolist() == list(range(index.num_nodes[level]))
    assert sorted(index.items_at(nodes).tolist()) == list(range(len(codes)))
    path = index.path_of(torch.arange(len(codes)))
    found = [index.codes_at(level, path[:, level]) for level in range(num_levels)]
    assert torch.stack(found, dim=1).tolist() == codes.tolist()


def test_more_bits_than_fit_in_one_number_are_sorted_alike() -> None:
    codes = drawn_codes(1, 50, 5, 60_000)
    expected = np.lexsort(codes.T[::-1])
    assert PrefixIndex(codes).leaf_item.tolist() == expected.tolist()


def test_the_tables_take_six_bytes_a_node() -> None:
    index = PrefixIndex(drawn_codes(0, 20_000, 4, 256))
    assert index.num_bytes / sum(index.num_nodes) < 6.01


def test_a_saved_index_is_read_back_and_another_is_refused(tmp_path: Path) -> None:
    index = PrefixIndex(drawn_codes(2, 60, 3, 7))
    index.save(tmp_path / "index")
    loaded = PrefixIndex.load(tmp_path / "index")
    assert torch.equal(loaded.leaf_item, index.leaf_item)
    nodes = torch.arange(index.num_nodes[1])
    assert children(loaded.expand(2, nodes)) == children(index.expand(2, nodes))
    assert torch.equal(loaded.codes_at(1, nodes), index.codes_at(1, nodes))
    (tmp_path / "index" / "tokens_2.npy").unlink()
    with pytest.raises(ArtifactError, match="make it again"):
        PrefixIndex.load(tmp_path / "index")
