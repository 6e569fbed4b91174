"""The face of the package: a run folder in, recommendations in the user's own ids out."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genrec.errors import InputError
from genrec.funnel.added_items import with_added_items
from genrec.funnel.last_resort import LastResort
from genrec.funnel.latency import LatencyPredictor
from genrec.funnel.loading import load_run
from genrec.funnel.pauses import spare_from_collections
from genrec.funnel.questions import LONGEST_HISTORY, EventTime, Question, QuestionReader
from genrec.funnel.recommended import RecommendedItem, RecommendedList
from genrec.funnel.sources import (
    METHODS,
    has_refit,
    make_funnel,
    make_slates,
)
from genrec.interactions import (
    NO_ITEM,
    Histories,
    InteractionDataset,
    Recommendations,
    Repeats,
    RequestBatch,
    Source,
)
from genrec.threads import OwnProcess

if TYPE_CHECKING:
    from genrec.generator import SlateConfig

__all__ = ["RecommendedItem", "RecommendedList", "Recommender"]

log = logging.getLogger(__name__)

DEFAULT_METHOD = "combined"
LAST_RESORT = "popularity"
WARM_UP_KS = (10, 100, 1000)
"""Lists up to these lengths are asked for when the stages are measured; to longer ones under a
deadline the last resort answers, until an answer without one has shown what they take."""
HANDING_OVER_REPEATS = 5
WARM_UP_LENGTHS = (1, LONGEST_HISTORY, 64)
"""Histories so long are asked with; what the last takes is told, for few have more."""
LEAST_BUDGET_MS = 1e-3
"""What a budget counts as that was used up before the funnel was asked."""


class Recommender:
    """Answers for people, known or new, under a deadline if there is one.

    Safe to share between threads, not with a process made by fork, which refuses it. How many
    cores one answer may use is PyTorch's global setting (`torch.set_num_threads`), which is left
    alone; a service that answers many at once sets it to 1 before the models are loaded, so that
    the warm-up measures what the service will see.

    Args:
        dataset: catalogue, people, their histories, and whether items may repeat.
        sources: every method by name; `popularity` must be among them, and what FALLBACKS names
            answers for a method that cannot, where it is among them.
        method: the one that answers where it can; the others stand behind it.
        repeats: overrides the data set's policy on items that a person has had.
        strict: raise for an item id that the catalogue does not know, instead of leaving it out.
        predictor: how long the stages take, shared by recommenders over the same sources.
        slate: how the method's items are chosen one after another, each in the knowledge of those
            before it; None asks it for a list. Methods of the generator only.

    Attributes:
        dataset, method, repeats, slate: as above.
        refit: whether the models were trained on all data.
        digests: what names the content of each part it was loaded from.
        warm_up_ms: the predicted milliseconds of each stage for a long history.
    """

    def __init__(
        self,
        dataset: InteractionDataset,
        sources: Mapping[str, Source],
        *,
        method: str = DEFAULT_METHOD,
        repeats: Repeats | str | None = None,
        strict: bool = False,
        predictor: LatencyPredictor | None = None,
        slate: SlateConfig | None = None,
    ) -> None:
        if method not in sources:
            raise InputError(f"there is no method {method!r}; choose from {', '.join(sources)}")
        if LAST_RESORT not in sources:
            raise InputError(f"there must be a source {LAST_RESORT!r}, for it never fails; add it")
        self.dataset = dataset
        self.method = method
        self.repeats = _repeats(dataset.repeats if repeats is None else repeats)
        self.slate = slate
        self.refit = False
        self.digests: Mapping[str, str] = {}
        self.warm_up_ms: Mapping[str, float] = {}
        self._strict = strict
        self._process = OwnProcess()
        self._sources = dict(sources)
        self._predictor = predictor or LatencyPredictor()
        self._reader = QuestionReader(dataset, repeats=self.repeats, strict=strict)
        last_resort = LastResort.of(sources[LAST_RESORT], dataset.num_items)
        if slate is not None:
            sources = {**sources, method: make_slates(sources[method], slate)}
        self._funnel = make_funnel(sources, method, last_resort, self._predictor)
        self._item_ms = 0.0

    @classmethod
    def load(
        cls,
        run: Path | str,
        *,
        method: str = DEFAULT_METHOD,
        repeats: Repeats | str | None = None,
        strict: bool = False,
        refit: bool | None = None,
        warm_up: bool = True,
        slate: SlateConfig | None = None,
        device: str = "cpu",
    ) -> Recommender:
        """The recommender of a run folder, with the items that were added to its Semantic IDs.

        Args:
            run: the run folder.
            method: one of METHODS.
            repeats: `allow` or `mask`; None keeps the data set's policy.
            strict: raise for unknown item ids instead of leaving them out.
            refit: whether to serve the models trained on all data; None does so if all are there.
            warm_up: measure every stage now, and spare what is loaded from later collections of
                garbage (`gc.freeze`); without it, no deadline can admit a model.
            slate: how slates are made; None gives lists.
            device: where the generator answers; see `load_sources`.

        Raises:
            ArtifactMissingError: a part of the run is missing; the message names its command.
            ArtifactError: a part of the run was altered.
            BusyError: other programs replace its parts again and again.
            InputError: no such method, policy or device, or a method that makes no slates.
        """
        started = time.perf_counter()
        if method not in METHODS:
            raise InputError(f"there is no method {method!r}; choose from {', '.join(METHODS)}")
        refit = has_refit(run) if refit is None else refit
        dataset, sources, added, named = load_run(run, refit=refit, device=device)
        if added is not None:
            dataset = with_added_items(dataset, added)
        recommender = cls(
            dataset, sources, method=method, repeats=repeats, strict=strict, slate=slate
        )
        recommender.refit = refit
        recommender.digests = named if added is None else {**named, "added_items": added.state}
        if warm_up:
            recommender.warm_up()
            spare_from_collections()
        log.info(
            "%s loaded in %.1f s: %s, trained on %s%s%s",
            run,
            time.perf_counter() - started,
            method,
            "all data" if refit else "the training part of the data",
            "" if added is None else f", {len(added.item_ids)} item(s) added since",
            "".join(f"; {name} takes {ms:.1f} ms" for name, ms in recommender.warm_up_ms.items()),
        )
        return recommender

    def using(
        self,
        *,
        method: str | None = None,
        repeats: Repeats | str | None = None,
        slate: SlateConfig | None = None,
    ) -> Recommender:
        """The same models with another method or policy, or for slates; nothing is loaded again."""
        self._process.check("this Recommender")
        other = Recommender(
            self.dataset,
            self._sources,
            method=method or self.method,
            repeats=repeats or self.repeats,
            strict=self._strict,
            predictor=self._predictor,
            slate=slate or self.slate,
        )
        other.refit, other.digests = self.refit, self.digests
        if self.warm_up_ms:
            other.warm_up()
        return other

    def warm_up(self) -> Mapping[str, float]:
        """Measures every stage on a short and a long history; call it between answers.

        Returns:
            The predicted milliseconds of each stage for a long history.
        """
        self._process.check("this Recommender")
        for k in dict.fromkeys(min(k, self.dataset.num_items) for k in WARM_UP_KS[::-1]):
            for length in WARM_UP_LENGTHS if k <= WARM_UP_KS[0] else WARM_UP_LENGTHS[1:]:
                self.warm_up_ms = self._funnel.warm_up(self._made_up_request(length), k)
        self._item_ms = self._measure_handing_over()
        return self.warm_up_ms

    @property
    def counts(self) -> dict[str, int]:
        """What happened so far: the funnel's counts, and `unknown-items` left out."""
        return {**self._funnel.counts, "unknown-items": self._reader.num_unknown_items}

    def recommend(
        self,
        history: Sequence[str] | None = None,
        *,
        k: int = 10,
        budget_ms: float | None = None,
        user_id: str | None = None,
        event_times: Sequence[EventTime] | None = None,
        context: Mapping[str, Any] | None = None,
        exclude: Iterable[str] = (),
        only: Iterable[str] | None = None,
    ) -> list[RecommendedItem]:
        """The k best items for one person, best first; fewer where fewer are permitted.

        Args:
            history: item ids, oldest first, of which the last 10,000 are read; [] for a new
                person; None takes what the data knows of `user_id`.
            k: items asked for, at least 1; more than the catalogue has are not found.
            budget_ms: milliseconds until the answer must be there; None where there is no hurry.
            user_id: who it is.
            event_times: one per item of the history: seconds since 1970 (UTC), or a datetime.
            context: what else is known of the moment; see CONTEXT_KEYS.
            exclude: item ids that must not be recommended.
            only: the item ids that may be; None permits all.

        Raises:
            ForkedProcessError: it was loaded before a fork, and this is the child.
            InputError: the question makes no sense; the message says how to ask.
            UnknownItemError: an item id is not in the catalogue, and the recommender is strict.
        """
        question = Question(
            history=history, user_id=user_id, event_times=event_times, context=context or {}
        )
        return self.answer(question, k=k, budget_ms=budget_ms, exclude=exclude, only=only).items

    def answer(
        self,
        question: Question,
        *,
        k: int = 10,
        budget_ms: float | None = None,
        exclude: Iterable[str] = (),
        only: Iterable[str] | None = None,
    ) -> RecommendedList:
        """As `recommend`, with the times of the stages. Translating counts against the budget."""
        self._process.check("this Recommender")
        started = time.perf_counter()
        k = _whole_number(k)
        if budget_ms is not None and (
            isinstance(budget_ms, bool) or not 0.0 < budget_ms < math.inf
        ):
            raise InputError(
                f"budget_ms must be positive and finite, got {budget_ms}; None means no deadline"
            )
        requests, [unknown] = self._reader.read_counted([question], exclude, only)
        if budget_ms is not None:
            spent_ms = 1000.0 * (time.perf_counter() - started)
            budget_ms = max(budget_ms - spent_ms - self._handing_over_ms(k), LEAST_BUDGET_MS)
        with torch.inference_mode():
            answer = self._funnel.answer(requests, k, budget_ms)
        [items] = self._as_items(answer.recommendations)
        return RecommendedList(
            items=items,
            served_by=answer.served_by,
            backend=answer.recommendations.backend,
            total_ms=1000.0 * (time.perf_counter() - started),
            stage_ms=answer.stage_ms,
            num_unknown_items=unknown.num_unknown,
            is_history_unknown=unknown.is_all,
        )

    def recommend_many(
        self,
        questions: Iterable[Question | Sequence[str]],
        *,
        k: int = 10,
        exclude: Iterable[str] = (),
        only: Iterable[str] | None = None,
        batch_size: int = 256,
        fall_back: bool = True,
    ) -> Iterator[list[RecommendedItem]]:
        """One list per question, in order, made in batches and without a deadline.

        Args:
            questions: questions, or plain histories.
            k: items asked for, at least 1.
            exclude: item ids that must not be recommended to anybody.
            only: the item ids that may be; None permits all.
            batch_size: questions answered together.
            fall_back: whether another method answers where this one fails; otherwise its error is
                raised.
        """
        self._process.check("this Recommender")
        k = _whole_number(k)
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        asked = [
            each if isinstance(each, Question) else Question(history=each) for each in questions
        ]
        exclude, only = list(exclude), None if only is None else list(only)
        for start in range(0, len(asked), batch_size):
            requests = self._reader.read(asked[start : start + batch_size], exclude, only)
            with torch.inference_mode():
                if fall_back:
                    found = self._funnel.answer(requests, k).recommendations
                else:
                    found = self._funnel.answer_by_primary(requests, k)
            yield from self._as_items(found)

    def _as_items(self, found: Recommendations) -> Iterator[list[RecommendedItem]]:
        catalogue = self.dataset.catalogue
        for row, scores in zip(found.item_index.tolist(), found.score.tolist(), strict=True):
            there = [item for item in row if item != NO_ITEM]
            ids, titles = catalogue.ids(there), catalogue.titles(there)
            yield [
                RecommendedItem(
                    rank=place + 1,
                    item_id=ids[place],
                    title=titles[place],
                    score=scores[place],
                    served_by=found.source,
                )
                for place in range(len(there))
            ]

    def _handing_over_ms(self, k: int) -> float:
        """What it takes to turn k items into the user's words."""
        return self._item_ms * min(k, self.dataset.num_items)

    def _measure_handing_over(self) -> float:
        """Milliseconds an item, of the fastest of some lists."""
        k = min(WARM_UP_KS[-1], self.dataset.num_items)
        made_up = Recommendations(
            item_index=torch.arange(k)[None], score=torch.zeros(1, k), source=self.method
        )
        times = []
        for _ in range(HANDING_OVER_REPEATS):
            started = time.perf_counter()
            list(self._as_items(made_up))
            times.append(time.perf_counter() - started)
        return 1000.0 * min(times) / k

    def _made_up_request(self, length: int) -> RequestBatch:
        """One question with a history of the first half of the catalogue, over and over."""
        pool = max(self.dataset.num_items // 2, 1)
        history = [place % pool for place in range(length)]
        requests = RequestBatch.from_histories(Histories.from_lists([history]))
        if self.repeats is Repeats.MASK:
            return requests.without_seen()
        return requests


def _whole_number(k: object) -> int:
    """k as an int, also from NumPy's.

    Raises:
        InputError: it is none.
    """
    if isinstance(k, bool) or not isinstance(k, Integral):
        raise InputError(f"k must be a whole number, got {k!r}")
    return int(k)


def _repeats(policy: Repeats | str) -> Repeats:
    try:
        return Repeats(policy)
    except ValueError:
        raise InputError(
            f"there is no repeat policy {policy!r}; choose from {', '.join(Repeats)}"
        ) from None
