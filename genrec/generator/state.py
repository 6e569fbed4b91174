"""Encoded histories that grow: what the encoder has made of people's windows so far.

The encoder is causal and its positions count from the window's beginning, so what it made of a
window's events stands until the window moves. A new event costs one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.generator.batches import cut_to_window, window_start
from genrec.generator.frozen import FrozenBlock, FrozenNorm
from genrec.generator.items import ItemTables
from genrec.generator.model import GenerativeRecommender
from genrec.interactions import NO_ITEM

__all__ = ["HistoryEncoder", "HistoryState"]


@dataclass(frozen=True, kw_only=True)
class HistoryState:
    """The windows of B people, encoded. It never changes: who appends is given another one.

    What the tensors hold behind the end of a window means nothing.
    """

    item_index: Tensor
    """int64 [B, T], on the CPU: the events of each window, NO_ITEM behind the end; T at least 1."""
    states: Tensor
    """float [B, T, D]: the state after each event."""
    keys_values: Tensor
    """float [layers, B, T, 2 * D]: what each encoder layer attends to, keys beside values."""

    def __post_init__(self) -> None:
        if not self.item_index.shape == self.states.shape[:2] == self.keys_values.shape[1:3]:
            raise ValueError(
                f"{self.item_index.shape} events do not have {self.states.shape} states and "
                f"{self.keys_values.shape} keys and values"
            )

    @property
    def lengths(self) -> Tensor:
        """int64 [B], on the CPU: events per window."""
        return (self.item_index != NO_ITEM).sum(1)

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        return self.item_index.nbytes + self.states.nbytes + self.keys_values.nbytes

    def row(self, user: int) -> HistoryState:
        """One of the people alone, T no longer than needed, in memory of its own."""
        length = max(int(self.lengths[user]), 1)
        return HistoryState(
            item_index=self.item_index[user : user + 1, :length].clone(),
            states=self.states[user : user + 1, :length].clone(),
            keys_values=self.keys_values[:, user : user + 1, :length].clone(),
        )

    @classmethod
    def join(cls, parts: Sequence[HistoryState]) -> HistoryState:
        """People of several states as one batch, in order."""
        if len(parts) == 1:
            return parts[0]
        longest = max(part.item_index.shape[1] for part in parts)
        resized = [part.resized(longest) for part in parts]
        return cls(
            item_index=torch.cat([part.item_index for part in resized]),
            states=torch.cat([part.states for part in resized]),
            keys_values=torch.cat([part.keys_values for part in resized], dim=1),
        )

    def resized(self, places: int) -> HistoryState:
        """A copy with T of `places`; no window may be longer."""
        more = places - self.item_index.shape[1]
        return HistoryState(
            item_index=F.pad(self.item_index, (0, more), value=NO_ITEM),
            states=F.pad(self.states, (0, 0, 0, more)),
            keys_values=F.pad(self.keys_values, (0, 0, 0, more)),
        )


@dataclass(frozen=True, kw_only=True)
class _NewEvents:
    """What is to be encoded: R events of B people, or Q events of one person side by side."""

    window: Tensor
    """int64 [B, T], on the CPU: the windows with the new events in them."""
    items: Tensor
    """int64 [R] or [1, Q], on the CPU: the new events."""
    at: tuple[Tensor, Tensor] | tuple[slice, slice]
    """Whose they are and their positions in the window: int64 [R] each, or the one person's."""
    column: Tensor | None
    """int64 [R]: which of a user's new events each is; None where there is one person."""
    seen: Tensor | None
    """bool [B, 1, Q, T]: what a user's q-th new event may look at; None where it is everything."""

    @classmethod
    def of_one(cls, state: HistoryState, item_index: Tensor, history: int) -> _NewEvents:
        """Of one person, without what only a batch needs; arguments as for `of_many`."""
        kept = int(state.lengths)
        new = item_index[:, : int((item_index != NO_ITEM).sum())]
        window = torch.cat([state.item_index[:, :kept], new], dim=1)
        start = int(window_start(np.array(window.shape[1]), history))
        if start:
            window, kept = window[:, start:], 0
        places = torch.arange(window.shape[1], device=state.states.device)
        several = window.shape[1] - kept > 1
        return cls(
            window=window,
            items=window[:, kept:],
            at=(slice(None), slice(kept, window.shape[1])),
            column=None,
            seen=(places <= places[kept:, None])[None, None] if several else None,
        )

    @classmethod
    def of_many(cls, state: HistoryState, item_index: Tensor, history: int) -> _NewEvents:
        """Of B people.

        Args:
            state: theirs.
            item_index: int64 [B, S]: what they did next, NO_ITEM behind the end.
            history: the longest window.
        """
        lengths = state.lengths
        joined = F.pad(state.item_index, (0, item_index.shape[1]), value=NO_ITEM)
        user, column = (item_index != NO_ITEM).nonzero(as_tuple=True)
        joined[user, lengths[user] + column] = item_index[user, column]
        window = cut_to_window(joined, history)
        moved = (joined != NO_ITEM).sum(1) > (window != NO_ITEM).sum(1)
        kept = lengths.masked_fill(moved, 0)
        places = torch.arange(window.shape[1])
        user, place = ((window != NO_ITEM) & (places >= kept[:, None])).nonzero(as_tuple=True)
        column = place - kept[user]
        last_seen = kept[:, None] + torch.arange(int(column.max()) + 1 if len(column) else 0)
        device = state.states.device
        return cls(
            window=window,
            items=window[user, place],
            at=(user.to(device), place.to(device)),
            column=column.to(device),
            seen=(places <= last_seen[..., None])[:, None].to(device),
        )


