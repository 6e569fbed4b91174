"""Which formats of time the values of a column would fit: for a person to choose from."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, date, datetime, timedelta

import polars as pl

__all__ = ["fitting_formats", "tell_formats"]

DATES = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%d{0}%m{0}%y", "%m{0}%d{0}%y", "%y{0}%m{0}%d")
NAMED_DATES = ("%d{0}%b{0}%Y", "%d{0}%B{0}%Y", "%b{0}%d,{0}%Y", "%d{0}%b{0}%y")
TIMES = ("", "%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "%H:%M:%S%.f", "%H:%M:%S %z")
BETWEEN = ("/", "-", ".", " ")
WHOLE = ("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %z %Y", "%d/%b/%Y:%H:%M:%S %z")
"""Those of C's ctime, of Twitter, and of web servers' logs."""
SHAPES = {
    "%d": r"\d{1,2}",
    "%m": r"\d{1,2}",
    "%y": r"\d{2}",
    "%Y": r"\d{4}",
    "%b": r"[A-Za-z]{3}",
    "%B": r"[A-Za-z]{3,}",
    "%a": r"[A-Za-z]{3}",
    "%H": r"\d{1,2}",
    "%I": r"\d{1,2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
    "%.f": r"\.\d+",
    "%p": r"[AaPp][Mm]",
    "%z": r"[+-]\d{2}:?\d{2}",
}
"""What may stand for each part; the parser itself takes a year of two digits for the year 23."""
PART = re.compile("|".join(map(re.escape, sorted(SHAPES, key=len, reverse=True))))
VALUES_TRIED = 500
"""Before all of them are: most formats fit none."""


def fitting_formats(values: pl.Series) -> list[str]:
    """The formats by which each of these texts is a time of the past.

    Args:
        values: texts, nulls are passed over.
    """
    known = values.drop_nulls().str.strip_chars()
    if known.is_empty():
        return []
    few = known.gather_every(1 + len(known) // VALUES_TRIED)
    likely = [each for each in _candidates() if _fits(few, each)]
    found = [each for each in likely if _fits(known, each)]
    # %B takes short names of months too.
    return [each for each in found if each.replace("%B", "%b") == each or "%b" not in str(found)]


def tell_formats(values: pl.Series) -> str:
    """What to say for these texts, in words; empty where nothing common fits them."""
    if values.dtype != pl.String:
        return ""
    found = [f"--time-format '{each}'" for each in fitting_formats(values)]
    if not found:
        return ""
    if len(found) == 1:
        return f"all of them fit {found[0]}"
    return f"all of them fit {' and '.join(found)}: say which it is"


def _candidates() -> list[str]:
    dates = [
        pattern.format(between)
        for pattern, between in itertools.product((*DATES, *NAMED_DATES), BETWEEN)
        if between != " " or pattern in NAMED_DATES
    ]
    timed = [f"{each} {time}".strip() for each, time in itertools.product(dates, TIMES)]
    return [*timed, *WHOLE]


def _fits(texts: pl.Series, text_format: str) -> bool:
    literals = PART.split(text_format)
    parts = [SHAPES[part] for part in PART.findall(text_format)]
    shape = "".join(
        re.escape(literal) + part
        for literal, part in itertools.zip_longest(literals, parts, fillvalue="")
    )
    if not texts.str.contains(f"^{shape}$").all():
        return False
    try:
        if "%H" in text_format or "%I" in text_format:
            zone = "UTC" if "%z" in text_format else None
            parsed = texts.str.to_datetime(text_format, strict=False, time_zone=zone)
        else:
            parsed = texts.str.to_date(text_format, strict=False)
    except pl.exceptions.PolarsError:
        return False
    latest = parsed.max()
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    is_past = isinstance(latest, date) and date(latest.year, latest.month, latest.day) <= tomorrow
    return is_past and not parsed.null_count()
