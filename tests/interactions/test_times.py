"""Times in every spelling, and which of them are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

from genrec.interactions import TimeUnit
from genrec.interactions.times import parse_times

MOMENT = datetime(2014, 5, 13, 10, 20, 30, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())


def seconds_of(values: list[object], unit: TimeUnit = TimeUnit.AUTO) -> list[int | None]:
    parsed = parse_times(pl.Series(values, strict=False), unit)
    return (parsed.microseconds // 1_000_000).to_list()


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_the_unit_of_numbers_is_found_by_their_size(scale: int) -> None:
    assert seconds_of([SECONDS * scale, None, (SECONDS + 1) * scale]) == [
        SECONDS,
        None,
        SECONDS + 1,
    ]
    assert seconds_of([str(SECONDS * scale)]) == [SECONDS]


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_a_given_unit_wins_over_the_size(unit: str, scale: int) -> None:
    assert seconds_of([5 * scale], TimeUnit(unit)) == [5]


@pytest.mark.parametrize(
    "text",
    [
        "2014-05-13T10:20:30Z",
        "2014-05-13T10:20:30",
        "2014-05-13 10:20:30 UTC",
        "2014-05-13T12:20:30+02:00",
        "2014-05-13T12:20:30+0200",
        "2014-05-13 10:20:30.25",
        "2014/05/13 10:20:30",
        " 2014-05-13 10:20:30 ",
    ],
)
def test_text_is_read_as_iso_8601_and_utc_without_a_zone(text: str) -> None:
    assert seconds_of([text]) == [SECONDS]


def test_text_may_leave_out_seconds_or_the_time_of_day() -> None:
    midnight = int(datetime(2014, 5, 13, tzinfo=UTC).timestamp())
    assert seconds_of(["2014-05-13 10:20"]) == [SECONDS - 30]
    assert seconds_of(["2014-05-13", "2014/05/13"]) == [midnight, midnight]


def test_dates_and_datetimes_of_any_zone_are_read() -> None:
    midnight = int(datetime(2014, 5, 13, tzinfo=UTC).timestamp())
    assert seconds_of([date(2014, 5, 13), None]) == [midnight, None]
    assert seconds_of([MOMENT.replace(tzinfo=None)]) == [SECONDS]
    assert seconds_of([MOMENT.astimezone(timezone(timedelta(hours=5)))]) == [SECONDS]


def test_fractions_of_a_second_are_kept_for_the_order() -> None:
    parsed = parse_times(pl.Series(["2014-05-13 10:20:30.25", "2014-05-13 10:20:30.75"]))
    assert parsed.microseconds.diff().to_list() == [None, 500_000]
    assert parse_times(pl.Series([1.5])).microseconds.to_list() == [1_500_000]


def test_times_before_1970_are_read() -> None:
    assert seconds_of([-5]) == [-5]
    assert seconds_of(["1969-12-31 23:59:55"]) == [-5]


@pytest.mark.parametrize(
    ("values", "unparsable"),
    [
        (["soon", "2014-05-13", "13.05.2014", None, ""], [True, False, True, False, False]),
        ([SECONDS, SECONDS * 1000, SECONDS], [False, True, False]),
        ([SECONDS * 1000, SECONDS * 1000, SECONDS, 0], [False, False, True, False]),
        ([str(SECONDS), "inf", "nan"], [False, True, True]),
        ([1.0, float("inf"), float("nan")], [False, True, False]),
        ([True, None], [True, False]),
        ([["a list"]], [True]),
        ([timedelta(1)], [True]),
    ],
)
def test_what_is_no_time_of_the_column_is_unparsable(
    values: list[object], unparsable: list[bool]
) -> None:
    parsed = parse_times(pl.Series(values))
    assert parsed.unparsable.to_list() == unparsable
    assert parsed.microseconds.filter(parsed.unparsable).null_count() == sum(unparsable)


def test_numbers_beyond_the_year_9999_are_unparsable_in_the_given_unit() -> None:
    parsed = parse_times(pl.Series([SECONDS, 2**62, -(2**62)]), TimeUnit.SECONDS)
    assert parsed.unparsable.to_list() == [False, True, True]


def test_an_empty_column_has_no_times() -> None:
    parsed = parse_times(pl.Series([], dtype=pl.String))
    assert len(parsed.microseconds) == len(parsed.unparsable) == 0
    assert parse_times(pl.Series([None, None])).unparsable.to_list() == [False, False]