class HistoryEncoder:
    """Encodes histories event by event; equal to `model.encode` over the whole window.

    A state stays true as long as the weights do, and the vectors of its items: the catalogue may
    gain items meanwhile.

    Args:
        model: in eval mode.
    """

    def __init__(self, model: GenerativeRecommender) -> None:
        self.model = model
        self.blocks = [FrozenBlock(block, few_rows=True) for block in model.encoder_blocks]
        self._norm = FrozenNorm(model.encoder_norm)

    def start(self, num_users: int) -> HistoryState:
        """People without events."""
        config, like = self.model.config, self.model.empty_state
        return HistoryState(
            item_index=torch.full((num_users, 1), NO_ITEM),
            states=like.new_zeros(num_users, 1, config.width),
            keys_values=like.new_zeros(config.encoder_layers, num_users, 1, 2 * config.width),
        )

    @torch.inference_mode()
    def append(self, tables: ItemTables, state: HistoryState, item_index: Tensor) -> HistoryState:
        """The state after more events; where a window moves, what stays in it is encoded anew.

        Args:
            tables: of the present weights.
            state: of B people.
            item_index: int64 [B, S]: what each of them did next, oldest first, NO_ITEM behind the
                end; any number of events, none too.
        """
        make = _NewEvents.of_one if len(item_index) == 1 else _NewEvents.of_many
        new = make(state, item_index, self.model.config.history)
        if not new.items.numel():
            return state
        grown = state.resized(new.window.shape[1])
        hidden = tables.items[new.items.to(self.model.device)]  # [R, D] or [1, Q, D]
        hidden = hidden + self.model.positions.weight[new.at[1]]
        for block, keys_values in zip(self.blocks, grown.keys_values, strict=True):
            hidden = _through(block, hidden, keys_values, new)
        grown.states[new.at] = self._norm(hidden)
        return replace(grown, item_index=new.window)


def _through(block: FrozenBlock, hidden: Tensor, keys_values: Tensor, new: _NewEvents) -> Tensor:
    """float, as `hidden`: the new events behind a block, which leaves their keys and values.

    Args:
        block: of the encoder.
        hidden: float [R, D] or [1, Q, D].
        keys_values: float [B, T, 2 * D], of this block; the new events' are written into it.
        new: where they belong.
    """
    width = hidden.shape[-1]
    query, written = block.self_input(block.self_norm(hidden)).split([width, 2 * width], dim=-1)
    keys_values[new.at] = written
    if new.column is None:
        attended = _attend(block, query, keys_values, new.seen)
    else:  # only the attention pays for padding: it sees a user's new events side by side
        user, _ = new.at
        assert new.seen is not None
        queries = query.new_zeros(len(keys_values), new.seen.shape[2], width)
        queries[user, new.column] = query  # [B, Q, D]
        attended = _attend(block, queries, keys_values, new.seen)[user, new.column]
    return block.feed_forward(block.self_output.plus(attended, hidden))


def _attend(block: FrozenBlock, query: Tensor, keys_values: Tensor, seen: Tensor | None) -> Tensor:
    """float, as `query` [B, Q, D]: what it sees in keys and values [B, T, 2 * D]."""
    query, key, value = (
        each.unflatten(-1, (block.num_heads, -1)).transpose(1, 2)
        for each in (query, *keys_values.chunk(2, dim=-1))
    )
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    return attended.transpose(1, 2).flatten(2)
