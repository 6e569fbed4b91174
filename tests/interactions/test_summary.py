"""The summary of an import is one that a person can check."""

from __future__ import annotations

import polars as pl

from genrec.interactions import ColumnMapping, import_interactions, tell_import

DAY = 86_400
MARCH_2 = 1_709_337_600  # 2024-03-02 at midnight, UTC


def log(num_events: int, num_users: int = 1) -> pl.DataFrame:
    rows = [
        (f"u{user}", f"i{place}", MARCH_2 + place * DAY)
        for user in range(num_users)
        for place in range(num_events)
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def test_a_history_is_told_in_words_oldest_first_with_titles_and_dates() -> None:
    items = pl.DataFrame({"item_id": ["i0", "i1", "i2"], "title": ["Nought", None, "Two"]})
    _, summary = import_interactions(log(3).reverse(), None, items)
    [history] = summary.histories
    assert history == ("u0: i0 Nought (2024-03-02), i1 (2024-03-03), i2 Two (2024-03-04)")
    assert (summary.first_time, summary.last_time) == ("2024-03-02", "2024-03-04")


def test_a_long_history_shows_both_ends() -> None:
    _, summary = import_interactions(log(9))
    [history] = summary.histories
    assert "i2 (2024-03-04), … 3 more …, i6" in history


def test_three_people_are_shown_the_first_one_of_median_length_and_the_last() -> None:
    frames = [log(n).with_columns(user_id=pl.lit(f"u{n}")) for n in (9, 1, 2, 5, 3)]
    _, summary = import_interactions(pl.concat(frames))
    assert [history.split(":")[0] for history in summary.histories] == ["u9", "u3"]
    _, summary = import_interactions(pl.concat([*frames, log(1).with_columns(user_id=pl.lit("z"))]))
    assert [history.split(":")[0] for history in summary.histories] == ["u9", "u3", "z"]


def test_events_without_a_time_and_numbers_that_only_order_are_told_as_such() -> None:
    frame = log(2).drop("timestamp").with_columns(position=pl.Series([1, 0]))
    _, summary = import_interactions(frame)
    assert summary.histories == ("u0: i1, i0",)
    assert (summary.first_time, summary.last_time) == (None, None)
    _, summary = import_interactions(log(2).with_columns(timestamp=pl.Series([7, 8])))
    assert summary.histories == ("u0: i0 (7), i1 (8)",)


def test_the_texts_of_three_items_are_as_an_encoder_reads_them() -> None:
    items = pl.DataFrame({"item_id": ["i0"], "title": ["Crème &amp; Co"], "brand": ["X"]})
    _, summary = import_interactions(log(1), None, items)
    assert summary.item_texts == ("i0: Crème & Co. brand: X",)
    assert len(import_interactions(log(9))[1].item_texts) == 3


def test_ids_that_look_alike_are_told() -> None:
    frame = log(4).with_columns(item_id=pl.Series(["A1", "a1", "007", "7"]))
    _, summary = import_interactions(frame)
    [note] = [note for note in summary.notes if "leading zeros" in note]
    assert note.startswith("2 item id(s)")
    assert "'7'" in note
    assert not any("leading zeros" in note for note in import_interactions(log(4))[1].notes)


def test_the_lines_of_a_program_tell_everything() -> None:
    frame = log(3, num_users=2).with_columns(kind=pl.lit("view"), page=1)
    mapping = ColumnMapping(event="kind", event_in=("view",))
    _, summary = import_interactions(frame, mapping, name="shop", drop=["null-user"])
    lines = "\n".join(tell_import(summary))
    for expected in (
        "shop: 2 users, 3 items, 6 events of 6 rows",
        "dropped 0 row(s) with null-user",
        "left out by choice: 0 row(s), kind not in view",
        "from 2024-03-02 to 2024-03-04",
        "columns not kept: page",
        "u1: i0 (2024-03-02)",
        "texts of items:",
        "who can be tested on: only 2",
        "warning: the generator and the ranker cannot be trained",
    ):
        assert expected in lines, expected
    assert "ties:" not in lines
    tied = log(3).with_columns(timestamp=MARCH_2)
    assert "ties: 100.0%" in "\n".join(tell_import(import_interactions(tied)[1]))


def test_a_time_of_day_is_shown_where_it_is_not_midnight() -> None:
    frame = log(1).with_columns(timestamp=pl.Series([MARCH_2 + 3 * 3600 + 5]))
    assert import_interactions(frame)[1].first_time == "2024-03-02 03:00:05"
