"""The ranker on candidates of which one is planted as the best."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from genrec.errors import ArtifactError, InputError
from genrec.interactions import Histories, RequestBatch
from genrec.ranking import (
    FeatureStatistics,
    Ranker,
    RankerConfig,
    RankingGroups,
    candidate_features,
    fit_ranker,
)

NUM_QUESTIONS, NUM_CANDIDATES = 200, 6
SOURCES = ["nearest"]


def questions() -> tuple[RequestBatch, Tensor, Tensor]:
    """B questions of empty history, candidates and scores [B, C]: the highest score is right."""
    draw = np.random.default_rng(0)
    candidates = np.stack([draw.permutation(12)[:NUM_CANDIDATES] for _ in range(NUM_QUESTIONS)])
    score = draw.normal(size=candidates.shape).astype(np.float32)
    histories = Histories.from_lists([[] for _ in range(NUM_QUESTIONS)])
    return (
        RequestBatch.from_histories(histories),
        torch.from_numpy(candidates),
        torch.from_numpy(score),
    )


@pytest.fixture(scope="module")
def ranker(past: Histories, content: npt.NDArray[np.float32]) -> Ranker:
    """Trained to find the candidate with the highest score among twelve columns of noise."""
    statistics = FeatureStatistics.from_histories(past, content)
    requests, candidates, score = questions()
    features = candidate_features(
        statistics, requests, candidates.numpy(), {"nearest": score.numpy()}, SOURCES
    )
    label = (score == score.max(1, keepdim=True).values).numpy().astype(np.int8)
    groups = RankingGroups(
        features=features.reshape(-1, features.shape[-1]),
        label=label.ravel(),
        sizes=np.full(NUM_QUESTIONS, NUM_CANDIDATES),
    )
    config = RankerConfig(num_trees=30, min_leaf_rows=5, learning_rate=0.2, feature_share=1.0)
    return fit_ranker(groups, groups, statistics, sources=SOURCES, config=config)


def test_the_planted_candidate_comes_first(ranker: Ranker) -> None:
    requests, candidates, score = questions()
    ranked = ranker.score(requests, candidates, {"nearest": score})
    right = (ranked.argmax(1) == score.argmax(1)).float().mean()
    assert right > 0.95
    assert next(iter(ranker.importance())) in ("score.nearest", "reciprocal_rank.nearest")


def test_a_batch_is_scored_as_its_questions_one_by_one(ranker: Ranker) -> None:
    requests, candidates, score = questions()
    together = ranker.score(requests, candidates, {"nearest": score})
    for row in (0, 7, NUM_QUESTIONS - 1):
        rows = slice(row, row + 1)
        alone = ranker.score(
            requests.rows(row, row + 1), candidates[rows], {"nearest": score[rows]}
        )
        torch.testing.assert_close(alone[0], together[row], atol=0, rtol=0)


def test_columns_without_a_candidate_score_lowest(ranker: Ranker) -> None:
    requests, candidates, score = questions()
    candidates[:, -2:] = -1
    score[:, -2:] = torch.nan
    ranked = ranker.score(requests, candidates, {"nearest": score})
    assert bool((ranked[:, -2:] == -torch.inf).all())
    assert bool(ranked[:, :-2].isfinite().all())


def test_no_candidates_give_no_scores(ranker: Ranker) -> None:
    requests, _, _ = questions()
    nothing = torch.empty(NUM_QUESTIONS, 0)
    assert ranker.score(requests, nothing.long(), {"nearest": nothing}).shape == nothing.shape


def test_a_missing_source_is_refused(ranker: Ranker) -> None:
    requests, candidates, score = questions()
    with pytest.raises(InputError, match=r"\['nearest'\] are missing"):
        ranker.score(requests, candidates, {"popular": score})


def test_a_saved_ranker_scores_as_before(ranker: Ranker, tmp_path: Path) -> None:
    ranker.save(tmp_path / "ranker", config={"ranker": asdict(ranker.config)}, parents={})
    loaded = Ranker.load(tmp_path / "ranker")
    requests, candidates, score = questions()
    before = ranker.score(requests, candidates, {"nearest": score})
    torch.testing.assert_close(
        loaded.score(requests, candidates, {"nearest": score}), before, atol=0, rtol=0
    )
    assert (loaded.config, loaded.sources) == (ranker.config, ranker.sources)
    assert loaded.result == ranker.result


@pytest.mark.parametrize("name", ["trees.txt", "statistics.npz"])
def test_an_altered_file_is_refused_before_it_is_parsed(
    name: str, ranker: Ranker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker.save(tmp_path / "ranker", config={"ranker": asdict(ranker.config)}, parents={})
    file = tmp_path / "ranker" / name
    file.write_bytes(file.read_bytes()[:-10])
    monkeypatch.setattr(
        lightgbm, "Booster", lambda **_: pytest.fail("LightGBM read an altered file")
    )
    with pytest.raises(ArtifactError, match=f"{name} was altered"):
        Ranker.load(tmp_path / "ranker")


def test_nothing_to_learn_from_is_refused(
    past: Histories, content: npt.NDArray[np.float32]
) -> None:
    statistics = FeatureStatistics.from_histories(past, content)
    nothing = RankingGroups(
        features=np.empty((0, 22), dtype=np.float32),
        label=np.empty(0, dtype=np.int8),
        sizes=np.empty(0, dtype=np.int64),
    )
    with pytest.raises(InputError, match="nothing to rank"):
        fit_ranker(nothing, None, statistics, sources=SOURCES, config=RankerConfig())


def test_groups_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="must agree"):
        RankingGroups(
            features=np.empty((3, 2), dtype=np.float32),
            label=np.zeros(3, dtype=np.int8),
            sizes=np.array([2, 2]),
        )


@pytest.mark.parametrize(
    "wrong", [{"num_trees": 0}, {"num_leaves": 1}, {"learning_rate": 0}, {"num_candidates": 0}]
)
def test_a_configuration_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RankerConfig(**wrong)  # type: ignore[arg-type]
