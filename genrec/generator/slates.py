"""Slates: k items one after another, each chosen in the knowledge of those before it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genrec.decoding import PrefixIndex, beam_widths
from genrec.errors import DeadlineExceededError, InputError
from genrec.generator.encoded import EncodedRequests
from genrec.generator.items import ItemTables
from genrec.generator.source import REQUESTS_AT_ONCE, GeneratorSource
from genrec.interactions import NO_ITEM, Recommendations, RequestBatch, answer_in_parts

__all__ = ["PrefixLimit", "SlateConfig", "SlateSource"]


@dataclass(frozen=True, kw_only=True)
class PrefixLimit:
    """How much of a slate may be alike: items that share their first codes count as alike."""

    levels: int = 1
    """Codes that they share, at least 1; at most L, where every item is alike to itself alone."""
    items: int
    """Items of a slate that may share them, at least 1."""

    def __post_init__(self) -> None:
        if self.levels < 1 or self.items < 1:
            raise ValueError(
                f"levels and items must be at least 1, got {self.levels} and {self.items}"
            )


@dataclass(frozen=True, kw_only=True)
class SlateConfig:
    """How a slate is made."""

    num_beams: int = 10
    """Prefixes kept after each level, and dense candidates of `combined`. Only the best item of a
    search is used, so it takes fewer than a list does (`benchmarks/user_state.py`)."""
    prefix_limit: PrefixLimit | None = None
    """What keeps a slate diverse; None leaves it to the model."""

    def __post_init__(self) -> None:
        if self.num_beams < 1:
            raise ValueError(f"num_beams must be at least 1, got {self.num_beams}")


class SlateSource:
    """Chooses the best item, shows it to the model as the history's next event, and goes on.

    The scores of a step are those of the source's mode. The generators of today have not been
    trained on slates: to them, what was shown is an event like any other, as if the person had
    taken it.

    It keeps the `Source` protocol. A score is the log-probability of the slate up to and including
    its item (in `combined`, the sum of its weighted voices), so that scores fall as those of a list
    do; the difference to the place before is the item's own log-probability at its step, and that
    need not fall. No item stands in a slate twice. A slate is shorter than asked for where no item
    is left that is permitted and within the limit; the limit is never broken to fill it.

    Its time grows with k; it looks at the clock before every item and before every level.

    Args:
        source: whose model, mode and kept states are used; its number of beams is not.
        config: how slates are made.

    Raises:
        InputError: the limit counts more levels than the codes have.
    """

    def __init__(self, source: GeneratorSource, config: SlateConfig | None = None) -> None:
        self.source = source
        self.config = config or SlateConfig()
        limit, num_levels = self.config.prefix_limit, source.model.config.num_levels
        if limit is not None and limit.levels > num_levels:
            raise InputError(f"items have {num_levels} codes, they cannot share {limit.levels}")

    @property
    def name(self) -> str:
        """The source's name, and that it makes slates."""
        return f"{self.source.name}_slate"

    @torch.inference_mode()
    def recommend(
        self, requests: RequestBatch, k: int, *, deadline: float | None = None
    ) -> Recommendations:
        """See `Source`.

        Args:
            requests: the questions.
            k: items of a slate.
            deadline: `time.perf_counter()` seconds.

        Raises:
            DeadlineExceededError: the deadline passed on the way.
        """

        def answer(part: RequestBatch) -> Recommendations:
            with self.source.between_changes():
                return self._slates(part, k, deadline)

        return answer_in_parts(requests, REQUESTS_AT_ONCE, answer)

    def _slates(self, requests: RequestBatch, k: int, deadline: float | None) -> Recommendations:
        source, tables = self.source, self.source.tables
        state = source.read_histories(requests, tables)
        items = torch.full((len(requests), k), NO_ITEM)
        scores = torch.full((len(requests), k), -torch.inf)
        slate_score = torch.zeros(len(requests))
        num_beams = beam_widths(self.config.num_beams, tables.index.num_levels)
        for place in range(k):
            if deadline is not None and time.perf_counter() > deadline:
                raise DeadlineExceededError(f"slates stopped before item {place + 1}")
            if place:
                state = source.encoder.append(tables, state, items[:, place - 1 : place])
            left_over = self._left_over(requests, tables, items[:, :place])
            asked = EncodedRequests.of(left_over, tables, state)
            best = source.rank(asked, 1, num_beams=num_beams, deadline=deadline)
            if (best.item_index == NO_ITEM).all():
                break
            items[:, place] = best.item_index[:, 0]
            slate_score = slate_score + best.score[:, 0]
            scores[:, place] = slate_score
        return Recommendations(
            item_index=items, score=scores, source=self.name, backend=source.backend
        )

    def _left_over(
        self, requests: RequestBatch, tables: ItemTables, chosen: Tensor
    ) -> RequestBatch:
        """The same questions without what the slates, int64 [B, S], hold or have enough of."""
        left_out = [chosen]
        if self.config.prefix_limit is not None:
            left_out.append(_alike(tables.index, chosen, self.config.prefix_limit))
        if requests.excluded is not None:
            left_out.append(requests.excluded)
        return replace(requests, excluded=torch.cat(left_out, dim=1))


def _alike(index: PrefixIndex, chosen: Tensor, limit: PrefixLimit) -> Tensor:
    """int64 [B, S]: the items below every prefix that a slate has its share of already.

    Args:
        index: the catalogue.
        chosen: int64 [B, S]: the items of each slate so far, NO_ITEM behind the end.
        limit: what a prefix's share is.
    """
    level = limit.levels - 1
    there = (chosen != NO_ITEM).to(index.device)
    nodes = index.path_of(chosen.clamp(min=0).to(index.device))[..., level]  # [B, S]
    alike = ((nodes[:, :, None] == nodes[:, None]) & there[:, None]).sum(-1)  # [B, S]
    user, place = (there & (alike >= limit.items)).nonzero(as_tuple=True)
    entry, items = index.items_below(level, nodes[user, place])
    user = user[entry]
    counts = user.bincount(minlength=len(chosen))
    column = torch.arange(len(user), device=index.device) - (counts.cumsum(0) - counts)[user]
    longest = int(counts.max()) if len(counts) else 0
    padded = nodes.new_full((len(chosen), longest), NO_ITEM)
    padded[user, column] = items
    return padded.to(chosen.device)
