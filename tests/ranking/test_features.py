"""Features against a slow computation in plain Python."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from genrec.errors import InputError
from genrec.interactions import Catalogue, Histories, RequestBatch
from genrec.ranking import (
    FeatureStatistics,
    StatisticsConfig,
    candidate_features,
    feature_names,
)

SOURCES = ["nearest", "popular"]
HISTORIES = [[], [3], [1, 4, 4, 2, 9, 0, 7], [11, 5]]  # 11 is in nobody's past
CANDIDATES = np.array([[0, 5, 11, -1], [3, 2, -1, -1], [4, 8, 9, 1], [11, 10, 0, 6]])
SCORES = {
    "nearest": np.array([[0.5, np.nan, 0.7, np.nan]] * 4, dtype=np.float32),
    "popular": np.array([[np.nan, 9.0, 8.0, np.nan]] * 4, dtype=np.float32),
}


@pytest.fixture
def statistics(
    past: Histories, content: npt.NDArray[np.float32], catalogue: Catalogue
) -> FeatureStatistics:
    """Of the small past."""
    return FeatureStatistics.from_histories(past, content, catalogue)


def features_of(statistics: FeatureStatistics, name: str) -> npt.NDArray[np.float32]:
    """float32 [4, 4]: one feature of all candidates."""
    requests = RequestBatch.from_histories(Histories.from_lists(HISTORIES))
    features = candidate_features(statistics, requests, CANDIDATES, SCORES, SOURCES)
    names = feature_names(SOURCES, statistics.numbers.shape[1])
    assert features.shape == (4, 4, len(names))
    assert features.dtype == np.float32
    return features[..., names.index(name)]


def slow(feature: object) -> npt.NDArray[np.float64]:
    """float64 [4, 4]: a function of history (newest first) and candidate, applied to all."""
    assert callable(feature)
    rows = [
        [feature(history[::-1], max(int(item), 0)) for item in candidates]
        for history, candidates in zip(HISTORIES, CANDIDATES, strict=True)
    ]
    return np.array(rows, dtype=np.float64)


def check(statistics: FeatureStatistics, name: str, feature: object) -> None:
    """The feature equals the slow computation wherever there is a candidate."""
    there = CANDIDATES >= 0
    np.testing.assert_allclose(
        features_of(statistics, name)[there], slow(feature)[there], rtol=1e-5, atol=1e-6
    )


def test_scores_stand_as_given_and_ranks_count_what_the_source_listed(
    statistics: FeatureStatistics,
) -> None:
    np.testing.assert_array_equal(features_of(statistics, "score.nearest"), SCORES["nearest"])
    ranks = features_of(statistics, "reciprocal_rank.nearest")
    assert ranks[0].tolist() == [0.5, 0.0, 1.0, 0.0]
    assert features_of(statistics, "reciprocal_rank.popular")[0].tolist() == [0, 1, 0.5, 0]


def test_popularity_is_counted(statistics: FeatureStatistics, past: Histories) -> None:
    items = past.item_index.tolist()
    latest = np.quantile(past.event_time, 0.9)
    recent = [i for i, t in zip(items, past.event_time, strict=True) if t >= latest]
    check(statistics, "history_length", lambda h, i: math.log1p(len(h)))
    check(statistics, "log_count", lambda h, i: math.log1p(items.count(i)))
    check(statistics, "log_recent_count", lambda h, i: math.log1p(recent.count(i)))
    check(statistics, "recent_share", lambda h, i: recent.count(i) / max(items.count(i), 1))


@pytest.mark.parametrize("matrix", ["followed_by", "together"])
def test_co_occurrence_is_counted_within_the_window(
    matrix: str, statistics: FeatureStatistics, past: Histories
) -> None:
    counts = [past.item_index.tolist().count(item) for item in range(12)]

    def follows(first: int, then: int) -> float:
        weight = sum(
            1 / (b - a)
            for row in past
            for a in range(len(row))
            for b in range(a + 1, min(a + 6, len(row)))
            if (row[a], row[b]) == (first, then)
        )
        return weight / math.sqrt(counts[first] * counts[then]) if weight else 0.0

    def value(event: int, item: int) -> float:
        back = follows(item, event) if matrix == "together" else 0.0
        return follows(event, item) + back

    def all_values(history: list[int], item: int) -> list[float]:
        return [value(event, item) for event in history[:5]] or [0.0]

    def faded(history: list[int], item: int) -> float:
        return sum(v * 0.7**place for place, v in enumerate(all_values(history, item)))

    check(statistics, f"{matrix}.last", lambda h, i: all_values(h, i)[0])
    check(statistics, f"{matrix}.second_last", lambda h, i: [*all_values(h, i), 0.0][1])
    check(statistics, f"{matrix}.faded_sum", faded)
    check(statistics, f"{matrix}.max", lambda h, i: max(all_values(h, i)))


def test_content_similarity_is_the_cosine_of_centred_embeddings(
    statistics: FeatureStatistics, content: npt.NDArray[np.float32]
) -> None:
    centred = content - content.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)

    def cosines(history: list[int], item: int) -> list[float]:
        return [float(unit[event] @ unit[item]) for event in history]

    def faded(history: list[int], item: int) -> float:
        weights = [0.7**place for place in range(len(history))]
        total = sum(w * c for w, c in zip(weights, cosines(history, item), strict=True))
        return total / sum(weights) if weights else 0.0

    def place(history: list[int], item: int) -> float:
        return float(np.argmax(cosines(history, item))) if history else math.nan

    check(statistics, "content.last", lambda h, i: [*cosines(h, i), math.nan][0])
    check(statistics, "content.faded_mean", faded)
    check(statistics, "content.max", lambda h, i: max(cosines(h, i), default=math.nan))
    check(statistics, "content.place_of_max", place)


def test_shared_attribute_values_are_counted(statistics: FeatureStatistics) -> None:
    colours = [{"red", "blue"}, {"red"}, set(), {"blue"}, set(), {"red", "green"}] * 2
    makers = [{"smith"}, {"jones", "brown"}, set(), {"smith"}] * 3
    values = [a | b for a, b in zip(colours, makers, strict=True)]

    def shared(history: list[int], item: int) -> list[int]:
        return [len(values[event] & values[item]) for event in history]

    check(statistics, "attributes.last", lambda h, i: [*shared(h, i), 0][0])
    check(statistics, "attributes.mean", lambda h, i: sum(shared(h, i)) / max(len(h), 1))
    check(statistics, "attributes.own", lambda h, i: len(values[i]))


def test_items_had_before_are_known_with_their_place(statistics: FeatureStatistics) -> None:
    check(statistics, "times_had", lambda h, i: h.count(i))
    check(statistics, "place_of_last_had", lambda h, i: h.index(i) if i in h else math.nan)


def test_prices_are_compared_with_those_of_the_history(statistics: FeatureStatistics) -> None:
    known = np.array([1.0, 2.0, 4.0])
    prices = ((np.array([1.0, 2.0, np.nan, 4.0] * 3)) - known.mean()) / known.std()

    def difference(history: list[int], item: int) -> float:
        past = [prices[event] for event in history if not math.isnan(prices[event])]
        return float(prices[item] - np.mean(past)) if past else math.nan

    check(statistics, "number_0", lambda h, i: prices[i])
    check(statistics, "number_0.minus_history", difference)


def test_only_the_last_twenty_events_are_read(statistics: FeatureStatistics) -> None:
    recent = [0, 5, 7, 2] * 5
    rows = [
        candidate_features(
            statistics,
            RequestBatch.from_histories(Histories.from_lists([row])),
            CANDIDATES[2:3],
            {name: score[2:3] for name, score in SCORES.items()},
            SOURCES,
        )
        for row in (recent, [9, 9, *recent])
    ]
    length = feature_names(SOURCES, 1).index("history_length")
    short, long = (np.delete(row, length, axis=-1) for row in rows)
    np.testing.assert_array_equal(short, long)


def test_a_past_without_events_times_and_attributes_gives_zeros(
    content: npt.NDArray[np.float32],
) -> None:
    statistics = FeatureStatistics.from_histories(Histories.from_lists([[], []]), content)
    for name in ("log_count", "log_recent_count", "followed_by.max", "attributes.last"):
        assert not features_of(statistics, name).any()


def test_statistics_read_back_as_they_were_written(
    statistics: FeatureStatistics, tmp_path: Path
) -> None:
    statistics.save(tmp_path / "statistics.npz")
    loaded = FeatureStatistics.load(tmp_path / "statistics.npz")
    for name in feature_names(SOURCES, 1):
        np.testing.assert_array_equal(features_of(loaded, name), features_of(statistics, name))


def test_content_of_another_catalogue_is_refused(past: Histories, catalogue: Catalogue) -> None:
    with pytest.raises(InputError, match="3 content embeddings, but 12 items"):
        FeatureStatistics.from_histories(past, np.ones((3, 2), dtype=np.float32), catalogue)


@pytest.mark.parametrize("wrong", [{"window": 0}, {"recent_share": 0.0}, {"content_width": 0}])
def test_a_configuration_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StatisticsConfig(**wrong)
