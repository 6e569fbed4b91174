"""Trains the ranker without looking ahead: its sources never saw the labels it learns from.

The label is the last training event of each person. Sources and statistics for the training
questions are fitted on what precedes the labels; those that serve are fitted on everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.funnel.candidates import Candidates, merge_candidates
from genrec.interactions import (
    NO_ITEM,
    Catalogue,
    EvaluationSet,
    Histories,
    RequestBatch,
    Source,
)
from genrec.ranking import (
    FeatureStatistics,
    Ranker,
    RankerConfig,
    RankingGroups,
    answer_ranks,
    candidate_features,
    feature_names,
    fit_ranker,
)
from genrec.retrieval import PopularitySource, TwoTower, TwoTowerSource, fit_two_tower

__all__ = ["hold_out_last", "ranking_groups", "ranking_sources", "train_ranker"]

QUESTIONS_AT_ONCE = 512
VALIDATION_QUESTIONS = 6000
CUTOFF = 10


@dataclass(frozen=True, kw_only=True)
class GroupedQuestions:
    """Questions with their candidates, ready to learn from or to measure on."""

    groups: RankingGroups
    """Of the questions whose answer is among their candidates."""
    num_questions: int
    """All questions that were asked."""

    @property
    def retrieved_share(self) -> float:
        """Share of the questions whose answer the sources found."""
        return float(self.groups.sizes.size / max(self.num_questions, 1))


def ranking_sources(two_tower: TwoTower) -> list[Source]:
    """Who proposes to the ranker, in training and in serving."""
    return [TwoTowerSource(two_tower), PopularitySource(two_tower.counts)]


def hold_out_last(histories: Histories) -> EvaluationSet:
    """Asks everybody with at least two events for their last one, given those before it."""
    users = np.flatnonzero(histories.lengths >= 2)
    last = histories.offsets[users + 1] - 1
    return EvaluationSet(
        user_index=users,
        histories=histories.select(users).keep_first(histories.lengths[users] - 1),
        target=histories.item_index[last],
        target_time=histories.event_time[last],
    )


def train_ranker(
    train: Histories,
    content: npt.NDArray[np.float32],
    catalogue: Catalogue | None,
    two_tower: TwoTower,
    config: RankerConfig,
    *,
    validation: EvaluationSet | None,
    mask_seen: bool,
    work_dir: Path,
) -> Ranker:
    """A ranker for the candidates of `ranking_sources(two_tower)`.

    Args:
        train: the histories that `two_tower` was fitted on.
        content: float32 [N, Dc]: a content embedding of every item.
        catalogue: for attributes; None has none.
        two_tower: the retriever that serves.
        config: how the ranker is made.
        validation: questions that choose the number of trees; None grows all.
        mask_seen: whether the items of each question's history are no candidates.
        work_dir: of the label-free two-tower's training; an interrupted one is continued.

    Returns:
        The ranker; `result` says how many questions, what share of them the sources answered,
        and on validation recall@10 and ndcg@10 over all questions, ranked and by two_tower alone.

    Raises:
        InputError: nobody has two events, or no answer is among any candidates.
    """
    labels = hold_out_last(train)
    if not len(labels):
        raise InputError("a ranker needs histories of at least two events, there is none")
    before = train.keep_first(np.where(train.lengths >= 2, train.lengths - 1, train.lengths))
    label_free = label_free_two_tower(before, content, two_tower, mask_seen, work_dir)
    learned = FeatureStatistics.from_histories(before, content, catalogue, config.statistics)
    sources = ranking_sources(label_free)
    asked = ranking_groups(labels, sources, learned, config, mask_seen)
    serving_sources = ranking_sources(two_tower)
    serving = FeatureStatistics.from_histories(train, content, catalogue, config.statistics)
    held_out = None
    if validation is not None:
        sample = validation.sample(VALIDATION_QUESTIONS, config.seed)
        held_out = ranking_groups(sample, serving_sources, serving, config, mask_seen)
    ranker = fit_ranker(
        asked.groups,
        None if held_out is None else held_out.groups,
        serving,
        sources=[source.name for source in serving_sources],
        config=config,
    )
    ranker.result |= {"questions": asked.num_questions, "retrieved_share": asked.retrieved_share}
    if held_out is not None:
        ranker.result["validation"] = _measured(ranker, held_out)
    return ranker


def label_free_two_tower(
    before: Histories,
    content: npt.NDArray[np.float32],
    two_tower: TwoTower,
    mask_seen: bool,
    work_dir: Path,
) -> TwoTower:
    """The same two-tower, trained as long as the serving one, on what precedes the labels."""
    config = two_tower.model.config
    training = replace(config.training, num_epochs=two_tower.result.best_epoch)
    return fit_two_tower(
        before,
        content,
        replace(config, training=training),
        validation=None,
        mask_seen=mask_seen,
        work_dir=work_dir,
        label="two-tower without the labels",
    )


def ranking_groups(
    questions: EvaluationSet,
    sources: Sequence[Source],
    statistics: FeatureStatistics,
    config: RankerConfig,
    mask_seen: bool,
) -> GroupedQuestions:
    """Candidates and features of these questions; those without their answer are dropped."""
    asked = questions.sample(config.max_groups, config.seed)
    parts = []
    for start in range(0, len(asked), QUESTIONS_AT_ONCE):
        rows = np.arange(start, min(start + QUESTIONS_AT_ONCE, len(asked)))
        requests = RequestBatch.from_histories(asked.histories.select(rows))
        if mask_seen:
            requests = requests.without_seen()
        found = [source.recommend(requests, config.num_candidates) for source in sources]
        candidates = merge_candidates(found).permitted_by(requests)
        target = torch.from_numpy(asked.target[rows])
        parts.append(_answered_groups(requests, candidates, target, statistics))
    groups = RankingGroups(
        features=np.concatenate([part.features for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        sizes=np.concatenate([part.sizes for part in parts]),
    )
    return GroupedQuestions(groups=groups, num_questions=len(asked))


def _answered_groups(
    requests: RequestBatch, candidates: Candidates, target: Tensor, statistics: FeatureStatistics
) -> RankingGroups:
    """The groups of those questions whose target [B] is among their candidates."""
    rows = (candidates.item_index == target[:, None]).any(1).nonzero()[:, 0]
    items = candidates.item_index[rows]  # [G, C]
    features = candidate_features(
        statistics,
        replace(
            requests,
            item_index=requests.item_index[rows],
            event_time=requests.event_time[rows],
            user_index=requests.user_index[rows],
            allowed=None,
            excluded=None,
            now=None,
        ),
        items.numpy(),
        {name: score[rows].numpy() for name, score in candidates.source_scores.items()},
        list(candidates.source_scores),
    )  # [G, C, F]
    there = (items != NO_ITEM).numpy()
    return RankingGroups(
        features=features[there],
        label=(items == target[rows, None]).numpy()[there].astype(np.int8),
        sizes=there.sum(1),
    )


def _measured(ranker: Ranker, asked: GroupedQuestions) -> dict[str, float]:
    """recall@10 and ndcg@10 over all these questions: ranked, and in the first source's order."""
    first = f"score.{ranker.sources[0]}"
    column = feature_names(ranker.sources, ranker.statistics.numbers.shape[1]).index(first)
    own_order = np.nan_to_num(asked.groups.features[:, column], nan=-np.inf)
    orders = {"ranked": ranker.predict(asked.groups.features), ranker.sources[0]: own_order}
    metrics = {"questions": float(asked.num_questions), "retrieved_share": asked.retrieved_share}
    for name, score in orders.items():
        rank = answer_ranks(score, asked.groups)  # [G]
        found = rank <= CUTOFF
        gain = np.where(found, 1 / np.log2(rank + 1.0), 0.0)
        metrics[f"{name}.recall@{CUTOFF}"] = float(found.sum() / max(asked.num_questions, 1))
        metrics[f"{name}.ndcg@{CUTOFF}"] = float(gain.sum() / max(asked.num_questions, 1))
    return metrics
