"""The generator as a recommender: its Semantic IDs, its dense head, or both together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from enum import StrEnum

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.decoding import (
    Beams,
    Eligibility,
    FilterCache,
    PrefixIndex,
    beam_search,
    beam_widths,
)
from genrec.errors import InputError
from genrec.generator.batches import cut_to_window
from genrec.generator.combination import (
    FOLLOWER_CANDIDATES,
    ScoredUnion,
    Weights,
    best_weights,
    mix,
    only_new,
)
from genrec.generator.decoder import DecoderWeights, GeneratorDecoder
from genrec.generator.encoded import EncodedRequests, as_known
from genrec.generator.followers import borrowed_scores, follower_scores
from genrec.generator.items import ItemTables
from genrec.generator.likeness import content_of, history_content
from genrec.generator.live import LiveCatalogue
from genrec.generator.model import GenerativeRecommender
from genrec.generator.state import HistoryEncoder, HistoryState
from genrec.generator.user_states import UserStates
from genrec.interactions import (
    NO_ITEM,
    EvaluationSet,
    Recommendations,
    RequestBatch,
    answer_in_parts,
    select_top_k,
)
from genrec.kernels import Backend
from genrec.kernels.backend import choose_backend
from genrec.threads import OwnProcess

__all__ = ["DEFAULT_BEAMS", "GeneratorSource", "Mode", "choose_combination"]

DEFAULT_BEAMS = 50
FOLLOWER_SCALE = 0.1
"""Strengths far below it count as they are, far above it with their logarithm."""
REQUESTS_AT_ONCE = 128
"""Larger batches are cut: the beams of so many requests fill the caches already."""

ROWS_AT_ONCE = 2**15
"""Of beams, that long lists keep for all requests of a part together: the memory of a part."""


class Mode(StrEnum):
    """Which scores decide."""

    GENERATIVE = "generative"
    """The probability of the Semantic ID, by beam search; never reads the dense head."""
    DENSE = "dense"
    """The dense head's softmax over all items."""
    COMBINED = "combined"
    """The union of the beams, the dense head's best and the history's strongest followers, by the
    weighted sum of both log p, of the logarithm of how much an item followed, and of how like its
    content is to the history's."""


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

    Raises:
        InputError: no beams, or `states` are of another model.
    """

    def __init__(
        self,
        model: GenerativeRecommender,
        mode: Mode,
        *,
        num_beams: int | Sequence[int] = DEFAULT_BEAMS,
        tables: ItemTables | LiveCatalogue | None = None,
        states: UserStates | None = None,
    ) -> None:
        self.model = model
        model.train(False)
        self.mode = mode
        self._process = OwnProcess()
        self.num_beams = beam_widths(num_beams, model.config.num_levels)
        if states is not None and states.encoder.model is not model:
            raise InputError("these states are of another model; make UserStates for this one")
        self.encoder = HistoryEncoder(model) if states is None else states.encoder
        self.states = states
        self._decoder = DecoderWeights(model)
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

    def between_changes(self) -> AbstractContextManager[None]:
        """In which a request is answered: a live catalogue changes before it or after it."""
        catalogue = self._catalogue
        return catalogue.turns.request() if isinstance(catalogue, LiveCatalogue) else nullcontext()

    @property
    def backend(self) -> Backend:
        """By what the kernels run; nothing else ever takes over."""
        return choose_backend("beam_search", self.model.device, None)

    @torch.inference_mode()
    def recommend(
        self, requests: RequestBatch, k: int, *, deadline: float | None = None
    ) -> Recommendations:
        """See `Source`; scores are log-probabilities (a sum of weighted voices for `combined`).

        Args:
            requests: the questions.
            k: items asked for.
            deadline: `time.perf_counter()` seconds; checked before each level.

        Raises:
            DeadlineExceededError: the deadline passed on the way.
            ForkedProcessError: it was made before a fork, and this is the child.
        """
        self._process.check(f"this source of {self.name!r}")

        def answer(part: RequestBatch) -> Recommendations:
            with self.between_changes():
                return self._recommend(part, k, deadline)

        rows = self._at_least(min(k, self.tables.num_items))[-1]
        size = max(1, min(REQUESTS_AT_ONCE, ROWS_AT_ONCE // rows))
        return answer_in_parts(requests, size, answer)

    @torch.inference_mode()
    def scored_union(self, requests: RequestBatch, k: int = 0) -> ScoredUnion:
        """What `combined` chooses from, and what it weighs; k items at least, where there are."""
        union = self._scored_union(self._encode(requests), self._at_least(k), None)
        return ScoredUnion(
            item_index=union.item_index.cpu(),
            generative=union.generative.cpu(),
            dense=union.dense.cpu(),
            followed=union.followed.cpu(),
            alike=union.alike.cpu(),
        )

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
        found = self.ranked(asked, k, num_beams, deadline)
        return replace(found, item_index=found.item_index.cpu(), score=found.score.cpu())

    def ranked(
        self,
        asked: EncodedRequests,
        k: int,
        num_beams: Sequence[int],
        deadline: float | None = None,
    ) -> Recommendations:
        """As `rank`, but the lists stay where the states are."""
        found = self._ranked(asked, k, num_beams, deadline)
        return replace(found, backend=self.backend)

    def _ranked(
        self, asked: EncodedRequests, k: int, num_beams: Sequence[int], deadline: float | None
    ) -> Recommendations:
        if self.mode is Mode.COMBINED:
            union = self._scored_union(asked, num_beams, deadline)
            return mix(union, Weights.of(self.model.config), k)
        if self.mode is Mode.DENSE:
            return select_top_k(self._dense_log_probs(asked), asked.permitted(), k, self.name)
        beams = self._beams(asked, num_beams, deadline)
        return Recommendations(
            item_index=beams.item_index[:, :k], score=beams.log_prob[:, :k], source=self.name
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
            requests=as_known(requests, tables),
            window=window,
            tables=tables,
            states=self.model.encode(tables, window),
            lengths=(window != NO_ITEM).sum(1),
        )

    def _dense_log_probs(self, asked: EncodedRequests) -> Tensor:
        last = self.model.last_states(asked.states, asked.lengths)
        logits = self.model.dense_logits(asked.tables, last)
        if asked.tables.gone is not None:
            logits = logits.masked_fill(asked.tables.gone, -torch.inf)
        return F.log_softmax(logits.float(), dim=-1)  # [B, N]

    def _beams(
        self,
        asked: EncodedRequests,
        num_beams: Sequence[int],
        deadline: float | None,
        tracked: Tensor | None = None,
    ) -> Beams:
        index, requests = asked.tables.index, asked.requests
        filters = self.filters_of(index) if asked.leaves is None else None
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
                leaves=asked.leaves,
            ),
            tracked=tracked,
            deadline=deadline,
        )

    def filters_of(self, index: PrefixIndex) -> FilterCache:
        """The filters that were asked for last, over this index."""
        filters = self._filters
        if filters.index is not index:
            filters = self._filters = FilterCache(index)
        return filters

    def _scored_union(
        self, asked: EncodedRequests, num_beams: Sequence[int], deadline: float | None
    ) -> ScoredUnion:
        dense = self._dense_log_probs(asked)
        permitted = asked.permitted()
        best = select_top_k(dense, permitted, num_beams[-1], self.name).item_index
        followed = self._followed(asked)
        rest = best
        if num_beams[-1] >= asked.tables.num_items:
            rest = best[:, :0]  # beams as wide as the catalogue find every permitted item
        elif followed is not None:
            strongest = followed.masked_fill(followed == 0, -torch.inf)
            most = min(FOLLOWER_CANDIDATES, num_beams[-1])
            following = select_top_k(strongest, permitted, most, self.name).item_index
            rest = torch.cat([best, only_new(following, best)], dim=1)
        beams = self._beams(asked, num_beams, deadline, tracked=rest if rest.shape[1] else None)
        tracked = beams.log_prob[:, :0] if beams.tracked is None else beams.tracked
        items = torch.cat([beams.item_index, only_new(rest, beams.item_index)], dim=1)
        places = items.clamp(min=0)
        dense = dense.gather(1, places)
        return ScoredUnion(
            item_index=items,
            generative=torch.cat([beams.log_prob, tracked], dim=1),
            dense=dense,
            followed=torch.zeros_like(dense)
            if followed is None
            else followed.gather(1, places) - followed.amax(1, keepdim=True),
            alike=self._alike(asked, places),
        )

    def _alike(self, asked: EncodedRequests, items: Tensor) -> Tensor:
        """float32 [B, C]: how like the content of each item is to that of the history's events."""
        content, added = self.model.content, asked.tables.added_content
        wanted = history_content(content, added, asked.window)
        return (content_of(content, added, items) @ wanted[..., None])[..., 0]

    def _followed(self, asked: EncodedRequests) -> Tensor | None:
        """float32 [B, N]: how much each item followed the history, the logarithm beyond a scale.

        None where the model knows of no followers.
        """
        model, tables = self.model, asked.tables
        if not model.config.num_followers:
            return None
        strengths = follower_scores(
            model.followers, model.follower_strengths, asked.window, tables.num_items
        )
        if tables.added_relatives is not None:
            strengths[:, len(model.followers) :] = borrowed_scores(
                strengths, tables.added_relatives
            )
        if tables.gone is not None:
            strengths = strengths.masked_fill(tables.gone, 0.0)
        return torch.log1p(strengths / FOLLOWER_SCALE)


def choose_combination(
    model: GenerativeRecommender, questions: EvaluationSet, *, mask_seen: bool, k: int = 10
) -> dict[Weights, float]:
    """Sets the weights of `combined` to the best on validation.

    Args:
        model: trained; the weights in its `config` are set.
        questions: validation questions.
        mask_seen: whether the items of a history are left out of its answer.
        k: the length of the lists that NDCG judges.

    Returns:
        NDCG@k by weights.
    """
    source = GeneratorSource(model, Mode.COMBINED)

    def answers() -> Iterator[tuple[ScoredUnion, Tensor]]:
        for start in range(0, len(questions), REQUESTS_AT_ONCE):
            rows = np.arange(start, min(start + REQUESTS_AT_ONCE, len(questions)))
            requests = RequestBatch.from_histories(questions.histories.select(rows))
            requests = requests.without_seen() if mask_seen else requests
            yield source.scored_union(requests), torch.from_numpy(questions.target[rows])

    best, gains = best_weights(answers(), k)
    best.put_into(model.config)
    return {weights: gain / len(questions) for weights, gain in gains.items()}
