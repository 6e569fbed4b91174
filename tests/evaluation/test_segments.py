"""Segments of test questions on logs whose segments are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from genrec.errors import InputError
from genrec.evaluation import (
    FEW_PEOPLE,
    BootstrapConfig,
    EvaluationTask,
    segment_rows,
    segments_of,
)
from genrec.interactions import Histories, Protocol, Repeats, Split, split_histories

BOOTSTRAP = BootstrapConfig(num_resamples=100)
DAY = 86_400


def members(split: Split, num_items: int, history: int = 50) -> dict[str, list[int]]:
    """The people (user_index) of each segment."""
    task = EvaluationTask(questions=split.test, num_items=num_items, repeats=Repeats.ALLOW)
    segments = segments_of(split, task, history)
    return {name: split.test.user_index[there].tolist() for name, there in segments.items()}


def leave_last_out(lists: list[list[int]]) -> Split:
    return split_histories(Histories.from_lists(lists), Protocol.LEAVE_LAST_OUT)


@pytest.mark.parametrize(
    ("num_events", "segment"),
    [
        (3, "history: 1-2 events"),
        (4, "history: 3-5 events"),
        (6, "history: 3-5 events"),
        (7, "history: more than 5 events"),
    ],
)
def test_people_are_divided_by_the_events_before_the_target(num_events: int, segment: str) -> None:
    found = members(leave_last_out([list(range(num_events))]), num_events)
    of_history = {name: people for name, people in found.items() if name.startswith("history")}
    assert len(of_history) == 4
    assert {name for name, people in of_history.items() if people} == {segment}


def test_no_more_events_count_than_the_models_read() -> None:
    found = members(leave_last_out([list(range(20))]), 20, history=4)
    assert found["history: 3-5 events"] == [0]


@pytest.mark.parametrize(
    ("num_events", "segment"),
    [
        (0, "target: unseen in training"),
        (1, "target: 1-4 training events"),
        (4, "target: 1-4 training events"),
        (5, "target: 5-19 training events"),
        (19, "target: 5-19 training events"),
        (20, "target: 20 or more training events"),
    ],
)
def test_people_are_divided_by_the_training_events_of_their_target(
    num_events: int, segment: str
) -> None:
    split = leave_last_out([[1, 2, 0], *[[0]] * num_events])  # who has one event only trains
    found = members(split, 3)
    of_target = {name: people for name, people in found.items() if name.startswith("target")}
    assert {name for name, people in of_target.items() if people} == {segment}


def test_events_of_validation_and_test_are_no_training_events() -> None:
    found = members(leave_last_out([[1, 0, 0], [2, 2, 0]]), 3)
    assert found["target: unseen in training"] == [0, 1]


def temporal() -> Split:
    """Person 0 does everything early and comes back; 1 comes late with two events; 2 with one."""
    early = [DAY * day for day in range(40)]
    late = [DAY * (1000 + day) for day in range(10)]
    return split_histories(
        Histories.from_lists(
            [[0] * 40 + [1] * 6, [2, 3], [4]],
            [early + late[:6], late[7:9], late[9:]],
        ),
        Protocol.GLOBAL_TEMPORAL,
    )


def test_people_whom_training_has_not_seen_are_a_segment_of_a_temporal_split() -> None:
    found = members(temporal(), 5)
    assert found["person: unseen in training"] == [1, 2]
    assert found["person: in training"] == [0]
    assert found["history: 0 events"] == [2]
    assert "person: in training" not in members(leave_last_out([[0, 1, 2]]), 3)


@pytest.mark.parametrize("split", [temporal(), leave_last_out([[0, 1, 2], [2, 1, 0, 3, 3, 3, 4]])])
def test_every_kind_of_segment_divides_everybody_once(split: Split) -> None:
    task = EvaluationTask(questions=split.test, num_items=5, repeats=Repeats.ALLOW)
    segments = segments_of(split, task, 50)
    for kind in {name.split(":")[0] for name in segments}:
        there = [each for name, each in segments.items() if name.split(":")[0] == kind]
        assert np.sum(there, axis=0).tolist() == [1] * len(split.test)


def first(num: int, size: int) -> npt.NDArray[np.bool_]:
    return np.arange(size) < num


def test_a_row_has_the_figures_of_its_people_alone() -> None:
    ranks = {
        "one": np.array([[1], [0], [0], [2]]),
        "two": np.array([[0], [0], [1], [1]]),
    }
    half = first(2, 4)
    rows = segment_rows({"a": half, "b": ~half}, ranks, BOOTSTRAP)
    assert [row["segment"] for row in rows] == ["a", "b"]
    assert [row["methods"]["one"]["recall@10"] for row in rows] == [0.5, 0.5]
    assert [row["methods"]["two"]["recall@10"] for row in rows] == [0.0, 1.0]
    assert rows[1]["methods"]["one"]["ndcg@10"] == pytest.approx(0.5 / np.log2(3))
    assert rows[1]["methods"]["two"]["recall@10_ci95"] == [1.0, 1.0]


@pytest.mark.parametrize(("size", "few"), [(1, True), (29, True), (30, False)])
def test_few_people_are_marked(size: int, few: bool) -> None:
    ranks = {"one": np.ones((40, 1), dtype=np.int64)}
    [row] = segment_rows({"a": first(size, 40)}, ranks, BOOTSTRAP)
    assert row["num_users"] == size
    assert row["few"] is few is (size < FEW_PEOPLE)


def test_a_segment_without_people_has_no_row() -> None:
    ranks = {"one": np.ones((2, 1), dtype=np.int64)}
    assert segment_rows({"a": first(0, 2)}, ranks, BOOTSTRAP) == []


def test_ranks_of_other_people_are_refused() -> None:
    ranks = {"one": np.ones((3, 1), dtype=np.int64)}
    with pytest.raises(InputError, match="one was judged on 3 people, the segment 'a' divides 2"):
        segment_rows({"a": first(1, 2)}, ranks, BOOTSTRAP)
