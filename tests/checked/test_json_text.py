"""JSON from anybody: a value that can be used, or an error that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrec.checked import parse_json, read_json
from genrec.errors import ArtifactError


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": 1, "a": 2}'),
        *("[" * 100_000, '{"a":' * 100_000, "1" * 10_000),
    ],
)
def test_what_is_no_usable_json_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"config\.json cannot be read"):
        read_json(tmp_path / "config.json")


def test_values_come_back_as_they_are() -> None:
    assert parse_json('{"a": [1, 2.5, null, "\\u00fc"]}', "here") == {"a": [1, 2.5, None, "ü"]}
