"""What a program shows a person to type is read as it was meant."""

from __future__ import annotations

import pytest

from genrec.errors import InputError
from genrec.funnel import format_history, parse_history


@pytest.mark.parametrize(
    "item_ids",
    [
        ["50", "172", "181"],
        ["C,3", "d 4", 'f"7'],
        ["[b7]", "x", "y"],
        ["-5", "a", "b"],
        [" A", "B ", "C"],
        ["x", "", "y"],
        ["😀8", "g'9", "e/6"],
        [],
    ],
)
def test_a_history_that_is_shown_is_read_as_it_was(item_ids: list[str]) -> None:
    assert parse_history(format_history(item_ids)) == item_ids


def test_plain_ids_are_shown_plainly() -> None:
    assert format_history(["50", "172"]) == "50,172"
    assert parse_history("[50, 172.0]") == ["50", "172"]
    assert format_history(["C,3", "Ж"]) == '["C,3", "Ж"]'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[b7],x", r"'\[b7\],x' is no JSON list"),
        ('["a", null]', "no list of item ids: .*None"),
        ('["a", ["b"]]', "no list of item ids"),
        ("[true]", "no list of item ids: .*True"),
    ],
)
def test_a_list_that_holds_no_ids_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_history(text)
