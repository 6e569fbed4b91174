"""Orders candidates by features that know nothing of the future."""

from genrec.ranking.features import candidate_features, feature_names
from genrec.ranking.ranker import (
    RANKER_KIND,
    Ranker,
    RankerConfig,
    RankingGroups,
    answer_ranks,
    fit_ranker,
)
from genrec.ranking.statistics import FeatureStatistics, StatisticsConfig

__all__ = [
    "RANKER_KIND",
    "FeatureStatistics",
    "Ranker",
    "RankerConfig",
    "RankingGroups",
    "StatisticsConfig",
    "answer_ranks",
    "candidate_features",
    "feature_names",
    "fit_ranker",
]
