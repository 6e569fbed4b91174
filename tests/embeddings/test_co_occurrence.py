"""Items that go together in planted histories get close vectors, and nothing else is read."""

from __future__ import annotations

import numpy as np
import pytest

from genrec.embeddings import CoOccurrenceConfig, collaborative_vectors, pair_counts
from genrec.errors import InputError
from genrec.interactions import Histories

NUM_GROUPS, GROUP = 5, 8


def planted() -> Histories:
    """People who each stay in one of five groups of eight items."""
    generator = np.random.default_rng(0)
    return Histories.from_lists(
        [
            (GROUP * (user % NUM_GROUPS) + generator.permutation(GROUP)[:6]).tolist()
            for user in range(200)
        ]
    )


def test_pairs_count_by_the_inverse_of_their_distance_within_one_person() -> None:
    counts = pair_counts(Histories.from_lists([[0, 1, 2], [2, 0]]), 4, window=2).toarray()
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 2] = 1.0
    expected[0, 2] = 0.5 + 1.0
    np.testing.assert_allclose(counts, expected + expected.T)


def test_an_item_is_no_partner_of_itself_and_the_window_ends() -> None:
    counts = pair_counts(Histories.from_lists([[0, 0, 1, 2]]), 3, window=1).toarray()
    assert counts[0, 0] == 0
    assert counts[0, 2] == 0
    assert counts[0, 1] == 1


def test_items_of_one_group_lie_closer_than_those_of_two() -> None:
    made = collaborative_vectors(planted(), NUM_GROUPS * GROUP, CoOccurrenceConfig(width=8))
    similarity = made.vectors @ made.vectors.T
    group = np.arange(NUM_GROUPS * GROUP) // GROUP
    same = group[:, None] == group[None, :]
    assert similarity[same].mean() > 0.9
    assert similarity[~same].mean() < 0.1
    np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1.0, rtol=1e-5)


def test_an_item_nobody_had_has_a_zero_row_and_no_confidence() -> None:
    num_items = NUM_GROUPS * GROUP + 2
    made = collaborative_vectors(planted(), num_items, CoOccurrenceConfig(width=8, shrinkage=7.0))
    assert made.confidence is not None
    assert not made.vectors[-2:].any()
    assert made.confidence[-2:].tolist() == [0.0, 0.0]
    assert made.confidence[0] == pytest.approx(7 / 14)  # it has all seven of its group as partners


def test_the_same_seed_gives_the_same_vectors() -> None:
    first, second = (
        collaborative_vectors(planted(), NUM_GROUPS * GROUP, CoOccurrenceConfig(width=8))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_a_catalogue_narrower_than_the_vectors_gets_narrower_ones() -> None:
    made = collaborative_vectors(Histories.from_lists([[0, 1, 2, 3]] * 3), 4, CoOccurrenceConfig())
    assert made.vectors.shape == (4, 3)


def test_people_with_one_event_each_teach_nothing() -> None:
    with pytest.raises(InputError, match="at least 2 different training events"):
        collaborative_vectors(Histories.from_lists([[0], [1], [2]]), 3, CoOccurrenceConfig())


@pytest.mark.parametrize(
    ("name", "value"), [("width", 0), ("window", 0), ("smoothing", 0.0), ("shrinkage", -1.0)]
)
def test_a_setting_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        CoOccurrenceConfig(**{name: value})  # type: ignore[arg-type]
