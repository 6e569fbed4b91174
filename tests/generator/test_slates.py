"""A slate is what asking again and again would give, with what was shown added to the history."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from genrec.errors import DeadlineExceededError, InputError
from genrec.generator import (
    GenerativeRecommender,
    GeneratorSource,
    Mode,
    PrefixLimit,
    SlateConfig,
    SlateSource,
    UserStates,
)
from genrec.interactions import NO_ITEM, Histories, Recommendations, RequestBatch

BEAMS = 4
K = 7
HISTORIES = [[3, 1, 4, 1, 5], [9, 2], [], list(range(30))]
REQUESTS = RequestBatch.from_histories(Histories.from_lists(HISTORIES)).without_seen()
CODES, LEVELS = 6, 3  # of the model of these tests


@pytest.fixture(params=list(Mode))
def source(request: pytest.FixtureRequest, model: GenerativeRecommender) -> GeneratorSource:
    return GeneratorSource(model, request.param, num_beams=BEAMS)


def slates(source: GeneratorSource, limit: PrefixLimit | None = None) -> SlateSource:
    return SlateSource(source, SlateConfig(num_beams=BEAMS, prefix_limit=limit))


def question(history: list[int], left_out: list[int]) -> RequestBatch:
    asked = RequestBatch.from_histories(Histories.from_lists([history]))
    return replace(asked, excluded=torch.tensor([left_out], dtype=torch.int64))


def items_of(found: Recommendations, row: int) -> list[int]:
    return [item for item in found.item_index[row].tolist() if item != NO_ITEM]


def test_each_item_is_the_best_answer_to_the_history_with_those_before_it(
    source: GeneratorSource,
) -> None:
    """Histories that are empty, that reach the end of the window within the slate, and beyond."""
    found = slates(source).recommend(REQUESTS, K)
    for row, history in enumerate(HISTORIES):
        items, scores = items_of(found, row), found.score[row].tolist()
        assert len(items) == K
        for place, item in enumerate(items):
            shown = items[:place]
            best = source.recommend(question(history + shown, history + shown), 1)
            before = scores[place - 1] if place else 0.0
            assert best.item_index.tolist() == [[item]]
            assert best.score.item() == pytest.approx(scores[place] - before, abs=1e-4)


def test_what_was_shown_changes_what_is_shown_next(model: GenerativeRecommender) -> None:
    source = GeneratorSource(model, Mode.GENERATIVE, num_beams=60)
    plain = source.recommend(REQUESTS, K)
    assert not torch.equal(slates(source).recommend(REQUESTS, K).item_index, plain.item_index)


def test_no_item_comes_twice_and_all_are_permitted(source: GeneratorSource) -> None:
    asked = replace(REQUESTS, allowed=torch.arange(60)[None] % 3 == 0)
    found = slates(source).recommend(asked, 10)
    for row, history in enumerate(HISTORIES):
        items = items_of(found, row)
        assert len(items) == len(set(items)) == 10
        assert all(item % 3 == 0 and item not in history for item in items)


def test_a_slate_of_all_that_is_permitted_ends_there(source: GeneratorSource) -> None:
    allowed = torch.zeros(4, 60, dtype=torch.bool)
    allowed[0, [7, 21]] = True
    allowed[1, 50] = True
    allowed[3, [40, 41, 42, 43, 44, 45, 46]] = True
    found = slates(source).recommend(replace(REQUESTS, allowed=allowed), 5)
    assert sorted(items_of(found, 0)) == [7, 21]
    assert found.item_index[0, 2:].tolist() == [NO_ITEM] * 3
    assert found.score[0].isfinite().tolist() == [True, True, False, False, False]
    assert items_of(found, 1) == [50]
    assert items_of(found, 2) == []
    assert len(set(items_of(found, 3))) == 5
    assert (found.score[2] == -torch.inf).all()


def test_scores_fall_and_the_slate_of_k_opens_with_the_slate_of_fewer(
    source: GeneratorSource,
) -> None:
    longest = slates(source).recommend(REQUESTS, K)
    assert (longest.score.diff(dim=1) <= 0).all()
    for k in (0, 1, 3):
        shorter = slates(source).recommend(REQUESTS, k)
        assert torch.equal(shorter.item_index, longest.item_index[:, :k])
        torch.testing.assert_close(shorter.score, longest.score[:, :k])


@pytest.mark.parametrize("levels", range(1, LEVELS + 1))
@pytest.mark.parametrize("most", [1, 2])
def test_no_prefix_has_more_than_its_share(source: GeneratorSource, levels: int, most: int) -> None:
    model, limit = source.model, PrefixLimit(levels=levels, items=most)
    free = slates(source).recommend(REQUESTS, 15)
    limited = slates(source, limit).recommend(REQUESTS, 15)
    prefixes = [tuple(code[:levels]) for code in model.codes.tolist()]
    for row, history in enumerate(HISTORIES):
        items, unlimited = items_of(limited, row), items_of(free, row)
        shown = [prefixes[item] for item in items]
        assert max(shown.count(prefix) for prefix in shown) <= most
        left = [prefixes[item] for item in range(60) if item not in history]
        room = sum(min(most, left.count(prefix)) for prefix in set(left))
        assert len(set(items)) == len(items) == min(room, 15)
        assert not set(items) & set(history)
        wanted = [prefixes[item] for item in unlimited]
        counts = [wanted[: place + 1].count(wanted[place]) for place in range(15)]
        agreed = next((place for place in range(15) if counts[place] > most), 15)
        assert items[:agreed] == unlimited[:agreed]
    if levels == 1:
        assert not torch.equal(free.item_index, limited.item_index)


def test_a_limit_that_cannot_be_kept_makes_the_slate_shorter(source: GeneratorSource) -> None:
    found = slates(source, PrefixLimit(items=1)).recommend(REQUESTS, CODES + 4)
    first_codes = source.model.codes[:, 0]
    for row in range(3):
        items = items_of(found, row)
        assert sorted(first_codes[items].tolist()) == list(range(CODES))


@pytest.mark.parametrize("limit", [None, PrefixLimit(items=2)])
def test_a_batch_is_answered_as_one_by_one(
    source: GeneratorSource, limit: PrefixLimit | None
) -> None:
    together = slates(source, limit).recommend(REQUESTS, K)
    for row in range(len(REQUESTS)):
        alone = slates(source, limit).recommend(REQUESTS.rows(row, row + 1), K)
        assert torch.equal(alone.item_index[0], together.item_index[row])
        torch.testing.assert_close(alone.score[0], together.score[row], atol=1e-4, rtol=1e-4)


def test_kept_states_give_the_same_slates_and_keep_nothing_that_was_shown(
    source: GeneratorSource,
) -> None:
    states = UserStates(source.model)
    keeping = GeneratorSource(source.model, source.mode, num_beams=BEAMS, states=states)
    expected = slates(source).recommend(REQUESTS, K)
    asked = replace(REQUESTS, user_index=torch.arange(4))
    for _ in range(2):
        found = slates(keeping).recommend(asked, K)
        assert torch.equal(found.item_index, expected.item_index)
        torch.testing.assert_close(found.score, expected.score, atol=1e-4, rtol=1e-4)
    assert states.counts == {"misses": 5, "hits": 3, "appended": 0}  # nobody's state is not kept


class RecordingSource(GeneratorSource):
    """Remembers how many beams each search had."""

    searched: tuple[int, ...] = ()

    def rank(
        self, *given: Any, num_beams: Sequence[int], **named: Any
    ) -> Recommendations:  # Any: handed through
        self.searched += (max(num_beams),)
        return super().rank(*given, num_beams=num_beams, **named)


def test_a_slate_has_its_own_number_of_beams(model: GenerativeRecommender) -> None:
    source = RecordingSource(model, Mode.GENERATIVE, num_beams=50)
    slates(source).recommend(REQUESTS, 3)
    assert source.searched == (BEAMS, BEAMS, BEAMS)


class SlowSource(GeneratorSource):
    """Takes a quarter of a second for an item, by a clock that nothing else moves."""

    calls = 0
    now = 0.0

    def rank(self, *given: Any, **named: Any) -> Recommendations:  # Any: handed through
        self.calls += 1
        self.now += 0.25
        return super().rank(*given, **named)


def ask_until(source: SlowSource, deadline: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: source.now)
    slates(source).recommend(REQUESTS, K, deadline=deadline)


def test_the_clock_is_looked_at_before_every_item(
    model: GenerativeRecommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SlowSource(model, Mode.DENSE)  # which does not look itself
    with pytest.raises(DeadlineExceededError, match="before item 3"):
        ask_until(source, 0.4, monkeypatch)
    assert source.calls == 2


def test_a_deadline_within_an_item_is_seen_by_the_search(
    model: GenerativeRecommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SlowSource(model, Mode.GENERATIVE)
    with pytest.raises(DeadlineExceededError, match="beam search stopped before level 0"):
        ask_until(source, 0.2, monkeypatch)
    assert source.calls == 1


def test_a_deadline_far_away_changes_nothing(source: GeneratorSource) -> None:
    hurried = slates(source).recommend(REQUESTS, K, deadline=time.perf_counter() + 1e6)
    assert torch.equal(hurried.item_index, slates(source).recommend(REQUESTS, K).item_index)


def test_a_slate_is_named_after_its_source(source: GeneratorSource) -> None:
    found = slates(source).recommend(REQUESTS, 1)
    assert found.source == slates(source).name == f"{source.mode}_slate"


def test_configurations_that_make_no_sense_are_refused(model: GenerativeRecommender) -> None:
    with pytest.raises(ValueError, match="num_beams must be at least 1, got 0"):
        SlateConfig(num_beams=0)
    for levels, items in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match=f"got {levels} and {items}"):
            PrefixLimit(levels=levels, items=items)
    with pytest.raises(InputError, match="items have 3 codes, they cannot share 4"):
        slates(GeneratorSource(model, Mode.DENSE), PrefixLimit(levels=4, items=1))
