"""The ranker's training data know nothing of the labels or of what comes after them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from genrec.errors import InputError
from genrec.funnel import ranker_training
from genrec.funnel.ranker_training import hold_out_last, train_ranker
from genrec.interactions import EvaluationSet, Histories, Protocol, Split, split_histories
from genrec.ranking import Ranker, RankerConfig, RankingGroups
from genrec.retrieval import TwoTower, TwoTowerConfig, fit_two_tower
from genrec.training import TrainingConfig

NUM_ITEMS = 20
CONFIG = RankerConfig(num_candidates=NUM_ITEMS, num_trees=5, min_leaf_rows=2)
Recorded = list[tuple[list[list[int]], RankingGroups]]


def content() -> npt.NDArray[np.float32]:
    """float32 [20, 4]."""
    return np.random.default_rng(2).normal(size=(NUM_ITEMS, 4)).astype(np.float32)


def log_ending_with(seed: int) -> Histories:
    """40 people whose first 5 events are always the same; the last 3 differ with the seed."""
    same, other = np.random.default_rng(0), np.random.default_rng(seed)
    people = []
    for _ in range(40):
        order = same.permutation(NUM_ITEMS)
        people.append([*order[:5].tolist(), *other.permutation(order[5:])[:3].tolist()])
    return Histories.from_lists(people, [list(range(8))] * 40)


def fit(split: Split, folder: Path) -> TwoTower:
    """A small two-tower on the training histories."""
    training = TrainingConfig(num_epochs=2, learning_rate=5e-3)
    config = TwoTowerConfig(width=8, hidden_width=8, batch_events=64, training=training)
    return fit_two_tower(
        split.train, content(), config, validation=None, mask_seen=True, work_dir=folder
    )


def train(split: Split, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Ranker, Recorded]:
    """A ranker, and the groups it was trained and validated on, with their histories."""
    recorded: Recorded = []
    make_groups = ranker_training.ranking_groups

    def record(questions: EvaluationSet, *rest: object) -> object:
        grouped = make_groups(questions, *rest)  # type: ignore[arg-type]
        recorded.append(([row.tolist() for row in questions.histories], grouped.groups))
        return grouped

    monkeypatch.setattr(ranker_training, "ranking_groups", record)
    ranker = train_ranker(
        split.train,
        content(),
        None,
        fit(split, folder / "serving"),
        CONFIG,
        validation=split.validation,
        mask_seen=True,
        work_dir=folder / "label_free",
    )
    monkeypatch.undo()
    return ranker, recorded


def test_the_label_is_the_last_training_event_and_its_history_stops_before_it() -> None:
    labels = hold_out_last(Histories.from_lists([[1, 2, 3], [], [4], [5, 6]]))
    assert labels.user_index.tolist() == [0, 3]
    assert [row.tolist() for row in labels.histories] == [[1, 2], [5]]
    assert labels.target.tolist() == [3, 6]


def test_training_features_do_not_change_with_the_labels_or_what_follows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = []
    for seed in (1, 2):
        split = split_histories(log_ending_with(seed), Protocol.LEAVE_LAST_OUT)
        assert set(split.train.lengths.tolist()) == {6}  # five that stay, then the label
        _, recorded = train(split, tmp_path / str(seed), monkeypatch)
        histories, groups = recorded[0]
        assert {len(row) for row in histories} == {5}
        features.append(groups.features)
        labels = groups.label
    assert labels.sum() == 40
    np.testing.assert_array_equal(features[0], features[1])


def test_validation_features_do_not_change_with_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = split_histories(log_ending_with(1), Protocol.LEAVE_LAST_OUT)
    asked = split.validation
    other = replace(split, validation=replace(asked, target=split.test.target))
    groups = [
        train(each, tmp_path / str(number), monkeypatch)[1][1][1]
        for number, each in enumerate((split, other))
    ]
    np.testing.assert_array_equal(groups[0].features, groups[1].features)
    assert (groups[0].label != groups[1].label).any()


def test_the_result_says_what_was_found_and_how_well_it_was_ranked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = split_histories(log_ending_with(1), Protocol.LEAVE_LAST_OUT)
    ranker, recorded = train(split, tmp_path, monkeypatch)
    assert ranker.result["questions"] == 40
    assert ranker.result["retrieved_share"] == 1.0  # every item is a candidate
    validation = ranker.result["validation"]
    groups = recorded[1][1]
    scores = np.split(ranker.predict(groups.features), np.cumsum(groups.sizes)[:-1])
    labels = np.split(groups.label, np.cumsum(groups.sizes)[:-1])
    ranks = [
        int((score >= score[label == 1]).sum()) for score, label in zip(scores, labels, strict=True)
    ]
    assert validation["ranked.recall@10"] == np.mean(np.array(ranks) <= 10)
    assert ranker.sources == ("two_tower", "popularity")


def test_people_with_one_event_cannot_train_a_ranker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = split_histories(log_ending_with(1), Protocol.LEAVE_LAST_OUT)
    with pytest.raises(InputError, match="at least two events"):
        train_ranker(
            Histories.from_lists([[1], []]),
            content(),
            None,
            fit(split, tmp_path),
            CONFIG,
            validation=None,
            mask_seen=True,
            work_dir=tmp_path / "label_free",
        )
