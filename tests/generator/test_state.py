"""Appending to an encoded history is the same as encoding it anew, and costs one token an event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.generator import GenerativeRecommender, HistoryEncoder, HistoryState
from genrec.generator.batches import cut_to_window
from genrec.generator.items import ItemTables
from genrec.interactions import Histories, RequestBatch

HISTORY = 8  # of the model of these tests
EVENTS = [(7 * place + 3) % 60 for place in range(2 * HISTORY + 4)]


@pytest.fixture
def tables(model: GenerativeRecommender) -> ItemTables:
    with torch.inference_mode():
        return model.item_tables()


@pytest.fixture
def encoder(model: GenerativeRecommender) -> HistoryEncoder:
    return HistoryEncoder(model)


def padded(histories: list[list[int]]) -> Tensor:
    """int64 [B, S]: NO_ITEM behind the end."""
    return RequestBatch.from_histories(Histories.from_lists(histories)).item_index


@torch.inference_mode()
def assert_equals_encoding_anew(
    encoder: HistoryEncoder, tables: ItemTables, state: HistoryState, histories: list[list[int]]
) -> None:
    """The window and every state in it, and what the heads make of the last one."""
    model, window = encoder.model, cut_to_window(padded(histories), HISTORY)
    states, lengths = model.encode(tables, window), state.lengths
    assert torch.equal(state.item_index, window)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(
            state.states[row, :length], states[row, :length], atol=1e-5, rtol=1e-5
        )
    torch.testing.assert_close(
        model.last_states(state.states, lengths),
        model.last_states(states, lengths),
        atol=1e-5,
        rtol=1e-5,
    )


@contextmanager
def counting_tokens(encoder: HistoryEncoder) -> Iterator[list[int]]:
    """Collects how many tokens the last encoder block sees in each of its calls."""
    seen: list[int] = []
    feed_forward = encoder.blocks[-1].feed_forward

    def counted(hidden: Tensor) -> Tensor:
        seen.append(hidden.numel() // hidden.shape[-1])
        return feed_forward(hidden)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder.blocks[-1], "feed_forward", counted)
        yield seen


def test_event_by_event_equals_encoding_anew_for_every_length(
    encoder: HistoryEncoder, tables: ItemTables
) -> None:
    state = encoder.start(1)
    for length in range(len(EVENTS)):
        assert_equals_encoding_anew(encoder, tables, state, [EVENTS[:length]])
        state = encoder.append(tables, state, torch.tensor([[EVENTS[length]]]))


@pytest.mark.parametrize("length", range(len(EVENTS)))
def test_all_at_once_equals_encoding_anew_for_every_length(
    encoder: HistoryEncoder, tables: ItemTables, length: int
) -> None:
    state = encoder.append(tables, encoder.start(1), padded([EVENTS[:length]]))
    assert_equals_encoding_anew(encoder, tables, state, [EVENTS[:length]])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    chunks=st.integers(1, 4).flatmap(
        lambda users: st.lists(
            st.lists(
                st.lists(st.integers(0, 59), max_size=2 * HISTORY + 3),
                min_size=users,
                max_size=users,
            ),
            min_size=1,
            max_size=4,
        )
    )
)
def test_any_chunks_for_users_of_any_lengths_equal_encoding_anew(
    encoder: HistoryEncoder, tables: ItemTables, chunks: list[list[list[int]]]
) -> None:
    histories: list[list[int]] = [[] for _ in chunks[0]]
    state = encoder.start(len(histories))
    for chunk in chunks:
        state = encoder.append(tables, state, padded(chunk))
        histories = [past + new for past, new in zip(histories, chunk, strict=True)]
        assert_equals_encoding_anew(encoder, tables, state, histories)


def test_an_event_costs_one_token_until_the_window_moves_by_half(
    encoder: HistoryEncoder, tables: ItemTables
) -> None:
    state = encoder.start(1)
    with counting_tokens(encoder) as tokens:
        for event in EVENTS:
            state = encoder.append(tables, state, torch.tensor([[event]]))
    half = HISTORY // 2
    between = [half + 1] + [1] * (half - 1)
    assert tokens == ([1] * HISTORY + 3 * between)[: len(EVENTS)]


def test_no_user_pays_for_the_new_events_of_another(
    encoder: HistoryEncoder, tables: ItemTables
) -> None:
    state = encoder.append(tables, encoder.start(2), padded([EVENTS[:HISTORY], []]))
    with counting_tokens(encoder) as tokens:
        encoder.append(tables, state, padded([[1], [2, 3]]))
    assert tokens == [HISTORY // 2 + 1 + 2]


def test_nothing_new_costs_nothing(encoder: HistoryEncoder, tables: ItemTables) -> None:
    state = encoder.append(tables, encoder.start(2), padded([EVENTS[:3], []]))
    assert encoder.append(tables, state, padded([[], []])) is state


def test_a_state_is_not_changed_by_what_is_appended_to_it(
    encoder: HistoryEncoder, tables: ItemTables
) -> None:
    for length in (3, HISTORY):
        state = encoder.append(tables, encoder.start(1), padded([EVENTS[:length]]))
        before = [state.item_index.clone(), state.states.clone(), state.keys_values.clone()]
        encoder.append(tables, state, padded([[1, 2]]))
        encoder.append(tables, state, padded([[5]]))
        after = [state.item_index, state.states, state.keys_values]
        assert all(torch.equal(old, now) for old, now in zip(before, after, strict=True))


def test_rows_taken_apart_and_joined_go_on_as_they_were(
    encoder: HistoryEncoder, tables: ItemTables
) -> None:
    histories = [EVENTS[:5], [], EVENTS[:HISTORY]]
    state = encoder.append(tables, encoder.start(3), padded(histories))
    rows = [state.row(user) for user in (2, 0, 1)]
    assert [row.item_index.shape[1] for row in rows] == [HISTORY, 5, 1]
    joined = encoder.append(tables, HistoryState.join(rows), padded([[4], [5], [6]]))
    assert_equals_encoding_anew(
        encoder, tables, joined, [[*histories[2], 4], [*histories[0], 5], [*histories[1], 6]]
    )


def test_a_row_holds_no_memory_but_its_own(encoder: HistoryEncoder, tables: ItemTables) -> None:
    state = encoder.append(tables, encoder.start(2), padded([EVENTS[:5], EVENTS[:HISTORY]]))
    row = state.row(0)
    tensors = (row.item_index, row.states, row.keys_values)
    assert sum(each.untyped_storage().nbytes() for each in tensors) == row.num_bytes
    assert row.num_bytes < state.row(1).num_bytes


def test_tensors_that_do_not_belong_together_are_refused(
    encoder: HistoryEncoder, tables: ItemTables
) -> None:
    state = encoder.start(2)
    with pytest.raises(ValueError, match="2, 1"):
        HistoryState(
            item_index=state.item_index, states=state.states[:1], keys_values=state.keys_values
        )
