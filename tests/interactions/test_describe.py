"""The figures and the picture of a data set whose answers are known."""

from __future__ import annotations

import io
import json

import polars as pl
import pytest
from rich.console import Console

from genrec.interactions import (
    ColumnMapping,
    InteractionDataset,
    describe,
    description_table,
    import_interactions,
    picture_html,
)

DAY = 86_400
START = 1_000_000_000


@pytest.fixture
def dataset() -> InteractionDataset:
    """Three users with 4, 3 and 1 events over five items, one of them never touched."""
    frame = pl.DataFrame(
        {
            "user_id": ["u"] * 4 + ["v"] * 3 + ["w"],
            "item_id": ["a", "b", "a", "c", "a", "b", "d", "a"],
            "timestamp": [0, DAY, DAY, 2 * DAY, 0, 10 * DAY, 10 * DAY, 3 * DAY],
        }
    )
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d", "e"],
            "title": ["A", None, "", "D", "E"],
            "tags": [["t"], [], None, ["t"], ["t"]],
        }
    )
    return import_interactions(frame, None, items, name="<tiny>")[0]


def test_the_figures_are_those_of_the_log(dataset: InteractionDataset) -> None:
    figures = describe(dataset)
    assert (figures["num_users"], figures["num_items"], figures["num_events"]) == (3, 5, 8)
    assert figures["repeats"] == {"share": 1 / 8, "policy": "allow"}
    assert figures["density"] == pytest.approx(7 / 15)
    lengths = figures["history_length"]
    assert (lengths["min"], lengths["median"], lengths["max"]) == (1, 3, 4)
    assert lengths["mean"] == pytest.approx(8 / 3)
    assert figures["popularity"] == {
        "top_1_percent": 0.5,
        "top_10_percent": 0.5,
        "most_events_of_an_item": 4,
        "median_events_of_an_item": 1.0,
        "num_items_without_events": 1,
    }
    assert figures["catalogue"] == {"title": 3 / 5, "tags": 3 / 5}


def test_times_and_ties_are_those_of_the_log(dataset: InteractionDataset) -> None:
    assert describe(dataset)["time"] == {
        "first": "1970-01-01T00:00:00Z",
        "last": "1970-01-11T00:00:00Z",
        "span_days": 10.0,
        "num_events_without_time": 0,
        "tied_share": 2 / 5,
        "last_two_tied_share": 1 / 2,
        "num_events_against_time": 0,
    }


def test_cold_shares_are_told_for_both_splits(dataset: InteractionDataset) -> None:
    splits = describe(dataset)["splits"]
    assert splits["leave-last-out"] == {
        "num_training_events": 4,  # a b | a | a
        "num_validation_users": 2,
        "num_test_users": 2,
        "num_excluded_users": 0,
        "cold_item_share": 1.0,  # c and d
        "cold_user_share": 0.0,
    }
    assert "impossible" in splits["global-temporal"]  # cut at 5.8 and 10 days


def test_events_against_their_order_are_counted() -> None:
    frame = pl.DataFrame(
        {
            "user_id": ["u"] * 3,
            "item_id": ["a", "b", "c"],
            "position": [0, 1, 2],
            "timestamp": [5, 3, None],
        }
    )
    mapping = ColumnMapping(position="position")
    time = describe(import_interactions(frame, mapping)[0])["time"]
    assert (time["num_events_against_time"], time["num_events_without_time"]) == (1, 1)


def test_the_figures_are_json(dataset: InteractionDataset) -> None:
    figures = describe(dataset)
    assert json.loads(json.dumps(figures)) == figures


def one_event(column: str) -> InteractionDataset:
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], column: [1]})
    return import_interactions(frame, ColumnMapping(), name="one")[0]


@pytest.mark.parametrize("column", ["timestamp", "position"])
def test_one_event_can_be_described_tabled_and_drawn(column: str) -> None:
    dataset = one_event(column)
    figures = describe(dataset)
    assert figures["popularity"]["top_1_percent"] == 1.0
    assert "impossible" in figures["splits"]["leave-last-out"]
    assert len(description_table(figures).rows) > 10
    page = picture_html(dataset, figures)
    assert page.count('class="plotly-graph-div"') == (4 if column == "timestamp" else 3)
    assert ("The log has no times" in page) == (column == "position")


def test_the_table_shows_the_figures(dataset: InteractionDataset) -> None:
    page = Console(width=100, record=True, file=io.StringIO())
    page.print(description_table(describe(dataset)))
    text = page.export_text()
    for expected in ("<tiny>", "12.50%", "allow", "1 / 3 / 4", "1970-01-11", "60.0%"):
        assert expected in text


def test_the_picture_is_one_page_that_needs_no_network(dataset: InteractionDataset) -> None:
    page = picture_html(dataset, describe(dataset))
    assert page.startswith("<!doctype html>")
    assert page.count('class="plotly-graph-div"') == 4
    assert "&lt;tiny&gt;" in page
    assert "<tiny>" not in page
    assert '<script src="' not in page
    assert "<link" not in page.partition("</style>")[0]
    for title in ("History lengths", "Item popularity", "Events over time", "Concentration"):
        assert f"<h2>{title}</h2>" in page


@pytest.mark.parametrize(
    ("days", "period"), [(100, "day"), (500, "week"), (5000, "month"), (9000, "year")]
)
def test_the_time_chart_counts_in_periods_that_fit_the_span(days: int, period: str) -> None:
    frame = pl.DataFrame(
        {"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": [START, START + days * DAY]}
    )
    dataset = import_interactions(frame)[0]
    assert f"The busiest {period} is" in picture_html(dataset, describe(dataset))
