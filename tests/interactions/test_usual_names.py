"""A column of a usual name is suggested, whatever its case."""

from __future__ import annotations

import pytest

from genrec.interactions.usual_names import suggest_column


@pytest.mark.parametrize(
    ("option", "columns", "suggestion"),
    [
        ("--user", ["userId", "movieId"], ", such as --user userId"),
        ("--item", ["userId", "movieId"], ", such as --item movieId"),
        ("--user", ["Customer ID", "x"], ", such as --user 'Customer ID'"),
        ("--item", ["type", "properties", "properties.product_id"], ", such as --item "),
        ("--time", ["a", "event_timestamp"], ", such as --time event_timestamp"),
        ("--user", ["a", "b"], ""),
        ("--value", ["value"], ""),
    ],
)
def test_a_usual_name_is_suggested(option: str, columns: list[str], suggestion: str) -> None:
    assert suggest_column(option, columns).startswith(suggestion)
    assert bool(suggest_column(option, columns)) == bool(suggestion)


def test_the_likeliest_comes_first() -> None:
    assert suggest_column("--user", ["session_id", "user_id"]) == ", such as --user user_id"
