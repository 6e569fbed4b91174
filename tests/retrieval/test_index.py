"""Searches under permissions against a comparison of all items."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import pytest
import torch
from torch import Tensor

from genrec.interactions import select_top_k
from genrec.retrieval import ItemIndex
from genrec.retrieval import index as index_module

NUM_ITEMS = 3000


def unit(rows: int, seed: int) -> Tensor:
    """float32 [rows, 8] of length 1."""
    draw = torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(draw, dim=1)


def vectors_near(vectors: Tensor) -> Tensor:
    """float32 of length 1: of people whose best item is among those of the nearest cluster."""
    return torch.nn.functional.normalize(vectors + 0.01 * unit(len(vectors), 2), dim=1)


def permission(num_permitted: int, rows: int = 5) -> Tensor:
    """bool [rows, NUM_ITEMS] with this many permitted in each row, others in each."""
    draw = np.random.default_rng(0)
    permitted = torch.zeros(rows, NUM_ITEMS, dtype=torch.bool)
    for row in permitted:
        row[draw.permutation(NUM_ITEMS)[:num_permitted]] = True
    return permitted


@pytest.mark.parametrize("exact_up_to", [NUM_ITEMS, NUM_ITEMS - 1], ids=["flat", "clusters"])
@pytest.mark.parametrize("num_permitted", [0, 1, 9, 10, 11, 1500, 2999, 3000])
def test_permitted_items_come_unique_sorted_and_as_many_as_there_are(
    num_permitted: int, exact_up_to: int
) -> None:
    vectors, users, permitted = unit(NUM_ITEMS, 0), unit(5, 1), permission(num_permitted)
    index = ItemIndex.build(vectors, exact_up_to=exact_up_to)
    found = index.search(users, permitted, 10, "two_tower")
    expected = select_top_k(users @ vectors.T, permitted, 10, "dense")
    count = min(num_permitted, 10)
    assert ((found.item_index >= 0).sum(1) == count).all()
    assert bool((found.score[:, :-1] >= found.score[:, 1:]).all())
    for row, items in enumerate(found.item_index[:, :count]):
        assert len(set(items.tolist())) == count
        assert bool(permitted[row][items].all())
    if exact_up_to == NUM_ITEMS:
        assert found.item_index.tolist() == expected.item_index.tolist()
        torch.testing.assert_close(found.score, expected.score)


def test_one_permission_may_stand_for_all_questions() -> None:
    vectors, users, permitted = unit(NUM_ITEMS, 0), unit(5, 1), permission(1500, rows=1)
    found = ItemIndex.build(vectors).search(users, permitted, 10, "two_tower")
    expected = select_top_k(users @ vectors.T, permitted, 10, "dense")
    assert found.item_index.tolist() == expected.item_index.tolist()


@pytest.mark.parametrize("exact_up_to", [NUM_ITEMS, NUM_ITEMS - 1], ids=["flat", "clusters"])
@pytest.mark.parametrize("k", [1, NUM_ITEMS, NUM_ITEMS + 3])
def test_more_than_all_items_may_be_asked_for(k: int, exact_up_to: int) -> None:
    vectors, users = unit(NUM_ITEMS, 0), vectors_near(unit(NUM_ITEMS, 0)[:2])
    index = ItemIndex.build(vectors, exact_up_to=exact_up_to)
    found = index.search(users, None, k, "two_tower")
    expected = select_top_k(users @ vectors.T, None, k, "dense")
    assert found.item_index.shape == (2, k)
    assert (found.item_index == expected.item_index).float().mean() > 0.99  # near-ties may swap
    assert int((found.item_index >= 0).sum()) == 2 * min(k, NUM_ITEMS)


def test_items_with_one_and_the_same_vector_come_by_their_index() -> None:
    vectors = unit(1, 0).repeat(20, 1)
    found = ItemIndex.build(vectors).search(unit(1, 0), None, 4, "two_tower")
    assert found.item_index.tolist() == [[0, 1, 2, 3]]


def test_a_batch_is_answered_as_its_questions_one_by_one() -> None:
    index, users, permitted = ItemIndex.build(unit(NUM_ITEMS, 0)), unit(5, 1), permission(100)
    together = index.search(users, permitted, 7, "two_tower")
    for row in range(5):
        alone = index.search(users[row : row + 1], permitted[row : row + 1], 7, "two_tower")
        assert alone.item_index[0].tolist() == together.item_index[row].tolist()
        assert alone.score[0].tolist() == together.score[row].tolist()


def test_a_search_leaves_the_thread_setting_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    before = faiss.omp_get_max_threads()
    seen: list[int] = []
    as_numpy = index_module._numpy

    def record(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
        seen.append(faiss.omp_get_max_threads())
        return as_numpy(tensor)

    monkeypatch.setattr(index_module, "_numpy", record)
    index = ItemIndex.build(unit(10, 0))
    seen.clear()
    index.search(unit(1, 1), None, 3, "two_tower")
    assert seen == [1]
    assert faiss.omp_get_max_threads() == before


def test_an_index_over_other_vectors_is_refused() -> None:
    other = ItemIndex.build(unit(9, 0))
    with pytest.raises(ValueError, match="holds 9 vectors"):
        ItemIndex(unit(10, 0), other._faiss)


@pytest.mark.parametrize("num_forbidden", [0, 1, 1024])
def test_few_forbidden_items_are_fetched_and_dropped_without_a_search_for_each_row(
    num_forbidden: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ItemIndex, "_filtered", lambda *_: pytest.fail("searched row by row"))
    vectors, users, permitted = unit(NUM_ITEMS, 0), unit(5, 1), permission(3000 - num_forbidden)
    found = ItemIndex.build(vectors).search(users, permitted, 10, "two_tower")
    expected = select_top_k(users @ vectors.T, permitted, 10, "dense")
    assert found.item_index.tolist() == expected.item_index.tolist()


def test_clusters_give_the_very_index_again() -> None:
    vectors, users = unit(NUM_ITEMS, 0), unit(20, 1)
    index = ItemIndex.build(vectors, exact_up_to=100)
    clusters = index.clusters()
    assert clusters["centroids"].shape[0] == clusters["cluster_of"].max() + 1
    again = ItemIndex.of_clusters(vectors, clusters)
    one, other = (faiss.serialize_index(each._faiss) for each in (index, again))
    np.testing.assert_array_equal(one, other)
    found = [each.search(users, None, 10, "two_tower") for each in (index, again)]
    assert found[0].item_index.tolist() == found[1].item_index.tolist()


def test_an_exact_index_needs_nothing_but_its_vectors() -> None:
    vectors = unit(50, 0)
    assert ItemIndex.build(vectors).clusters() == {}
    found = ItemIndex.of_clusters(vectors, {}).search(unit(3, 1), None, 5, "two_tower")
    expected = ItemIndex.build(vectors).search(unit(3, 1), None, 5, "two_tower")
    assert found.item_index.tolist() == expected.item_index.tolist()


@pytest.mark.parametrize("wrong", [-1, 10**9])
def test_an_item_in_a_cluster_that_there_is_not_is_refused(wrong: int) -> None:
    vectors = unit(NUM_ITEMS, 0)
    clusters = ItemIndex.build(vectors, exact_up_to=100).clusters()
    clusters["cluster_of"][7] = wrong
    with pytest.raises(ValueError, match="beyond the"):
        ItemIndex.of_clusters(vectors, clusters)
