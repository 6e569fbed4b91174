"""Agreement is 1 where prefixes are categories, and what is random where codes are dealt out."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.embeddings import pair_counts
from genrec.interactions import Histories
from genrec.semantic_ids import agreement
from genrec.semantic_ids.agreement import (
    chance_of_sharing,
    measure_categories,
    measure_co_occurrence,
    pairs_within,
)
from genrec.semantic_ids.categories import Categories, categories_of
from tests.semantic_ids.planted import (
    ITEMS_EACH,
    NUM_ITEMS,
    NUM_KINDS,
    histories_within_kinds,
    planted_catalogue,
    planted_codes,
)

Numbers = npt.NDArray[np.int64]

PAIRS = NUM_ITEMS * (NUM_ITEMS - 1)
SAME_KIND = NUM_ITEMS * (ITEMS_EACH - 1) / PAIRS
SAME_GROUP = NUM_ITEMS * (NUM_KINDS * ITEMS_EACH - 1) / PAIRS


def planted_categories() -> Categories:
    categories = categories_of(planted_catalogue())
    assert categories is not None
    return categories


def dealt_out() -> npt.NDArray[np.uint16]:
    return np.random.default_rng(1).permutation(planted_codes())


def test_items_of_one_prefix_share_the_category_that_the_prefix_is() -> None:
    found = measure_categories(planted_codes(), planted_categories(), seed=0)
    assert found is not None
    first, second = found.levels
    assert (found.num_items, found.num_counted, found.num_categories) == (NUM_ITEMS, 40, 49)
    assert second.share == 1.0
    assert second.random == pytest.approx(SAME_KIND)
    assert second.ratio == pytest.approx(1 / SAME_KIND)
    assert first.share == pytest.approx((ITEMS_EACH - 1) / (NUM_KINDS * ITEMS_EACH - 1))


def test_codes_that_are_dealt_out_agree_as_often_as_chance() -> None:
    found = measure_categories(dealt_out(), planted_categories(), seed=0)
    assert found is not None
    assert found.levels[0].ratio == pytest.approx(1.0, abs=0.4)
    followed = measure_co_occurrence(
        dealt_out(), pair_counts(histories_within_kinds(), NUM_ITEMS, 5), window=5
    )
    assert followed is not None
    assert followed.levels[0].ratio == pytest.approx(1.0, abs=0.6)


def test_a_sample_of_the_pairs_says_the_same_as_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = measure_categories(planted_codes(), planted_categories(), seed=0)
    monkeypatch.setattr(agreement, "MOST_PAIRS", 1000)
    sampled = measure_categories(planted_codes(), planted_categories(), seed=0)
    assert every is not None
    assert sampled is not None
    assert sampled.levels[0].num_pairs == 1000
    assert sampled.levels[0].share == pytest.approx(every.levels[0].share, abs=0.05)


def test_items_that_people_have_after_each_other_share_the_prefix_that_they_have() -> None:
    counts = pair_counts(histories_within_kinds(), NUM_ITEMS, 5)
    found = measure_co_occurrence(planted_codes(), counts, window=5)
    assert found is not None
    assert [level.share for level in found.levels] == [1.0, 1.0]
    assert [level.random for level in found.levels] == pytest.approx([SAME_GROUP, SAME_KIND])
    assert found.levels[0].num_pairs == NUM_ITEMS * (ITEMS_EACH - 1) // 2


def test_a_pair_weighs_as_often_and_close_as_it_goes_together() -> None:
    # Items 0 and 1 are of one group and follow each other twice; 0 and 159 are not, and do once.
    counts = pair_counts(Histories.from_lists([[0, 1], [0, 1], [0, 0, 159]]), NUM_ITEMS, 1)
    found = measure_co_occurrence(planted_codes(), counts, window=1)
    assert found is not None
    assert found.levels[0].share == pytest.approx(2 / 3)


def test_nothing_to_compare_is_none() -> None:
    nothing = pair_counts(Histories.from_lists([[3], [4, 4]]), NUM_ITEMS, 5)
    assert measure_co_occurrence(planted_codes(), nothing, window=5) is None
    categories = planted_categories()
    alone = Categories(column="categories", names=categories.names, labels=categories.labels[:1])
    assert measure_categories(planted_codes()[:1], alone, seed=0) is None
    one_level = measure_categories(planted_codes()[:, :1], categories, seed=0)
    assert one_level is not None
    assert one_level.levels == ()


@settings(max_examples=60, deadline=None)
@given(keys=st.lists(st.integers(0, 4), min_size=1, max_size=30), most=st.integers(1, 200))
def test_pairs_are_all_there_are_or_a_sample_of_them(keys: list[int], most: int) -> None:
    array = np.array(keys)
    every = {pair for pair in combinations(range(len(keys)), 2) if keys[pair[0]] == keys[pair[1]]}
    left, right = pairs_within(array, most, np.random.default_rng(0))
    drawn = [tuple(sorted(pair)) for pair in zip(left.tolist(), right.tolist(), strict=True)]
    if len(every) <= most:
        assert sorted(drawn) == sorted(every)
    else:
        assert len(drawn) == most
        assert set(drawn) <= every


@settings(max_examples=40, deadline=None)
@given(keys=st.lists(st.integers(0, 4), min_size=2, max_size=30))
def test_the_chance_is_the_share_of_pairs_with_equal_keys(keys: list[int]) -> None:
    pairs = list(combinations(keys, 2))
    chance = chance_of_sharing(np.array(keys))
    assert chance == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
