"""Several sources' candidates become one list by the ranker's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.funnel import RankedSource, merge_candidates
from genrec.interactions import NO_ITEM, Histories, Recommendations, RequestBatch
from tests.funnel.stubs import NUM_ITEMS, FakeClock, StubScorer, StubSource


def _list(source: str, items: list[list[int]]) -> Recommendations:
    item_index = torch.tensor(items)
    score = torch.arange(item_index.shape[1], 0.0, -1.0).expand(item_index.shape)
    return Recommendations(
        item_index=item_index,
        score=score.masked_fill(item_index == NO_ITEM, -torch.inf),
        source=source,
    )


def test_the_union_keeps_each_item_once_in_the_order_of_first_mention() -> None:
    merged = merge_candidates([_list("a", [[4, 2, NO_ITEM]]), _list("b", [[7, 4, 0]])])
    assert merged.item_index.tolist() == [[4, 2, 7, 0]]
    a, b = merged.source_scores["a"], merged.source_scores["b"]
    assert a.nan_to_num(-9).tolist() == [[3, 2, -9, -9]]
    assert b.nan_to_num(-9).tolist() == [[2, -9, 3, 1]]


def test_rows_of_different_size_are_padded() -> None:
    merged = merge_candidates(
        [_list("a", [[1, 2], [3, NO_ITEM]]), _list("b", [[1, 2], [3, NO_ITEM]])]
    )
    assert merged.item_index.tolist() == [[1, 2], [3, NO_ITEM]]


def test_nothing_found_is_no_candidate() -> None:
    merged = merge_candidates([_list("a", [[NO_ITEM, NO_ITEM]])])
    assert merged.item_index.shape == (1, 0)


def test_the_filter_removes_candidates_with_their_scores(one_request: RequestBatch) -> None:
    permitted = torch.ones(1, NUM_ITEMS, dtype=torch.bool)
    permitted[0, 4] = False
    requests = replace(one_request, allowed=permitted)
    kept = merge_candidates([_list("a", [[4, 2, 1]])]).permitted_by(requests)
    assert kept.item_index.tolist() == [[2, 1]]
    assert kept.source_scores["a"].tolist() == [[2.0, 1.0]]


def test_the_ranker_orders_and_every_stage_is_timed(
    clock: FakeClock, one_request: RequestBatch
) -> None:
    sources = [
        StubSource("two_tower", clock, 3.0),
        StubSource("popularity", clock, 1.0, scores=[8, 7, 0, 0, 0, 0, 0, 0]),
    ]
    ranked = RankedSource(
        "two_tower_ranked", sources, StubScorer([9, 0, 0, 0, 0, 0, 5, 7]), num_candidates=2,
        clock=clock,
    )  # fmt: skip
    answer = ranked.answer(one_request, 2)
    assert answer.recommendations.item_index.tolist() == [[0, 7]]
    assert answer.served_by == answer.recommendations.source == "two_tower_ranked"
    assert list(answer.stage_ms) == ["two_tower", "popularity", "filter", "rank"]
    assert list(answer.stage_ms.values()) == pytest.approx([3.0, 1.0, 0.0, 0.0])
    assert answer.total_ms == pytest.approx(4.0)


def test_a_k_beyond_the_candidates_asks_the_sources_for_more(
    clock: FakeClock, one_request: RequestBatch
) -> None:
    ranked = RankedSource(
        "ranked",
        [StubSource("two_tower", clock, 0.0)],
        StubScorer(range(NUM_ITEMS)),
        num_candidates=2,
    )
    best = ranked.recommend(one_request, 10)
    assert best.item_index.tolist() == [[7, 6, 5, 4, 3, 2, 1, 0, NO_ITEM, NO_ITEM]]


def test_nothing_permitted_gives_an_empty_list(clock: FakeClock, one_request: RequestBatch) -> None:
    ranked = RankedSource("ranked", [StubSource("a", clock, 0.0)], StubScorer(range(NUM_ITEMS)))
    nothing = replace(one_request, allowed=torch.zeros(1, NUM_ITEMS, dtype=torch.bool))
    best = ranked.recommend(nothing, 2)
    assert best.item_index.tolist() == [[NO_ITEM, NO_ITEM]]
    assert best.score.tolist() == [[-torch.inf, -torch.inf]]


def test_a_row_with_fewer_candidates_is_padded_behind_them(clock: FakeClock) -> None:
    """The stub scores a place without an item like item 0, above everything."""
    permitted = torch.zeros(2, NUM_ITEMS, dtype=torch.bool)
    permitted[0, 1:5] = True
    permitted[1, 3] = True
    requests = RequestBatch.from_histories(Histories.from_lists([[0], [0]]))
    scorer = StubScorer([9, 1, 2, 3, 4, 0, 0, 0])
    ranked = RankedSource("ranked", [StubSource("a", clock, 0.0)], scorer)
    best = ranked.recommend(replace(requests, allowed=permitted), 2)
    assert best.item_index.tolist() == [[4, 3], [3, NO_ITEM]]
    assert best.score.tolist() == [[4.0, 3.0], [3.0, -torch.inf]]


def test_equal_scores_keep_the_order_of_the_proposals(
    clock: FakeClock, one_request: RequestBatch
) -> None:
    source = StubSource("a", clock, 0.0, scores=[0, 5, 9, 1, 1, 1, 1, 1])
    ranked = RankedSource("ranked", [source], StubScorer([1] * NUM_ITEMS), num_candidates=3)
    assert ranked.recommend(one_request, 3).item_index.tolist() == [[2, 1, 3]]


def test_the_ranker_sees_what_each_source_said(clock: FakeClock, one_request: RequestBatch) -> None:
    class Spy:
        seen: Mapping[str, Tensor]

        def score(
            self, requests: RequestBatch, candidates: Tensor, source_scores: Mapping[str, Tensor]
        ) -> Tensor:
            self.seen = source_scores
            return torch.zeros(candidates.shape)

    spy = Spy()
    RankedSource("ranked", [StubSource("a", clock, 0.0)], spy).recommend(one_request, 1)
    assert spy.seen["a"].tolist() == [[7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]]


def test_two_sources_of_one_name_are_refused(clock: FakeClock) -> None:
    twice = [StubSource("a", clock, 0.0), StubSource("a", clock, 0.0)]
    with pytest.raises(InputError, match="different names"):
        RankedSource("ranked", twice, StubScorer([0.0]))
