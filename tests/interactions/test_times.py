"""Times in every spelling, and which of them are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

from genrec.errors import DataError, InputError
from genrec.interactions import ColumnMapping, TimeUnit, import_interactions
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


@pytest.mark.parametrize(
    "text", ["30/01/23", "01-30-2023", "5/13/2014 8:26", "13-May-2014", "1-1-1"]
)
def test_days_months_and_years_of_two_digits_are_never_guessed(text: str) -> None:
    assert parse_times(pl.Series([text])).unparsable.to_list() == [True]


@pytest.mark.parametrize(
    ("values", "text_format"),
    [
        (["30/01/23 10:00"], "%d/%m/%y %H:%M"),
        (["1/30/2023 10:00:00 AM"], "%m/%d/%Y %I:%M:%S %p"),
        (["30-Jan-2023 10:00"], "%d-%b-%Y %H:%M"),
        ([44956.41666666667], "excel"),
        ([20230130100000], "yyyymmddhhmmss"),
    ],
)
def test_a_format_says_how_times_are_written(values: list[object], text_format: str) -> None:
    times = parse_times(pl.Series(values), text_format=text_format)
    assert times.microseconds.to_list() == [1_675_072_800_000_000]
    assert times.reading == text_format


def test_values_that_are_not_of_the_format_cannot_be_read() -> None:
    times = parse_times(pl.Series(["30/01/2023", "2023-01-30", None]), text_format="%d/%m/%Y")
    assert times.unparsable.to_list() == [False, True, False]


@pytest.mark.parametrize("text_format", ["nonsense", "d/m/y"])
def test_a_format_that_is_none_is_refused(text_format: str) -> None:
    with pytest.raises(InputError, match="there is no time format"):
        parse_times(pl.Series(["x"]), text_format=text_format)


@pytest.mark.parametrize("values", [[20240302, 20240229], ["20240302", "20240229"]])
def test_numbers_that_are_all_dates_are_read_as_dates(values: list[object]) -> None:
    times = parse_times(pl.Series(values))
    assert times.reading == "dates written as yyyymmdd"
    assert times.microseconds.to_list() == [1_709_337_600_000_000, 1_709_164_800_000_000]


def test_fourteen_digits_are_a_date_and_a_time() -> None:
    assert parse_times(pl.Series([20240302000001])).microseconds.to_list() == [
        1_709_337_601_000_000
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([20240302, 20241399], [True, True]),  # no date: seconds in 1970
        ([1_600_000_000, 40_000_000_000], [False, True]),
        ([1_600_000_000, 5], [False, False]),
        ([1, 2, 3], [False, False, False]),  # an order
    ],
)
def test_numbers_that_a_wrong_unit_made_a_time_are_told(
    values: list[int], expected: list[bool]
) -> None:
    implausible = parse_times(pl.Series(values)).implausible
    assert implausible is not None
    assert implausible.to_list() == expected


def test_a_unit_that_is_said_is_believed() -> None:
    assert parse_times(pl.Series([20240302]), TimeUnit.SECONDS).implausible is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1985-01-02", "1985-01-03"], [True, True]),
        (["1985-01-02", "1999-01-03"], [False, False]),
        (["2001-01-02", "2611-01-03"], [False, True]),
        ([date(1985, 1, 2), date(1985, 1, 3)], [True, True]),
        ([20240302, 20980302], [False, True]),
    ],
)
def test_dates_that_no_log_of_today_has_are_told_however_they_are_written(
    values: list[object], expected: list[bool]
) -> None:
    implausible = parse_times(pl.Series(values)).implausible
    assert implausible is not None
    assert implausible.to_list() == expected


def test_a_log_of_the_eighties_is_imported_where_that_is_said() -> None:
    frame = pl.DataFrame(
        {"user_id": ["u"] * 2, "item_id": ["a", "b"], "timestamp": ["1985-01-02", "1985-01-03"]}
    )
    with pytest.raises(DataError, match=r"implausible-time.*'1985-01-02' \(row 0\)"):
        import_interactions(frame)
    assert import_interactions(frame, keep=["implausible-time"])[1].num_events == 2
    mapping = ColumnMapping(time_format="%Y-%m-%d")
    assert import_interactions(frame, mapping)[1].first_time == "1985-01-02"
