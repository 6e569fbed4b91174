"""Orders candidates with LightGBM's LambdaRank; knows neither who proposed them nor the labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec import artifacts
from genrec.artifacts import Artifact
from genrec.checked import make_record, read_json
from genrec.console import progress
from genrec.errors import InputError
from genrec.interactions import NO_ITEM, RequestBatch
from genrec.ranking.features import candidate_features, feature_names
from genrec.ranking.statistics import FeatureStatistics, StatisticsConfig
from genrec.ranking.trees import read_trees

__all__ = [
    "RANKER_KIND",
    "Ranker",
    "RankerConfig",
    "RankingGroups",
    "answer_ranks",
    "fit_ranker",
]

RANKER_KIND = "ranker"
FloatArray = npt.NDArray[np.float32]
ROWS_AT_ONCE = 512
CUTOFF = 10


@dataclass(frozen=True, kw_only=True)
class RankerConfig:
    """What is ranked, and how the trees grow."""

    num_candidates: int = 100
    """Items asked of each source, in training and in serving."""
    num_trees: int = 300
    """Trees at most; validation may stop earlier."""
    learning_rate: float = 0.1
    """Shrinkage of each tree."""
    num_leaves: int = 15
    """Leaves of a tree."""
    min_leaf_rows: int = 100
    """Candidates that a leaf must hold."""
    feature_share: float = 0.7
    """Share of the features that each tree may use."""
    patience: int = 15
    """Trees without a better validation after which growing stops."""
    max_groups: int = 20_000
    """Questions to learn from, drawn at random where there are more."""
    statistics: StatisticsConfig = field(default_factory=StatisticsConfig)
    """What features know of the past."""
    seed: int = 0
    """Of the features drawn for each tree and of the questions drawn."""

    def __post_init__(self) -> None:
        for name in ("num_candidates", "num_trees", "min_leaf_rows", "patience", "max_groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.num_leaves < 2:
            raise ValueError(f"num_leaves must be at least 2, got {self.num_leaves}")
        if self.learning_rate <= 0 or not 0 < self.feature_share <= 1:
            raise ValueError(
                f"learning_rate must be above 0 and feature_share in (0, 1], got "
                f"{self.learning_rate} and {self.feature_share}"
            )


@dataclass(frozen=True, kw_only=True)
class _About:
    """What the file beside the trees says."""

    sources: list[str]
    result: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RankingGroups:
    """R candidates in G groups, one group a question, its candidates one behind the other."""

    features: FloatArray
    """float32 [R, F]."""
    label: npt.NDArray[np.int8]
    """int8 [R]: 1 for what came next, 0 for the others."""
    sizes: npt.NDArray[np.int64]
    """int64 [G]: candidates in each group; sums to R."""

    def __post_init__(self) -> None:
        rows = len(self.features)
        if self.label.shape != (rows,) or int(self.sizes.sum()) != rows:
            raise ValueError(
                f"{rows} rows of features, but {self.label.size} labels and groups of "
                f"{int(self.sizes.sum())} rows together: they must agree"
            )


class Ranker:
    """A fitted LambdaRank model with the statistics that its features need.

    Args:
        booster: the trees.
        statistics: what is known of the past when it serves.
        sources: names of the sources whose scores it reads.
        config: how it was made.
        result: how the training went; JSON values only.
    """

    def __init__(
        self,
        booster: lightgbm.Booster,
        statistics: FeatureStatistics,
        *,
        sources: Sequence[str],
        config: RankerConfig,
        result: Mapping[str, Any],
    ) -> None:
        names = feature_names(sources, statistics.numbers.shape[1])
        if booster.num_feature() != len(names):
            raise InputError(
                f"the trees read {booster.num_feature()} features, but these sources and "
                f"statistics give {len(names)}: use those that the ranker was trained with"
            )
        self.statistics = statistics
        self.sources = tuple(sources)
        self.config = config
        self.result = dict(result)
        self._booster = booster

    @property
    def num_candidates(self) -> int:
        """Items to ask of each source, as in training."""
        return self.config.num_candidates

    def score(
        self, requests: RequestBatch, candidates: Tensor, source_scores: Mapping[str, Tensor]
    ) -> Tensor:
        """float32 [B, C]: higher is better, -inf where there is no candidate.

        Args:
            requests: the questions.
            candidates: int64 [B, C], NO_ITEM behind the end.
            source_scores: float32 [B, C] of each source, NaN where it did not list the item.

        Raises:
            InputError: a source that the ranker was trained with is missing.
        """
        missing = [name for name in self.sources if name not in source_scores]
        if missing:
            raise InputError(
                f"the ranker reads the scores of {list(self.sources)}, {missing} are missing: "
                "ask the sources that it was trained with"
            )
        scores = torch.full(candidates.shape, -torch.inf)
        for start in range(0, len(requests) if candidates.shape[1] else 0, ROWS_AT_ONCE):
            rows = slice(start, min(start + ROWS_AT_ONCE, len(requests)))
            chunk = {name: source_scores[name][rows].numpy() for name in self.sources}
            scores[rows] = self._score(
                requests.rows(rows.start, rows.stop), candidates[rows], chunk
            )
        return scores

    def _score(
        self, requests: RequestBatch, candidates: Tensor, source_scores: Mapping[str, FloatArray]
    ) -> Tensor:
        features = candidate_features(
            self.statistics, requests, candidates.numpy(), source_scores, self.sources
        )  # [B, C, F]
        flat = features.reshape(-1, features.shape[-1])
        threads = 1 if len(requests) == 1 else torch.get_num_threads()
        scores = torch.from_numpy(self.predict(flat, num_threads=threads)).view(candidates.shape)
        return scores.masked_fill(candidates == NO_ITEM, -torch.inf)

    def predict(self, features: FloatArray, *, num_threads: int = 1) -> FloatArray:
        """float32 [R]: the score of each row of features [R, F]; higher is better."""
        score = self._booster.predict(features, num_threads=num_threads)
        return np.asarray(score, dtype=np.float32)

    def importance(self) -> dict[str, float]:
        """How much each feature lowered the loss, as a share, the largest first."""
        names = feature_names(self.sources, self.statistics.numbers.shape[1])
        gain = self._booster.feature_importance("gain")
        shares = gain / max(float(gain.sum()), 1e-9)
        order = np.argsort(-shares, kind="stable")
        return {names[i]: float(shares[i]) for i in order}

    def save(
        self, path: Path | str, *, config: Mapping[str, Any], parents: Mapping[str, Artifact]
    ) -> None:
        """Writes the artefact; `config["ranker"]` is the RankerConfig as a dict."""
        with artifacts.writing(
            path, kind=RANKER_KIND, config=config, seed=self.config.seed, parents=parents
        ) as folder:
            self._booster.save_model(str(folder / "trees.txt"))
            self.statistics.save(folder / "statistics.npz")
            about = {"sources": list(self.sources), "result": self.result}
            (folder / "ranker.json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, path: Path | str) -> Ranker:
        """Reads an artefact of kind `ranker` after verifying it.

        Raises:
            ArtifactError: it is missing, altered or of another kind.
        """
        artifact = artifacts.read(path, kind=RANKER_KIND)
        about = make_record(_About, read_json(artifact.file("ranker.json")), f"{path}/ranker.json")
        place = f"{path}/{artifacts.MANIFEST_NAME}: ranker"
        config = make_record(RankerConfig, artifact.config.get("ranker"), place)
        statistics = FeatureStatistics.load(artifact.file("statistics.npz"))
        names = feature_names(about.sources, statistics.numbers.shape[1])
        trees = read_trees(artifact.file("trees.txt"), names)
        return cls(
            lightgbm.Booster(model_str=trees),
            statistics,
            sources=about.sources,
            config=config,
            result=about.result,
        )


def fit_ranker(
    train: RankingGroups,
    validation: RankingGroups | None,
    statistics: FeatureStatistics,
    *,
    sources: Sequence[str],
    config: RankerConfig,
) -> Ranker:
    """Grows trees on `train`; ndcg@10 on `validation` says how many.

    Args:
        train: groups whose features come from sources and statistics that precede the labels.
        validation: groups as they are served; None grows all trees.
        statistics: what the ranker shall know when it serves.
        sources: the sources in the order of the features.
        config: how the trees grow.

    Raises:
        InputError: there is no group to learn from.
    """
    if not train.sizes.size:
        raise InputError(
            "no training question has its answer among its candidates, so there is nothing to "
            "rank; raise num_candidates or train better sources"
        )
    names = feature_names(sources, statistics.numbers.shape[1])
    data = lightgbm.Dataset(train.features, train.label, group=train.sizes, feature_name=names)
    callbacks: list[Callable[[Any], None]] = []
    held_out = []
    if validation is not None and validation.sizes.size:
        held_out.append(
            data.create_valid(validation.features, validation.label, group=validation.sizes)
        )
        callbacks.append(lightgbm.early_stopping(config.patience, verbose=False))
    with progress("ranker", config.num_trees) as advance:
        callbacks.append(lambda _: advance(1))
        booster = lightgbm.train(
            _parameters(config),
            data,
            num_boost_round=config.num_trees,
            valid_sets=held_out,
            valid_names=["validation"] * len(held_out),
            feval=None if validation is None else partial(_validation_ndcg, validation),
            callbacks=callbacks,
        )
    num_trees = booster.best_iteration or booster.current_iteration()
    text = booster.model_to_string(num_iteration=num_trees)
    return Ranker(
        lightgbm.Booster(model_str=text),
        statistics,
        sources=sources,
        config=config,
        result={"num_trees": num_trees},
    )


def answer_ranks(score: FloatArray, groups: RankingGroups) -> npt.NDArray[np.int64]:
    """int64 [G]: the rank of each group's answer, counted from 1; equals count as better."""
    group = np.repeat(np.arange(groups.sizes.size), groups.sizes)
    own = score[groups.label == 1][group]
    return np.bincount(group, weights=score >= own, minlength=groups.sizes.size).astype(np.int64)


def _validation_ndcg(
    groups: RankingGroups, score: npt.NDArray[np.float64], _: lightgbm.Dataset
) -> tuple[str, float, bool]:
    """NDCG@10 as LightGBM asks for it.

    Its own breaks ties by the order of the rows, which is that of the first source: the first,
    coarse trees would look as good as that source.
    """
    rank = answer_ranks(score.astype(np.float32), groups)
    gain = np.where(rank <= CUTOFF, 1 / np.log2(rank + 1.0), 0.0)
    return f"ndcg@{CUTOFF}", float(gain.mean()), True


def _parameters(config: RankerConfig) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "metric": "none",  # _validation_ndcg judges
        "lambdarank_truncation_level": 20,
        "learning_rate": config.learning_rate,
        "num_leaves": config.num_leaves,
        "min_data_in_leaf": config.min_leaf_rows,
        "feature_fraction": config.feature_share,
        "num_threads": torch.get_num_threads(),
        "deterministic": True,
        "force_row_wise": True,
        "seed": config.seed,
        "verbosity": -1,
    }
