"""The generator as a recommender: its Semantic IDs, its dense head, or both together."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.decoding import Eligibility, FilterCache, beam_search
from genrec.errors import DeadlineExceededError, InputError
from genrec.generator.batches import cut_to_window
from genrec.generator.decoder import GeneratorDecoder
from genrec.generator.items import ItemTables
from genrec.generator.model import GenerativeRecommender
from genrec.generator.state import HistoryEncoder, HistoryState
from genrec.generator.user_states import UserStates
from genrec.interactions import (
    NO_ITEM,
    Recommendations,
    RequestBatch,
    descending_keys,
    select_top_k,
)

__all__ = ["DEFAULT_BEAMS", "GeneratorSource", "Mode", "ScoredUnion", "mix"]

DEFAULT_BEAMS = 50
REQUESTS_AT_ONCE = 128
"""Larger batches are cut: the beams of so many requests fill the caches already."""


class Mode(StrEnum):
    """Which scores decide."""

    GENERATIVE = "generative"
    """The probability of the Semantic ID, by beam search; never reads the dense head."""
    DENSE = "dense"
    """The dense head's softmax over all items."""
    COMBINED = "combined"
    """The union of the beams and the dense head's best, by the weighted sum of both log p."""


@dataclass(frozen=True, kw_only=True)
class ScoredUnion:
    """The candidates of `combined`, with both of their log-probabilities."""

    item_index: Tensor
    """int64 [B, C]: NO_ITEM where there is none; unique per row otherwise."""
    generative: Tensor
    """float32 [B, C]: log p of the Semantic ID."""
    dense: Tensor
    """float32 [B, C]: log p under the dense head."""


