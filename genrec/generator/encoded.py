"""Questions between reading and answering: their histories are encoded, nothing is searched yet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor

from genrec.generator.items import ItemTables
from genrec.generator.state import HistoryState
from genrec.interactions import NO_ITEM, RequestBatch

__all__ = ["EncodedRequests", "as_known"]


@dataclass(frozen=True, kw_only=True)
class EncodedRequests:
    """Questions whose histories are encoded, under one state of the weights and the catalogue."""

    requests: RequestBatch
    """What is permitted; the histories in it are not read again."""
    window: Tensor
    """int64 [B, T], where the states are: the events that were encoded, NO_ITEM behind the end."""
    tables: ItemTables
    """What the histories were encoded with, and what the answers are scored with."""
    states: Tensor
    """float [B, T, D]: the state after each event."""
    lengths: Tensor
    """int64 [B], where the states are: events of each history."""
    leaves: list[Tensor] | None = None
    """What `FilterCache.tables` made of what is allowed; None where the search is to make it."""

    def permitted(self) -> Tensor | None:
        """bool [B, N] or [1, N], where the states are: None where everything is permitted."""
        permitted = self.requests.permitted(self.tables.num_items)
        return None if permitted is None else permitted.to(self.states.device)

    @classmethod
    def of(cls, requests: RequestBatch, tables: ItemTables, state: HistoryState) -> EncodedRequests:
        """Of histories that can be gone on from."""
        window = state.item_index.to(state.states.device)
        return cls(
            requests=as_known(requests, tables),
            window=window,
            tables=tables,
            states=state.states,
            lengths=(window != NO_ITEM).sum(1),
        )


def as_known(requests: RequestBatch, tables: ItemTables) -> RequestBatch:
    """The same questions; a filter that was made before an item came does not allow it."""
    if requests.allowed is None or requests.allowed.shape[1] >= tables.num_items:
        return requests
    later = (0, tables.num_items - requests.allowed.shape[1])
    return replace(requests, allowed=F.pad(requests.allowed, later))
