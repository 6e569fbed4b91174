"""The generator as a recommender: its Semantic IDs, its dense head, or both together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.decoding import Beams, Eligibility, FilterCache, beam_search, beam_widths
from genrec.errors import InputError
from genrec.generator.batches import cut_to_window
from genrec.generator.decoder import DecoderWeights, GeneratorDecoder
from genrec.generator.items import ItemTables
from genrec.generator.live import LiveCatalogue
from genrec.generator.model import GenerativeRecommender
from genrec.generator.state import HistoryEncoder, HistoryState
from genrec.generator.user_states import UserStates
from genrec.interactions import (
    NO_ITEM,
    Recommendations,
    RequestBatch,
    answer_in_parts,
    select_top_k,
)
from genrec.kernels import Backend, beam_select
from genrec.kernels.backend import choose_backend
from genrec.kernels.packed_linear import PackedLinear

__all__ = ["DEFAULT_BEAMS", "EncodedRequests", "GeneratorSource", "Mode", "ScoredUnion", "mix"]

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


@dataclass(frozen=True, kw_only=True)
class EncodedRequests:
    """Questions whose histories are encoded, under one state of the weights and the catalogue."""

    requests: RequestBatch
    """What is permitted; the histories in it are not read again."""
    tables: ItemTables
    """What the histories were encoded with, and what the answers are scored with."""
    states: Tensor
    """float [B, T, D]: the state after each event."""
    lengths: Tensor
    """int64 [B], where the states are: events of each history."""

    @classmethod
    def of(cls, requests: RequestBatch, tables: ItemTables, state: HistoryState) -> EncodedRequests:
        """Of histories that can be gone on from."""
        lengths = state.lengths.to(state.states.device)
        requests = _as_known(requests, tables)
        return cls(requests=requests, tables=tables, states=state.states, lengths=lengths)


class GeneratorSource:
    """Keeps the `Source` protocol, and the deadline that the funnel sets.

    Args:
        model: a trained generator; it is put into eval mode.
        mode: which scores decide.
        num_beams: prefixes kept after each level, one number or one a level; the last is also that
            of the dense candidates of `combined`. More are kept where more items are asked for.
        tables: of the model's present weights, to share them between sources; made if None. A
            `LiveCatalogue` is asked for what it has at every request.
        states: where the encoded histories of people are kept, by `user_index`, so that one who
            comes back costs only what is new; None keeps nothing. May be shared between sources.

        linear: what the decoder's linear maps become: `QuantisedLinear` calculates in int8, on a
            CPU alone.

    Raises:
        InputError: no beams, `states` are of another model, or `linear` cannot run there.
        MissingDependencyError: this PyTorch has nothing that `linear` needs.
    """

    def __init__(
        self,
        model: GenerativeRecommender,
        mode: Mode,
        *,
        num_beams: int | Sequence[int] = DEFAULT_BEAMS,
        tables: ItemTables | LiveCatalogue | None = None,
        states: UserStates | None = None,
        linear: type[PackedLinear] = PackedLinear,
    ) -> None:
        self.model = model
        model.train(False)
        self.mode = mode
        self.num_beams = beam_widths(num_beams, model.config.num_levels)
        if states is not None and states.encoder.model is not model:
            raise InputError("these states are of another model; make UserStates for this one")
        self.encoder = HistoryEncoder(model) if states is None else states.encoder
        self.states = states
        self._decoder = DecoderWeights(model, linear)
        with torch.inference_mode():
            self._catalogue = model.item_tables() if tables is None else tables
        self._filters = FilterCache(self.tables.index)

    @property
    def name(self) -> str:
        """The mode's name."""
        return str(self.mode)

    @property
    def tables(self) -> ItemTables:
        """What the next request is answered from."""
        catalogue = self._catalogue
        return catalogue.tables if isinstance(catalogue, LiveCatalogue) else catalogue

    @property
    def backend(self) -> Backend:
        """By what the kernels run; nothing else ever takes over."""
        return choose_backend("beam_search", self.model.device, None)

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
        return answer_in_parts(
            requests, REQUESTS_AT_ONCE, lambda part: self._recommend(part, k, deadline)
        )

    @torch.inference_mode()
    def scored_union(self, requests: RequestBatch, k: int = 0) -> ScoredUnion:
        """Both log-probabilities of the beams and of the dense head's best."""
        return self._scored_union(self._encode(requests), self._at_least(k), None)

    def read_histories(self, requests: RequestBatch, tables: ItemTables) -> HistoryState:
        """The histories of the questions, ready to go on from; kept ones are not encoded anew."""
        windows = cut_to_window(requests.item_index, self.model.config.history)
        if self.states is None:
            return self.encoder.append(tables, self.encoder.start(len(requests)), windows)
        users = requests.user_index.tolist()
        return self.states.read(tables, windows, [user if user >= 0 else None for user in users])

    def rank(
        self,
        asked: EncodedRequests,
        k: int,
        *,
        num_beams: Sequence[int],
        deadline: float | None = None,
    ) -> Recommendations:
        """As `recommend`, for histories that are encoded already.

        Args:
            asked: at most REQUESTS_AT_ONCE questions.
            k: items asked for.
            num_beams: prefixes kept after each level; after the last, and of dense candidates, at
                least k.
            deadline: as for `recommend`.
        """
        if self.mode is Mode.COMBINED:
            union = self._scored_union(asked, num_beams, deadline)
            mixed = mix(union, self.model.config.combination_weight, k)
            return replace(mixed, backend=self.backend)
        if self.mode is Mode.DENSE:
            log_probs = self._dense_log_probs(asked)
            permitted = asked.requests.permitted(asked.tables.num_items)
            best = select_top_k(log_probs, permitted, k, self.name)
            return replace(best, backend=self.backend)
        beams = self._beams(asked, num_beams, deadline)
        return Recommendations(
            item_index=beams.item_index[:, :k].cpu(),
            score=beams.log_prob[:, :k].cpu(),
            source=self.name,
            backend=beams.backend,
        )

    def _recommend(self, requests: RequestBatch, k: int, deadline: float | None) -> Recommendations:
        asked, num_beams = self._encode(requests), self._at_least(k)
        return self.rank(asked, k, num_beams=num_beams, deadline=deadline)

    def _at_least(self, k: int) -> list[int]:
        """The widths of the beams where k items are asked for."""
        return [max(width, k) for width in self.num_beams]

    def _encode(self, requests: RequestBatch) -> EncodedRequests:
        tables = self.tables
        if self.states is not None:
            return EncodedRequests.of(requests, tables, self.read_histories(requests, tables))
        window = cut_to_window(requests.item_index, self.model.config.history)
        window = window.to(self.model.device)
        return EncodedRequests(
            requests=_as_known(requests, tables),
            tables=tables,
            states=self.model.encode(tables, window),
            lengths=(window != NO_ITEM).sum(1),
        )

    def _dense_log_probs(self, asked: EncodedRequests) -> Tensor:
        last = self.model.last_states(asked.states, asked.lengths)
        logits = self.model.dense_logits(asked.tables, last)
        if asked.tables.gone is not None:
            logits = logits.masked_fill(asked.tables.gone, -torch.inf)
        return F.log_softmax(logits.float(), dim=-1).cpu()  # [B, N]

    def _beams(
        self,
        asked: EncodedRequests,
        num_beams: Sequence[int],
        deadline: float | None,
        followed: Tensor | None = None,
    ) -> Beams:
        index, requests = asked.tables.index, asked.requests
        filters = self._filters
        if filters.index is not index:
            filters = self._filters = FilterCache(index)
        return beam_search(
            GeneratorDecoder(self._decoder, asked.tables, asked.states, asked.lengths),
            index,
            num_requests=len(requests),
            num_beams=num_beams,
            eligibility=Eligibility(
                index,
                len(requests),
                allowed=requests.allowed,
                excluded=requests.excluded,
                filters=filters,
            ),
            followed=followed,
            deadline=deadline,
        )

    def _scored_union(
        self, asked: EncodedRequests, num_beams: Sequence[int], deadline: float | None
    ) -> ScoredUnion:
        dense = self._dense_log_probs(asked)
        permitted = asked.requests.permitted(asked.tables.num_items)
        best = select_top_k(dense, permitted, num_beams[-1], self.name).item_index
        beams = self._beams(asked, num_beams, deadline, followed=best)
        found, log_prob = beams.item_index.cpu(), beams.log_prob.cpu()
        assert beams.followed is not None
        is_found = (best[:, :, None] == found[:, None]).any(-1)
        items = torch.cat([found, best.masked_fill(is_found, NO_ITEM)], dim=1)
        return ScoredUnion(
            item_index=items,
            generative=torch.cat([log_prob, beams.followed.cpu()], dim=1),
            dense=dense.gather(1, items.clamp(min=0)),
        )


def _as_known(requests: RequestBatch, tables: ItemTables) -> RequestBatch:
    """The same questions; a filter that was made before an item came does not allow it."""
    if requests.allowed is None or requests.allowed.shape[1] >= tables.num_items:
        return requests
    later = (0, tables.num_items - requests.allowed.shape[1])
    return replace(requests, allowed=F.pad(requests.allowed, later))


def mix(union: ScoredUnion, weight: float, k: int) -> Recommendations:
    """The k best candidates by `weight` · log p_generative + (1 - weight) · log p_dense.

    Args:
        union: the candidates.
        weight: between 0 and 1.
        k: items asked for; at most C of them exist.
    """
    score = weight * union.generative + (1 - weight) * union.dense
    there = union.item_index != NO_ITEM
    score, best = beam_select(
        score.masked_fill(~there, -torch.inf),
        union.item_index.clamp(min=0),
        min(k, score.shape[1]),
    )
    items = union.item_index.gather(1, best).masked_fill(score == -torch.inf, NO_ITEM)
    return Recommendations(item_index=items, score=score, source=str(Mode.COMBINED))
