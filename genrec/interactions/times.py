"""Times as logs write them (numbers of some unit, dates, text), as microseconds since 1970."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import StrEnum

import polars as pl

from genrec.errors import InputError

__all__ = ["MICROSECONDS_PER_SECOND", "ParsedTimes", "TimeUnit", "parse_times"]

MICROSECONDS_PER_SECOND = 1_000_000
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
"""Seconds: the years 1 and 9999, the range that dates can have."""
IN_1973 = 10**8
"""Seconds: a number as large as this is a date in 1973 or later, in its unit."""
INT64_MAX = 2**63 - 1
IN_1990 = 631_152_000
"""Seconds: a log that ends before this was hardly counted in the unit that it was read in."""
SMALLEST_DATE = 10**7
"""Seconds: smaller numbers are an order (1, 2, 3, …), not dates."""
TOMORROW_S = 86_400
EXCEL_DAY_0 = -2_209_161_600
"""Seconds: 1899-12-30, from which Excel counts days."""
COMPACT = {"yyyymmdd": ("%Y%m%d", 8), "yyyymmddhhmmss": ("%Y%m%d%H%M%S", 14)}
"""Dates that are written as one number: how they are read, and their digits."""
TEXT_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M%#z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
)
"""ISO 8601 in its common spellings; `T` and `Z` are brought to these before."""


class TimeUnit(StrEnum):
    """How numbers count time since 1970 (UTC)."""

    AUTO = "auto"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"


UNITS_PER_SECOND = {
    TimeUnit.SECONDS: 1,
    TimeUnit.MILLISECONDS: 10**3,
    TimeUnit.MICROSECONDS: 10**6,
    TimeUnit.NANOSECONDS: 10**9,
}


@dataclass(frozen=True, kw_only=True)
class ParsedTimes:
    """A column of times, read."""

    microseconds: pl.Series
    """Int64: since 1970 (UTC); null where there is none or it cannot be read."""
    unparsable: pl.Series
    """Boolean: there is a value, and it cannot be read."""
    reading: str
    """How the values were understood, in words."""
    implausible: pl.Series | None = None
    """Boolean: times that no log of today has; None where it was said how they are written."""


def parse_times(
    column: pl.Series, unit: TimeUnit = TimeUnit.AUTO, text_format: str | None = None
) -> ParsedTimes:
    """Reads a column of times; text and dates without a zone are UTC.

    Of text, a year has four digits and comes first: between day, month and a year of two digits
    nothing is guessed, so anything else needs a `text_format`. Numbers that are all dates of eight
    or fourteen digits (20240302) are read as such. A column that ends before 1990 or goes beyond
    tomorrow was probably read in a wrong unit or format, which is told unless either was given.

    With `auto`, the median of the numbers decides for all of them (beyond 10^11 they cannot be
    seconds, beyond 10^14 not milliseconds, beyond 10^17 not microseconds), and a number that
    would be a plausible date in another unit only is unparsable: a column of mixed units is
    reported, not guessed at. Nanoseconds are cut to microseconds.

    Args:
        column: integers, floats, dates, datetimes or text (ISO 8601, or numbers).
        unit: of numbers.
        text_format: how the times are written, for `strptime`, or `excel` (days since 1899-12-30),
            `yyyymmdd` or `yyyymmddhhmmss`; None finds out.

    Raises:
        InputError: there is no such format.
    """
    if text_format is not None:
        return _parse_by_format(column, text_format)
    if column.dtype.is_temporal() and column.dtype not in (pl.Time, pl.Duration):
        return _parse_dates(column)
    if column.dtype.is_numeric():
        return _parse_numbers(column, unit)
    if column.dtype == pl.String:
        return _parse_text(column, unit)
    nothing = pl.repeat(None, len(column), dtype=pl.Int64, eager=True)
    return ParsedTimes(
        microseconds=nothing,
        unparsable=column.is_not_null(),
        reading=f"type {column.dtype} holds no times",
    )


def _parse_dates(column: pl.Series) -> ParsedTimes:
    dates = column.cast(pl.Date() if column.dtype == pl.Date else _utc_type(column))
    microseconds = dates.dt.epoch("us")
    return ParsedTimes(
        microseconds=microseconds,
        implausible=_implausible(microseconds),
        unparsable=pl.repeat(False, len(column), eager=True),
        reading="dates",
    )


def _utc_type(column: pl.Series) -> pl.Datetime:
    zone = column.dtype.time_zone if isinstance(column.dtype, pl.Datetime) else None
    return pl.Datetime("us", zone)


def _parse_numbers(column: pl.Series, unit: TimeUnit) -> ParsedTimes:
    numbers = column.cast(pl.Int64 if column.dtype.is_integer() else pl.Float64, strict=False)
    if numbers.dtype == pl.Float64:
        numbers = numbers.fill_nan(None)
        given = numbers.is_not_null()
        numbers = numbers.set(~numbers.is_finite().fill_null(False), None)
    else:
        given = column.is_not_null()
    if unit is TimeUnit.AUTO:
        for name in COMPACT:
            compact = _parse_compact(numbers, name)
            if compact is not None:
                return replace(compact, unparsable=given & compact.microseconds.is_null())
    chosen = _unit_by_size(numbers) if unit is TimeUnit.AUTO else unit
    per_second = UNITS_PER_SECOND[chosen]
    earliest, latest = max(EARLIEST * per_second, -INT64_MAX), min(LATEST * per_second, INT64_MAX)
    possible = numbers.is_between(earliest, latest).fill_null(False)
    if unit is TimeUnit.AUTO:
        possible &= _same_unit(numbers, chosen)
    kept = numbers.set(~possible, None)
    microseconds = _as_microseconds(kept, per_second)
    return ParsedTimes(
        microseconds=microseconds,
        implausible=_implausible(microseconds) if unit is TimeUnit.AUTO else None,
        unparsable=given & ~possible,
        reading=f"numbers in {chosen.name.lower()}",
    )


def _implausible(microseconds: pl.Series) -> pl.Series | None:
    """Where a time is after tomorrow, or all are before 1990 and no mere order (1, 2, 3, …)."""
    earliest, latest = microseconds.min(), microseconds.max()
    if not isinstance(latest, int) or not isinstance(earliest, int):
        return None
    order = SMALLEST_DATE * MICROSECONDS_PER_SECOND
    is_order = -order < earliest and latest < order
    if latest < IN_1990 * MICROSECONDS_PER_SECOND and not is_order:
        return microseconds.is_not_null()
    tomorrow = (int(time.time()) + TOMORROW_S) * MICROSECONDS_PER_SECOND
    return (microseconds > tomorrow).fill_null(False)


def _parse_compact(numbers: pl.Series, name: str) -> ParsedTimes | None:
    """Numbers like 20240302 as dates, if all of them are dates between 1990 and 2099."""
    text_format, digits = COMPACT[name]
    if numbers.dtype == pl.Float64:
        whole = numbers.cast(pl.Int64, strict=False)
        numbers = whole.set((whole.cast(pl.Float64) != numbers).fill_null(False), None)
    known = numbers.drop_nulls()
    first, last = (int(f"{year}0101" + "0" * (digits - 8)) for year in (1990, 2100))
    if known.is_empty() or not known.is_between(first, last).all():
        return None
    parsed = _strptime(numbers.cast(pl.String), text_format)
    if parsed.null_count() > numbers.null_count():
        return None
    return ParsedTimes(
        microseconds=parsed,
        implausible=_implausible(parsed),
        unparsable=pl.repeat(False, len(numbers), eager=True),
        reading=f"dates written as {name}",
    )


def _parse_by_format(column: pl.Series, text_format: str) -> ParsedTimes:
    """As the user says that the times are written."""
    given = column.is_not_null()
    if text_format == "excel":
        days = column.cast(pl.Float64, strict=False)
        microseconds = ((days * 86_400 + EXCEL_DAY_0) * MICROSECONDS_PER_SECOND).round()
        microseconds = microseconds.cast(pl.Int64, strict=False)
    else:
        pattern = COMPACT[text_format][0] if text_format in COMPACT else text_format
        if "%" not in pattern:
            raise InputError(
                f"there is no time format {text_format!r}; give a pattern such as %d/%m/%Y %H:%M, "
                f"or excel, {', '.join(COMPACT)}"
            )
        text = column.cast(pl.Int64) if column.dtype.is_float() else column
        microseconds = _strptime(text.cast(pl.String).str.strip_chars(), pattern)
    return ParsedTimes(
        microseconds=microseconds,
        unparsable=given & microseconds.is_null(),
        reading=f"{text_format}",
    )


def _strptime(text: pl.Series, pattern: str) -> pl.Series:
    """Int64 microseconds, null where the text is not of this pattern."""
    has_time = any(letter in pattern for letter in ("%H", "%I", "%T", "%R", "%s"))
    zone = "UTC" if "%z" in pattern or "%#z" in pattern else None
    try:
        if has_time:
            dates = text.str.to_datetime(pattern, strict=False, time_unit="us", time_zone=zone)
            return dates.dt.epoch("us")
        return text.str.to_date(pattern, strict=False).dt.epoch("us")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"the time format {pattern!r} cannot be used ({error})") from error


def _unit_by_size(numbers: pl.Series) -> TimeUnit:
    median = numbers.abs().median()
    size = float(median) if isinstance(median, int | float) else 0.0
    for unit, limit in (
        (TimeUnit.SECONDS, 1e11),
        (TimeUnit.MILLISECONDS, 1e14),
        (TimeUnit.MICROSECONDS, 1e17),
    ):
        if size < limit:
            return unit
    return TimeUnit.NANOSECONDS


def _same_unit(numbers: pl.Series, unit: TimeUnit) -> pl.Series:
    """Where a number is no plausible date of another unit; zeros and the like fit all units."""
    size = numbers.abs()
    per_second = UNITS_PER_SECOND[unit]
    fits = size < min(10**11 * per_second, INT64_MAX)
    if unit is not TimeUnit.SECONDS:
        fits &= (size >= IN_1973 * per_second) | (size < IN_1973)
    return fits.fill_null(False)


def _as_microseconds(numbers: pl.Series, per_second: int) -> pl.Series:
    if per_second > MICROSECONDS_PER_SECOND:
        scaled = numbers // (per_second // MICROSECONDS_PER_SECOND)
    else:
        scaled = numbers * (MICROSECONDS_PER_SECOND // per_second)
    if scaled.dtype == pl.Float64:
        scaled = scaled.floor()
    return scaled.cast(pl.Int64)


def _parse_text(column: pl.Series, unit: TimeUnit) -> ParsedTimes:
    text = column.str.strip_chars()
    text = text.set(text == "", None)
    whole = text.cast(pl.Int64, strict=False)
    broken = text.cast(pl.Float64, strict=False)
    is_number = broken.is_not_null()
    all_whole = whole.is_not_null().sum() == is_number.sum()
    numbers = _parse_numbers(whole if all_whole else broken, unit)
    dates = _parse_date_text(text.set(is_number, None))
    microseconds = numbers.microseconds.fill_null(dates)
    found = {numbers.reading: is_number, "text": dates.is_not_null()}
    readings = [name for name, rows in found.items() if rows.any()]
    return ParsedTimes(
        microseconds=microseconds,
        implausible=_implausible(microseconds) if unit is TimeUnit.AUTO else None,
        unparsable=text.is_not_null() & microseconds.is_null(),
        reading=" and ".join(readings) or "ISO 8601 text",
    )


def _parse_date_text(text: pl.Series) -> pl.Series:
    """Int64 microseconds, null where no format fits."""
    text = text.set(~text.str.contains(r"^\d{4}[-/]").fill_null(False), None)
    plain = text.str.replace(r"^([\d/-]{8,10})T", "${1} ").str.replace(r"\s*(Z|UTC)$", "+00:00")
    microseconds = pl.repeat(None, len(text), dtype=pl.Int64, eager=True)
    for text_format in TEXT_FORMATS:
        zone = "UTC" if text_format.endswith("z") else None
        dates = plain.str.to_datetime(text_format, strict=False, time_unit="us", time_zone=zone)
        microseconds = microseconds.fill_null(dates.dt.epoch("us"))
    return microseconds