class GeneratorSource:
    """Keeps the `Source` protocol, and the deadline that the funnel sets.

    Args:
        model: a trained generator; it is put into eval mode.
        mode: which scores decide.
        num_beams: prefixes kept after each level; also the dense candidates of `combined`. More
            are kept where more items are asked for.
        tables: of the model's present weights, to share them between sources; made if None.
        states: where the encoded histories of people are kept, by `user_index`, so that one who
            comes back costs only what is new; None keeps nothing. May be shared between sources.

    Raises:
        InputError: no beams, or `states` are of another model or other tables.
    """

    def __init__(
        self,
        model: GenerativeRecommender,
        mode: Mode,
        *,
        num_beams: int = DEFAULT_BEAMS,
        tables: ItemTables | None = None,
        states: UserStates | None = None,
    ) -> None:
        if num_beams < 1:
            raise InputError(f"num_beams must be at least 1, got {num_beams}")
        self.model = model
        model.train(False)
        self.mode = mode
        self.num_beams = num_beams
        with torch.inference_mode():
            self.encoder = _encoder(model, tables, states)
        self.tables = self.encoder.tables
        self.states = states
        self.filters = FilterCache(model.index)

    @property
    def name(self) -> str:
        """The mode's name."""
        return str(self.mode)

    @torch.inference_mode()
    def recommend(
        self, requests: RequestBatch, k: int, *, deadline: float | None = None
    ) -> Recommendations:
        """See `Source`; scores are log-probabilities (a weighted sum of two for `combined`).

        Args:
            requests: the questions.
            k: items asked for.
            deadline: `time.perf_counter()` seconds; checked before each level.

        Raises:
            DeadlineExceededError: the deadline passed on the way.
        """
        parts = [
            self._recommend(requests.rows(start, start + REQUESTS_AT_ONCE), k, deadline)
            for start in range(0, len(requests), REQUESTS_AT_ONCE)
        ]
        return Recommendations(
            item_index=torch.cat([part.item_index for part in parts]),
            score=torch.cat([part.score for part in parts]),
            source=self.name,
        )

    @torch.inference_mode()
    def scored_union(self, requests: RequestBatch, k: int = 0) -> ScoredUnion:
        """Both log-probabilities of the beams and of the dense head's best."""
        states, lengths = self._encode(requests)
        return self._scored_union(requests, states, lengths, max(self.num_beams, k), None)

    def encoded(self, requests: RequestBatch) -> HistoryState:
        """The histories of the questions, ready to go on from; kept ones are not encoded anew."""
        windows = cut_to_window(requests.item_index, self.model.config.history)
        if self.states is None:
            return self.encoder.append(self.encoder.start(len(requests)), windows)
        users = requests.user_index.tolist()
        return self.states.read(windows, [user if user >= 0 else None for user in users])

    def rank(
        self,
        requests: RequestBatch,
        states: Tensor,
        lengths: Tensor,
        k: int,
        *,
        num_beams: int,
        deadline: float | None = None,
    ) -> Recommendations:
        """As `recommend`, for at most REQUESTS_AT_ONCE histories that are encoded already.

        Args:
            requests: what is permitted; their histories are not read.
            states: float [B, T, D], after each event.
            lengths: int64 [B]: events of each history.
            k: items asked for.
            num_beams: prefixes kept after each level, and dense candidates, at least k.
            deadline: as for `recommend`.
        """
        if self.mode is Mode.COMBINED:
            union = self._scored_union(requests, states, lengths, num_beams, deadline)
            return mix(union, self.model.config.combination_weight, k)
        if self.mode is Mode.DENSE:
            log_probs = self._dense_log_probs(states, lengths)
            return select_top_k(log_probs, self._permitted(requests), k, self.name)
        items, log_prob = self._beams(requests, states, lengths, num_beams, deadline)
        return Recommendations(item_index=items[:, :k], score=log_prob[:, :k], source=self.name)

    def _recommend(self, requests: RequestBatch, k: int, deadline: float | None) -> Recommendations:
        states, lengths = self._encode(requests)
        num_beams = max(self.num_beams, k)
        return self.rank(requests, states, lengths, k, num_beams=num_beams, deadline=deadline)

    def _permitted(self, requests: RequestBatch) -> Tensor | None:
        return requests.permitted(self.model.config.num_items)

    def _encode(self, requests: RequestBatch) -> tuple[Tensor, Tensor]:
        """States [B, T, D] of the windows and the number of events in each, int64 [B]."""
        if self.states is not None:
            state = self.encoded(requests)
            return state.states, state.lengths.to(self.model.device)
        window = cut_to_window(requests.item_index, self.model.config.history)
        window = window.to(self.model.device)
        return self.model.encode(self.tables, window), (window != NO_ITEM).sum(1)

    def _dense_log_probs(self, states: Tensor, lengths: Tensor) -> Tensor:
        last = self.model.last_states(states, lengths)
        logits = self.model.dense_logits(self.tables, last)
        return F.log_softmax(logits.float(), dim=-1).cpu()  # [B, N]

    def _beams(
        self,
        requests: RequestBatch,
        states: Tensor,
        lengths: Tensor,
        num_beams: int,
        deadline: float | None,
    ) -> tuple[Tensor, Tensor]:
        index = self.model.index
        beams = beam_search(
            GeneratorDecoder(self.model, self.tables, states, lengths),
            index,
            num_requests=len(requests),
            num_beams=num_beams,
            eligibility=Eligibility(
                index,
                len(requests),
                allowed=requests.allowed,
                excluded=requests.excluded,
                filters=self.filters,
            ),
            deadline=deadline,
        )
        return beams.item_index.cpu(), beams.log_prob.cpu()

    def _scored_union(
        self,
        requests: RequestBatch,
        states: Tensor,
        lengths: Tensor,
        size: int,
        deadline: float | None,
    ) -> ScoredUnion:
        found, generative = self._beams(requests, states, lengths, size, deadline)
        if deadline is not None and time.perf_counter() > deadline:
            raise DeadlineExceededError("combined stopped before the dense candidates were scored")
        dense = self._dense_log_probs(states, lengths)
        best = select_top_k(dense, self._permitted(requests), size, self.name).item_index
        known = (best[:, :, None] == found[:, None]).any(-1)
        best = best.masked_fill(known, NO_ITEM)
        items = torch.cat([found, best], dim=1)
        return ScoredUnion(
            item_index=items,
            generative=torch.cat([generative, self._path_scores(states, lengths, best)], dim=1),
            dense=dense.gather(1, items.clamp(min=0)),
        )

    def _path_scores(self, states: Tensor, lengths: Tensor, items: Tensor) -> Tensor:
        """float32 [B, C]: log p of the Semantic IDs of given items."""
        model, safe = self.model, items.clamp(min=0).to(states.device)
        memory, seen = model.decoder_memory(states, lengths)
        starts = model.last_states(states, lengths)[:, None].expand(-1, safe.shape[1], -1)
        decoded = model.decode_paths(self.tables, starts, memory, seen[:, None], safe)
        queries = model.queries(decoded).flatten(0, 1)  # [B * C, L, D]
        steps = model.path_log_probs(self.tables, queries, safe.flatten())
        log_probs: Tensor = steps.sum(-1).view_as(safe).float().cpu()
        return log_probs


def mix(union: ScoredUnion, weight: float, k: int) -> Recommendations:
    """The k best candidates by `weight` · log p_generative + (1 - weight) · log p_dense.

    Args:
        union: the candidates.
        weight: between 0 and 1.
        k: items asked for; at most C of them exist.
    """
    score = weight * union.generative + (1 - weight) * union.dense
    score = score.masked_fill(union.item_index == NO_ITEM, -torch.inf)
    best = descending_keys(score, union.item_index).topk(min(k, score.shape[1]), dim=1).indices
    return Recommendations(
        item_index=union.item_index.gather(1, best),
        score=score.gather(1, best),
        source=str(Mode.COMBINED),
    )


def _encoder(
    model: GenerativeRecommender, tables: ItemTables | None, states: UserStates | None
) -> HistoryEncoder:
    """That of `states`, if it is of this model and these tables; one made for them otherwise."""
    if states is None:
        return HistoryEncoder(model, model.item_tables() if tables is None else tables)
    theirs = states.encoder
    if theirs.model is not model or (tables is not None and tables is not theirs.tables):
        raise InputError(
            "these states are of another model or of other tables; make UserStates for this one"
        )
    return theirs
