"""The face of the package: the user's ids in, the user's ids out, every rule kept."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

import genrec
from genrec.errors import InputError, UnknownItemError
from genrec.funnel import Question, Recommender
from genrec.funnel.questions import LONGEST_HISTORY
from genrec.interactions import (
    UNKNOWN_TIME,
    Catalogue,
    Histories,
    InteractionDataset,
    Recommendations,
    Repeats,
    RequestBatch,
    Source,
)
from tests.funnel.stubs import FakeClock, StubSource

ITEMS = ["a", "b", "c", "d", "e"]


@pytest.fixture
def dataset() -> InteractionDataset:
    """Two people and five items; the best item of every stub is `e`, then `d`, and so on."""
    table = pl.DataFrame({"item_id": ITEMS, "title": ["A", "B", "C", "D", None]})
    return InteractionDataset(
        name="small",
        catalogue=Catalogue(table),
        user_ids=["ann", "bob"],
        histories=Histories.from_lists([[0, 4], [3]]),
        repeats=Repeats.MASK,
        extra=pl.DataFrame(),
    )


def _sources() -> dict[str, Source]:
    clock = FakeClock()
    names = ("generative", "combined", "two_tower", "two_tower_ranked", "popularity")
    return {name: StubSource(name, clock, 0.0, scores=range(len(ITEMS))) for name in names}


@pytest.fixture
def recommender(dataset: InteractionDataset) -> Recommender:
    """A recommender over stubs."""
    return Recommender(dataset, _sources())


def _ids(items: list[genrec.RecommendedItem]) -> list[str]:
    return [item.item_id for item in items]


def test_items_come_with_rank_id_title_score_and_server(recommender: Recommender) -> None:
    first, second = recommender.recommend(["a", "b"], k=2)
    assert (first.rank, first.item_id, first.title, first.score) == (1, "e", None, 4.0)
    assert (second.rank, second.item_id, second.title) == (2, "d", "D")
    assert first.served_by == "combined"


def test_items_of_the_history_are_masked_where_the_data_has_no_repeats(
    recommender: Recommender,
) -> None:
    assert _ids(recommender.recommend(["e", "a"])) == ["d", "c", "b"]


def test_the_repeat_policy_can_be_overridden(recommender: Recommender) -> None:
    assert _ids(recommender.using(repeats="allow").recommend(["e"], k=1)) == ["e"]


def test_a_known_user_is_asked_about_with_all_that_is_known(recommender: Recommender) -> None:
    assert _ids(recommender.recommend(user_id="ann")) == ["d", "c", "b"]


def test_a_given_history_counts_instead_of_the_recorded_one(recommender: Recommender) -> None:
    assert _ids(recommender.recommend(["d"], user_id="ann", k=2)) == ["e", "c"]
    assert _ids(recommender.recommend(["d"], user_id="nobody", k=2)) == ["e", "c"]


def test_an_empty_history_is_answered(recommender: Recommender) -> None:
    assert len(recommender.recommend([])) == len(ITEMS)


def test_a_k_beyond_the_catalogue_gives_what_is_permitted(recommender: Recommender) -> None:
    assert _ids(recommender.recommend(["c"], k=100)) == ["e", "d", "b", "a"]


def test_exclude_and_only_hold(recommender: Recommender) -> None:
    found = recommender.recommend([], only=["a", "b", "e"], exclude=["e"])
    assert _ids(found) == ["b", "a"]


@pytest.mark.parametrize("rule", [{"only": []}, {"exclude": ITEMS}])
def test_nothing_permitted_is_an_empty_list(
    recommender: Recommender, rule: dict[str, list[str]]
) -> None:
    assert recommender.recommend(["a"], **rule) == []  # type: ignore[arg-type]


def test_unknown_items_are_left_out_logged_and_counted(
    recommender: Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    found = recommender.recommend(["x", "e", "y"])
    assert _ids(found) == ["d", "c", "b", "a"]
    assert "not in the catalogue" in caplog.text
    assert "'x'" in caplog.text
    assert recommender.counts["unknown-items"] == 2
    recommender.recommend(["z"])
    assert caplog.text.count("not in the catalogue") == 1


def test_an_answer_says_how_much_of_its_history_is_unknown(recommender: Recommender) -> None:
    for history, num_unknown, is_all in (
        (["x", "e", "y"], 2, False),
        (["x", "y"], 2, True),
        (["e"], 0, False),
        ([], 0, False),
    ):
        found = recommender.answer(Question(history=history))
        assert (found.num_unknown_items, found.is_history_unknown) == (num_unknown, is_all)


@pytest.mark.parametrize(
    "history",
    [
        [5.0, 4],
        (np.float32(5), np.int16(4)),
        np.array([5.0, 4.0]),
        np.array(["5", "4"], dtype=object),
        pl.Series([5, 4]),
        [Decimal("5.00"), "4"],
    ],
)
def test_a_history_is_any_list_of_ids_and_whole_numbers_are_their_integers(
    dataset: InteractionDataset, history: Any
) -> None:
    numbered = Catalogue(pl.DataFrame({"item_id": ["1", "2", "3", "4", "5"]}))
    recommender = Recommender(replace(dataset, catalogue=numbered), _sources())
    assert _ids(recommender.recommend(history)) == ["3", "2", "1"]
    assert recommender.counts["unknown-items"] == 0


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({"a": 1}, "got a dict"),
        ({"a"}, "got a set"),
        (b"a,b", "not a string"),
        (7, "got a int"),
        (np.zeros((2, 2)), r"an array \[2, 2\]"),
        (["a", None], "the history: .*None"),
        (["a", float("nan")], "the history: nan"),
        ([True], "the history: .*True"),
        ([["a"]], r"the history: .*\['a'\]"),
    ],
)
def test_what_is_no_history_is_refused_in_words(
    recommender: Recommender, history: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        recommender.recommend(history)


@pytest.mark.parametrize(
    "asked",
    [{"k": True}, {"k": 2.0}, {"k": "3"}, {"k": 0}, {"k": 3, "budget_ms": float("nan")},
     {"k": 3, "budget_ms": float("inf")}, {"k": 3, "budget_ms": True}],
)  # fmt: skip
def test_a_k_or_budget_that_is_none_is_refused(
    recommender: Recommender, asked: dict[str, Any]
) -> None:
    with pytest.raises(InputError):
        recommender.recommend(["a"], **asked)
    assert len(recommender.recommend(["a"], k=np.int64(2))) == 2  # type: ignore[arg-type]


def test_unknown_items_are_refused_where_that_is_asked_for(dataset: InteractionDataset) -> None:
    recommender = Recommender(dataset, _sources(), strict=True)
    for question in ({"history": ["x"]}, {"history": [], "exclude": ["x"]}):
        with pytest.raises(UnknownItemError, match="'x'"):
            recommender.recommend(**question)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({}, "history or a user_id"),
        ({"history": "a,b"}, r"\['a', 'b'\]"),
        ({"user_id": "nobody"}, "not in the data"),
        ({"history": ["a"], "k": 0}, "k must be"),
        ({"history": ["a"], "budget_ms": 0}, "budget_ms"),
        ({"history": ["a"], "only": "b"}, "only is a list"),
        ({"history": ["a"], "event_times": [1, 2]}, "one each"),
        ({"history": ["a", "b"], "event_times": [2, 1]}, "oldest first"),
        ({"history": ["a"], "event_times": [datetime(2020, 1, 1)]}, "time zone"),  # noqa: DTZ001
        ({"history": ["a"], "event_times": ["2020"]}, "whole seconds"),
        ({"user_id": "ann", "event_times": [1, 2]}, "belong to a history"),
        ({"history": ["a"], "context": {"weather": "rain"}}, "weather"),
    ],
)
def test_a_question_that_makes_no_sense_says_how_to_ask(
    recommender: Recommender, question: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        recommender.recommend(**question)  # type: ignore[arg-type]


def test_times_that_no_model_reads_are_said_to_be_unread_once(
    recommender: Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        recommender.recommend(["a", "b"], event_times=[datetime(2020, 1, 1, tzinfo=UTC), None])
    assert caplog.text.count("event_times: no model of this run reads times") == 1
    recommender.recommend(["a"], context={"now": 1_600_000_000})
    assert "now: no model of this run reads times" in caplog.text


def test_times_and_the_moment_reach_the_sources(dataset: InteractionDataset) -> None:
    seen: list[RequestBatch] = []

    class Spy(StubSource):
        def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
            seen.append(requests)
            return super().recommend(requests, k)

    sources = _sources() | {"combined": Spy("combined", FakeClock(), 0.0, scores=range(5))}
    recommender = Recommender(dataset, sources)
    recommender.recommend(
        ["a", "x", "b"], event_times=[10, 20, None], context={"now": 30}, user_id="bob"
    )
    assert seen[0].item_index.tolist() == [[0, 1]]
    assert seen[0].event_time.tolist() == [[10, UNKNOWN_TIME]]
    assert seen[0].user_index.tolist() == [1]
    assert seen[0].now is not None
    assert seen[0].now.tolist() == [30]


def test_an_unknown_method_or_policy_names_the_known_ones(dataset: InteractionDataset) -> None:
    with pytest.raises(InputError, match="generative"):
        Recommender(dataset, _sources(), method="magic")
    with pytest.raises(InputError, match="allow"):
        Recommender(dataset, _sources(), repeats="perhaps")


def test_popularity_is_the_only_method_that_must_be_there(dataset: InteractionDataset) -> None:
    sources = _sources()
    mine = {"mine": StubSource("mine", FakeClock(), 0.0, scores=range(len(ITEMS)))}
    few = mine | {"popularity": sources["popularity"]}
    assert Recommender(dataset, few, method="mine").recommend([], k=1)[0].served_by == "mine"
    with pytest.raises(InputError, match="there must be a source 'popularity'"):
        Recommender(dataset, mine, method="mine")


def test_many_are_answered_as_one_by_one(recommender: Recommender) -> None:
    questions: list[Question | list[str]] = [["a"], Question(user_id="bob"), [], ["e", "d"], ["b"]]
    many = list(recommender.recommend_many(questions, k=3, batch_size=2, exclude=["c"]))
    alone = [
        recommender.answer(
            each if isinstance(each, Question) else Question(history=each), k=3, exclude=["c"]
        ).items
        for each in questions
    ]
    assert many == alone


def test_nobody_asked_about_gives_no_list(recommender: Recommender) -> None:
    assert list(recommender.recommend_many([])) == []


def test_import_genrec_brings_in_no_model() -> None:
    code = "import genrec, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_says_what_it_has() -> None:
    assert genrec.Recommender is Recommender
    assert "Recommender" in dir(genrec)
    with pytest.raises(AttributeError, match="Magic"):
        genrec.Magic  # noqa: B018


def test_a_history_of_any_length_is_read_from_its_end(recommender: Recommender) -> None:
    assert _ids(recommender.recommend(["e"] + ["a"] * (LONGEST_HISTORY - 1), k=1)) == ["d"]
    assert _ids(recommender.recommend(["e"] + ["a"] * LONGEST_HISTORY, k=1)) == ["e"]


def test_a_history_that_is_cut_is_told_once(
    recommender: Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    recommender.recommend(["a"] * LONGEST_HISTORY, k=1)
    assert "may be recommended again" not in caplog.text
    for _ in range(2):
        recommender.recommend(["a"] * (LONGEST_HISTORY + 1), k=1)
    assert caplog.text.count("may be recommended again") == 1


def test_unknown_ids_of_a_history_are_counted_among_what_is_read(recommender: Recommender) -> None:
    recommender.recommend(["x", "y"] + ["a"] * (LONGEST_HISTORY - 1))
    assert recommender.counts["unknown-items"] == 1


def test_a_k_of_a_thousand_million_is_that_of_the_catalogue(recommender: Recommender) -> None:
    assert len(recommender.recommend([], k=10**9)) == len(ITEMS)
    [found] = recommender.recommend_many([[]], k=10**9)
    assert len(found) == len(ITEMS)
