"""From a table to a data set: order, catalogue, repeats, and the account of the rows."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.interactions import (
    UNKNOWN_TIME,
    CatalogueMapping,
    ColumnMapping,
    InteractionDataset,
    Repeats,
    import_interactions,
)
from genrec.interactions.importing import REPEATS_TO_IGNORE


def histories_of(dataset: InteractionDataset) -> dict[str, list[str]]:
    return {
        user: dataset.catalogue.ids(items)
        for user, items in zip(dataset.user_ids, dataset.histories, strict=True)
    }


def test_a_log_becomes_histories_in_order_of_time(log: pl.DataFrame) -> None:
    dataset, summary = import_interactions(log)
    assert histories_of(dataset) == {"u": ["a", "b", "c"], "v": ["a", "b"]}
    assert dataset.histories.times_of(1).tolist() == [1_400_000_001, 1_400_000_005]
    assert (summary.num_rows, summary.num_events) == (5, 5)
    assert (summary.num_users, summary.num_items) == (2, 3)
    assert (summary.num_dropped_rows, summary.dropped, summary.unused_columns) == (0, {}, ())
    assert summary.order == "time from 'timestamp' (numbers in seconds)"


def test_without_an_items_table_the_catalogue_is_the_items_of_the_log(log: pl.DataFrame) -> None:
    dataset, _ = import_interactions(log)
    assert sorted(dataset.catalogue.item_ids) == ["a", "b", "c"]
    assert dataset.catalogue.titles([0, 1]) == [None, None]


def test_the_numbers_of_items_are_equal_with_and_without_a_table_and_in_any_order() -> None:
    ids = [f"i{place}" for place in range(50)]
    frame = pl.DataFrame({"user_id": ["u"] * 50, "item_id": ids, "timestamp": range(50)})
    items = pl.DataFrame({"item_id": ids})
    numbered = import_interactions(frame)[0].catalogue.item_ids
    assert numbered != ids
    assert import_interactions(frame.reverse())[0].catalogue.item_ids == numbered
    assert import_interactions(frame, None, items)[0].catalogue.item_ids == numbered
    assert import_interactions(frame, None, items.reverse())[0].catalogue.item_ids == numbered


def test_the_items_table_gives_the_titles_and_the_attributes(log: pl.DataFrame) -> None:
    items = pl.DataFrame(
        {"price": [1.5, None, 3.0, 4.0], "asin": ["z", "c", "b", "a"], "name": ["Z", None, "B", 7]},
        strict=False,
    )
    mapping = CatalogueMapping(item_id="asin", title="name")
    dataset, _ = import_interactions(log, None, items, item_mapping=mapping)
    index = dataset.catalogue.index(["z", "c", "b", "a"])
    assert sorted(index.tolist()) == [0, 1, 2, 3]
    assert dataset.catalogue.titles(index) == ["Z", None, "B", "7"]
    assert dataset.catalogue.attributes == ["price"]
    assert histories_of(dataset)["u"] == ["a", "b", "c"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30))
def test_ties_in_time_keep_the_order_of_the_rows(rows: list[tuple[int, int]]) -> None:
    frame = pl.DataFrame(
        {
            "user_id": [user for user, _ in rows],
            "item_id": [f"row {number}" for number in range(len(rows))],
            "timestamp": [time for _, time in rows],
        }
    )
    expected = {
        str(user): [
            f"row {row}"
            for row in sorted(range(len(rows)), key=lambda row: rows[row][1])
            if rows[row][0] == user
        ]
        for user in dict.fromkeys(user for user, _ in rows)
    }
    dataset, _ = import_interactions(frame)
    assert histories_of(dataset) == expected
    assert dataset.user_ids == list(expected)


def test_the_position_orders_also_against_the_time_and_times_may_be_null() -> None:
    frame = pl.DataFrame(
        {
            "user_id": ["u"] * 3,
            "item_id": ["a", "b", "c"],
            "timestamp": [30, None, 10],
            "position": [2, 0, 1],
        }
    )
    dataset, summary = import_interactions(frame, ColumnMapping(position="position"))
    assert histories_of(dataset) == {"u": ["b", "c", "a"]}
    assert dataset.histories.event_time.tolist() == [UNKNOWN_TIME, 10, 30]
    assert summary.num_events_without_time == 1
    assert "position from 'position'" in summary.order


def test_a_log_with_positions_alone_has_no_times() -> None:
    frame = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "position": [1, 0]})
    dataset, _ = import_interactions(frame)
    assert histories_of(dataset) == {"u": ["b", "a"]}
    assert (dataset.histories.event_time == UNKNOWN_TIME).all()


def test_parts_of_a_second_order_before_times_are_cut_to_seconds() -> None:
    frame = pl.DataFrame(
        {
            "user_id": ["u"] * 3,
            "item_id": ["late", "early", "middle"],
            "timestamp": [1_400_000_000_900, 1_400_000_000_100, 1_400_000_000_500],
        }
    )
    dataset, _ = import_interactions(frame)
    assert histories_of(dataset) == {"u": ["early", "middle", "late"]}
    assert set(dataset.histories.event_time.tolist()) == {1_400_000_000}


def test_what_the_mapping_keeps_follows_its_event(log: pl.DataFrame) -> None:
    frame = log.with_columns(
        kind=pl.Series(["v1", "v2", "v3", "v4", "v5"]),
        stars=pl.Series([1, 2, 3, 4, 5]),
        page=pl.Series([10, 20, 30, 40, 50]),
    )
    mapping = ColumnMapping(event="kind", value="stars", context=("page", "stars"))
    dataset, summary = import_interactions(frame, mapping)
    assert dataset.extra.to_dict(as_series=False) == {
        "event": ["v1", "v3", "v4", "v5", "v2"],
        "value": [1, 3, 4, 5, 2],
        "page": [10, 30, 40, 50, 20],
        "stars": [1, 3, 4, 5, 2],
    }
    assert summary.unused_columns == ()


def test_columns_that_are_not_kept_are_named(log: pl.DataFrame) -> None:
    _, summary = import_interactions(log.with_columns(page=1, shop=2))
    assert summary.unused_columns == ("page", "shop")


def repeating(num_repeats: int, num_events: int) -> pl.DataFrame:
    """A log of one user, that many of its events with an item they had before."""
    items = [*range(num_events - num_repeats), *range(num_repeats)]
    return pl.DataFrame(
        {"user_id": ["u"] * num_events, "item_id": items, "timestamp": range(num_events)}
    )


@pytest.mark.parametrize(
    ("num_repeats", "policy"),
    [(0, Repeats.MASK), (2, Repeats.MASK), (3, Repeats.ALLOW), (900, Repeats.ALLOW)],
)
def test_the_repeat_policy_follows_from_the_measured_share(
    num_repeats: int, policy: Repeats
) -> None:
    assert REPEATS_TO_IGNORE * 2000 == 2
    dataset, summary = import_interactions(repeating(num_repeats, 2000))
    assert dataset.repeat_share == pytest.approx(num_repeats / 2000)
    assert dataset.repeats is summary.repeats is policy
    assert summary.repeats_measured


@pytest.mark.parametrize("policy", Repeats)
def test_a_given_repeat_policy_wins(policy: Repeats) -> None:
    for frame in (repeating(0, 10), repeating(5, 10)):
        dataset, summary = import_interactions(frame, repeats=policy)
        assert dataset.repeats is policy
        assert not summary.repeats_measured


def test_dropped_rows_are_counted_in_the_summary(log: pl.DataFrame) -> None:
    frame = pl.concat([log, log.head(2)])
    dataset, summary = import_interactions(frame, drop=["duplicate", "null-user"])
    assert summary.dropped == {"duplicate": 2, "null-user": 0}
    assert (summary.num_rows, summary.num_events, summary.num_dropped_rows) == (7, 5, 2)
    assert histories_of(dataset)["v"] == ["a", "b"]


def test_one_user_one_item_one_event_is_a_data_set() -> None:
    dataset, summary = import_interactions(
        pl.DataFrame({"user_id": [1], "item_id": [2], "timestamp": [3]})
    )
    assert histories_of(dataset) == {"1": ["2"]}
    assert (summary.num_users, summary.num_items, summary.num_events) == (1, 1, 1)
