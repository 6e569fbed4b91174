"""A kept state saves work and never changes an answer."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.generator import (
    GenerativeRecommender,
    GeneratorSource,
    HistoryEncoder,
    HistoryState,
    Mode,
    UserStates,
)
from genrec.generator.batches import cut_to_window
from genrec.generator.items import ItemTables
from genrec.interactions import Histories, RequestBatch

HISTORY = 8  # of the model of these tests
EVENTS = [(7 * place + 3) % 60 for place in range(2 * HISTORY + 4)]


@pytest.fixture
def tables(model: GenerativeRecommender) -> ItemTables:
    with torch.inference_mode():
        return model.item_tables()


def windows(*histories: Sequence[int]) -> Tensor:
    """int64 [B, T]: what the encoder reads of each history."""
    requests = RequestBatch.from_histories(Histories.from_lists([list(each) for each in histories]))
    return cut_to_window(requests.item_index, HISTORY)


def requests(user: int, history: Sequence[int]) -> RequestBatch:
    """One question of one person."""
    asked = RequestBatch.from_histories(Histories.from_lists([list(history)])).without_seen()
    return replace(asked, user_index=torch.tensor([user]))


def assert_right(
    states: UserStates, tables: ItemTables, found: HistoryState, *histories: Sequence[int]
) -> None:
    """The found states are those of these histories."""
    asked = windows(*histories)
    with torch.inference_mode():
        expected = states.encoder.model.encode(tables, asked)
    for row, length in enumerate(found.lengths.tolist()):
        assert found.item_index[row, :length].tolist() == asked[row, :length].tolist()
        torch.testing.assert_close(
            found.states[row, :length], expected[row, :length], atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("mode", Mode)
def test_a_growing_history_is_answered_as_without_kept_states(
    model: GenerativeRecommender, tables: ItemTables, mode: Mode
) -> None:
    states = UserStates(model)
    keeping = GeneratorSource(model, mode, states=states)
    plain = GeneratorSource(model, mode, tables=tables)
    for length in range(len(EVENTS)):
        asked = requests(4, EVENTS[:length])
        ours, theirs = keeping.recommend(asked, 5), plain.recommend(asked, 5)
        assert torch.equal(ours.item_index, theirs.item_index)
        torch.testing.assert_close(ours.score, theirs.score, atol=1e-4, rtol=1e-4)
    moves = 3  # at the lengths 9, 13 and 17; the first two questions find nothing kept
    assert states.counts == {
        "misses": 2,
        "restarts": moves,
        "hits": len(EVENTS) - 2 - moves,
        "appended": len(EVENTS) - 2 - moves,
    }


def test_the_same_history_again_costs_nothing(
    model: GenerativeRecommender, tables: ItemTables
) -> None:
    states = UserStates(model)
    first = states.read(tables, windows(EVENTS[:5]), ["ann"])
    again = states.read(tables, windows(EVENTS[:5]), ["ann"])
    assert torch.equal(first.states, again.states)
    assert states.counts == {"misses": 1, "hits": 1, "appended": 0}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([*EVENTS[:4], 59], id="another last item"),
        pytest.param([59, *EVENTS[1:7]], id="another first item, and longer"),
        pytest.param(EVENTS[:3], id="shorter"),
        pytest.param(EVENTS[1:5], id="the first event gone"),
        pytest.param([], id="none"),
    ],
)
def test_a_history_that_does_not_go_on_from_the_kept_one_is_encoded_anew(
    model: GenerativeRecommender, tables: ItemTables, other: list[int]
) -> None:
    states = UserStates(model)
    states.read(tables, windows(EVENTS[:5]), ["ann"])
    assert_right(states, tables, states.read(tables, windows(other), ["ann"]), other)
    assert states.counts == {"misses": 1, "restarts": 1}
    longer = [*other, 7]
    assert_right(states, tables, states.read(tables, windows(longer), ["ann"]), longer)


def test_people_of_one_batch_have_states_of_their_own(
    model: GenerativeRecommender, tables: ItemTables
) -> None:
    states = UserStates(model)
    states.read(tables, windows(EVENTS[:3], EVENTS[:HISTORY]), ["ann", "bob"])
    asked: tuple[list[int], ...] = (EVENTS[:4], EVENTS[: HISTORY + 1], EVENTS[2:4], [])
    assert_right(
        states, tables, states.read(tables, windows(*asked), ["ann", "bob", None, "cid"]), *asked
    )
    assert states.counts == {"misses": 3, "hits": 1, "appended": 1, "restarts": 1}
    assert len(states) == 2  # nobody keeps nothing, and None has no name


def test_a_person_twice_in_a_batch_is_answered_twice(
    model: GenerativeRecommender, tables: ItemTables
) -> None:
    states = UserStates(model)
    asked = (EVENTS[:4], [9, 8])
    for _ in range(2):
        assert_right(states, tables, states.read(tables, windows(*asked), ["ann", "ann"]), *asked)


def test_whoever_was_asked_about_longest_ago_goes_first(
    model: GenerativeRecommender, tables: ItemTables
) -> None:
    encoder = HistoryEncoder(model)
    of_three = encoder.append(tables, encoder.start(1), windows(EVENTS[:3])).num_bytes
    states = UserStates(model, max_bytes=2 * of_three)
    for name in ("ann", "bob", "ann", "cid"):
        states.read(tables, windows(EVENTS[:3]), [name])
        assert states.num_bytes <= states.max_bytes
    assert states.counts == {"misses": 3, "hits": 1, "appended": 0, "evicted": 1}
    states.read(tables, windows(EVENTS[:3]), ["ann"])
    assert states.counts["hits"] == 2
    states.read(tables, windows(EVENTS[:3]), ["bob"])
    assert states.counts["misses"] == 4


def test_a_longer_state_takes_the_place_of_the_one_it_goes_on_from(
    model: GenerativeRecommender,
    tables: ItemTables,
) -> None:
    states = UserStates(model)
    for length in range(1, 6):
        found = states.read(tables, windows(EVENTS[:length]), ["ann"])
    assert len(states) == 1
    assert states.num_bytes == found.num_bytes


def test_a_state_beyond_the_bound_is_not_kept(
    model: GenerativeRecommender, tables: ItemTables
) -> None:
    states = UserStates(model, max_bytes=0)
    for _ in range(2):
        assert_right(states, tables, states.read(tables, windows(EVENTS[:5]), ["ann"]), EVENTS[:5])
    assert (len(states), states.num_bytes) == (0, 0)
    with pytest.raises(InputError, match="max_bytes must not be negative, got -1"):
        UserStates(model, max_bytes=-1)


def test_unknown_people_are_not_kept(model: GenerativeRecommender, tables: ItemTables) -> None:
    states = UserStates(model)
    GeneratorSource(model, Mode.DENSE, states=states).recommend(requests(-1, [1, 2]), 3)
    assert len(states) == 0


def test_threads_that_ask_about_one_person_at_once_are_all_answered_right(
    model: GenerativeRecommender,
    tables: ItemTables,
) -> None:
    """Half of them ask with histories that contradict the other half's."""
    states = UserStates(model)
    together = Barrier(4)
    told = [EVENTS, EVENTS, EVENTS[::-1], EVENTS[::-1]]

    def ask(history: list[int]) -> None:
        for length in [*range(1, len(EVENTS)), *range(len(EVENTS), 0, -1)]:
            together.wait(timeout=60)
            found = states.read(tables, windows(history[:length]), ["ann"])
            assert_right(states, tables, found, history[:length])

    with ThreadPoolExecutor(4) as threads:
        for outcome in [threads.submit(ask, history) for history in told]:
            outcome.result()
    assert len(states) == 1
    counts = states.counts
    assert counts["misses"] + counts["hits"] + counts["restarts"] == 4 * 2 * len(EVENTS) - 4


def test_states_of_another_model_are_refused(model: GenerativeRecommender) -> None:
    with pytest.raises(InputError, match="make UserStates for this one"):
        GeneratorSource(copy.deepcopy(model), Mode.DENSE, states=UserStates(model))


def test_sources_share_the_tables_and_the_states(
    model: GenerativeRecommender, tables: ItemTables
) -> None:
    states = UserStates(model)
    for mode in Mode:
        source = GeneratorSource(model, mode, tables=tables, states=states)
        assert source.tables is tables
        source.recommend(requests(0, EVENTS[:5]), 3)
    assert states.counts == {"misses": 1, "hits": 2, "appended": 0}
