"""Formats are named where every value fits them, and never chosen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from genrec.interactions.time_formats import fitting_formats, tell_formats

FIRST = datetime(2023, 1, 30, 9, 5, tzinfo=UTC)
MOMENTS = [FIRST + timedelta(days=9 * n, hours=5 * n) for n in range(12)]


@pytest.mark.parametrize(
    "text_format",
    [
        "%d/%m/%y %H:%M",
        "%m/%d/%Y %I:%M:%S %p",
        "%d-%b-%Y %H:%M",
        "%d.%m.%Y",
        "%d %B %Y",
        "%a %b %d %H:%M:%S %Y",
        "%d-%m-%Y %H:%M:%S",
    ],
)
def test_a_format_that_was_written_is_the_only_one_that_fits(text_format: str) -> None:
    texts = pl.Series([moment.strftime(text_format) for moment in MOMENTS])
    assert fitting_formats(texts) == [text_format]


def test_several_that_fit_are_all_named() -> None:
    told = tell_formats(pl.Series(["1/2/2024 9:05", None, "3/4/2024 10:00"]))
    assert "'%d/%m/%Y %H:%M' and --time-format '%m/%d/%Y %H:%M'" in told
    assert told.endswith("say which it is")


def test_a_time_that_has_not_come_fits_nothing() -> None:
    next_year = (datetime.now(UTC) + timedelta(days=400)).strftime("%d.%m.%Y")
    assert fitting_formats(pl.Series([next_year])) == []


@pytest.mark.parametrize("texts", [[], [None], ["soon"], ["1/2/2024", "soon"], ["99/99/2024"]])
def test_what_fits_nothing_common_is_told_as_nothing(texts: list[str | None]) -> None:
    assert tell_formats(pl.Series(texts, dtype=pl.String)) == ""


def test_numbers_have_no_format() -> None:
    assert tell_formats(pl.Series([1, 2])) == ""


def test_one_value_among_many_decides() -> None:
    texts = ["01/02/2024"] * 5_000 + ["13/02/2024"]
    assert fitting_formats(pl.Series(texts[:-1])) == ["%d/%m/%Y", "%m/%d/%Y"]
    assert fitting_formats(pl.Series(texts)) == ["%d/%m/%Y"]
