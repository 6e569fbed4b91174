"""A configuration of JSON values: every value of its type, no key missing, none too many."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from genrec.checked import make_record
from genrec.errors import ArtifactError


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, kw_only=True)
class Inner:
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.share > 1:
            raise ValueError("share must be at most 1")


@dataclass(frozen=True, kw_only=True)
class Outer:
    size: int
    colour: Colour = Colour.RED
    names: tuple[str, ...] = ()
    widths: dict[str, int] | None = None
    flag: bool = False
    inner: Inner = field(default_factory=Inner)


def test_every_kind_of_value_is_made() -> None:
    values = {
        "size": 3,
        "colour": "red",
        "names": ["a", "b"],
        "widths": {"x": 1},
        "flag": True,
        "inner": {"share": 1},
    }
    expected = Outer(size=3, names=("a", "b"), widths={"x": 1}, flag=True, inner=Inner(share=1.0))
    assert make_record(Outer, values, "here") == expected
    assert make_record(Outer, {"size": 3, "widths": None}, "here") == Outer(size=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "here must be an object"),
        ({}, r"missing \['size'\]"),
        ({"size": 1, "more": 1}, r"unknown \['more'\]"),
        ({"size": True}, "here: size must be int"),
        ({"size": 1.0}, "here: size must be int"),
        ({"size": "1"}, "here: size must be int"),
        ({"size": 1 << 60}, "here: size must be int"),
        ({"size": 1, "colour": "blue"}, "here: colour must be Colour"),
        ({"size": 1, "colour": ["red"]}, "here: colour must be Colour"),
        ({"size": 1, "names": "ab"}, "here: names must be"),
        ({"size": 1, "names": [1]}, "here: names must be"),
        ({"size": 1, "widths": {"x": "1"}}, "here: widths must be"),
        ({"size": 1, "flag": 1}, "here: flag must be bool"),
        ({"size": 1, "inner": {"share": 2}}, "here: inner: share must be at most 1"),
        ({"size": 1, "inner": {"share": None}}, "here: inner: share must be float"),
        ({"size": 1, "inner": {"share": 10**400}}, "here: inner: share must be float"),
    ],
)
def test_what_a_field_cannot_have_is_named_with_its_place(values: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        make_record(Outer, values, "here")
