"""The rule of `combined` on unions that a person can add up."""

from __future__ import annotations

import torch

from genrec.generator.combination import ScoredUnion, Weights, best_weights, mix, only_new
from genrec.interactions import NO_ITEM

UNION = ScoredUnion(
    item_index=torch.tensor([[4, 2, NO_ITEM]]),
    generative=torch.tensor([[-1.0, -3.0, 0.0]]),
    dense=torch.tensor([[-5.0, -1.0, 0.0]]),
    followed=torch.tensor([[0.0, -4.0, 0.0]]),
    alike=torch.tensor([[-0.5, 0.5, 0.0]]),
)


def _items(generative: float, followed: float, content: float = 0.0, k: int = 2) -> list[int]:
    weights = Weights(generative=generative, followed=followed, content=content)
    items: list[int] = mix(UNION, weights, k).item_index[0].tolist()
    return items


def test_each_voice_counts_as_much_as_its_weight() -> None:
    assert _items(0.5, 0.0) == [2, 4]
    assert _items(0.9, 0.0) == [4, 2]
    assert _items(0.5, 0.1) == [2, 4]
    assert _items(0.5, 0.5) == [4, 2]
    assert _items(0.9, 0.0, 2.0) == [2, 4]


def test_where_there_is_no_candidate_there_is_no_item() -> None:
    assert _items(0.5, 0.0, k=3) == [2, 4, NO_ITEM]
    assert mix(UNION, Weights(generative=0.0, followed=1.0), 3).score[0, 2] == -torch.inf


def test_the_best_weights_are_those_that_put_what_came_next_first() -> None:
    best, gains = best_weights([(UNION, torch.tensor([4]))], k=1)
    assert gains[best] == 1.0
    assert _items(best.generative, best.followed, best.content)[0] == 4
    best, gains = best_weights([(UNION, torch.tensor([2]))], k=1)
    assert gains[best] == 1.0
    assert _items(best.generative, best.followed, best.content)[0] == 2


def test_a_target_that_is_no_candidate_gains_nothing_and_ties_count_against_it() -> None:
    alike = ScoredUnion(
        item_index=torch.tensor([[0, 1]]),
        generative=torch.zeros(1, 2),
        dense=torch.zeros(1, 2),
        followed=torch.zeros(1, 2),
        alike=torch.zeros(1, 2),
    )
    for target in (7, 1):
        _, gains = best_weights([(alike, torch.tensor([target]))], k=1)
        assert set(gains.values()) == {0.0}


def test_only_new_items_join() -> None:
    known, items = torch.tensor([[3, 5], [1, NO_ITEM]]), torch.tensor([[5, 4], [3, 1]])
    assert only_new(items, known).tolist() == [[NO_ITEM, 4], [3, NO_ITEM]]
