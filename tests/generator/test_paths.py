"""Paths through the prefixes: what their steps choose from, and means over it."""

from __future__ import annotations

import pytest
import torch

from genrec.decoding import PrefixIndex
from genrec.generator.paths import Paths

CODES = torch.tensor([[0, 0, 1], [0, 0, 2], [0, 1, 0], [1, 0, 0], [1, 0, 3], [1, 2, 0], [0, 2, 2]])
ITEMS = torch.tensor([4, 0, 2, 4])


@pytest.fixture
def paths() -> Paths:
    return Paths(PrefixIndex(CODES.numpy()), ITEMS)


def test_the_children_that_are_taken_lead_to_the_items(paths: Paths) -> None:
    codes = [paths.index.codes_at(level, edges.child) for level, edges in enumerate(paths.edges)]
    assert paths.taken(codes).tolist() == CODES[ITEMS].tolist()
    assert paths.index.items_at(paths.leaves).tolist() == ITEMS.tolist()


def test_spans_hold_the_items_beneath_each_child(paths: Paths) -> None:
    for level, (spans, edges) in enumerate(zip(paths.spans(), paths.edges, strict=True)):
        for place in edges.is_child.nonzero()[:, 0].tolist():
            beneath = CODES[paths.index.leaf_item[spans.first[place] : spans.stop[place]].long()]
            row = int(spans.row[place])
            child = int(paths.index.codes_at(level, edges.child[place : place + 1]))
            prefix = [*CODES[ITEMS[row], :level].tolist(), child]
            assert beneath[:, : level + 1].tolist() == [prefix] * len(beneath)
            assert len(beneath) == (CODES[:, : level + 1] == torch.tensor(prefix)).all(1).sum()


def test_a_mean_over_children_weighs_them_by_their_mass_within_a_step(paths: Paths) -> None:
    random = torch.Generator().manual_seed(0)
    values = [torch.randn(len(each.child), generator=random) for each in paths.edges]
    masses = [torch.rand(len(each.child), generator=random) for each in paths.edges]
    masses[2][paths.edges[2].row == 1] = 0  # a step of which nothing is known
    expected = 0.0
    for level, edges in enumerate(paths.edges):
        for row in range(len(ITEMS)):
            here = (edges.row == row) & edges.is_child
            if masses[level][here].sum() > 0:
                share = masses[level][here] / masses[level][here].sum()
                expected += float((share * values[level][here]).sum())
    for each, edges in zip(values, paths.edges, strict=True):
        each[~edges.is_child] = -torch.inf
    assert float(paths.expected(values, masses)) == pytest.approx(expected, rel=1e-5)
