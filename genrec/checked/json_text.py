"""JSON from a file that may be anybody's: a value, or an error that names the file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from genrec.checked.files import read_regular
from genrec.errors import ArtifactError

__all__ = ["parse_json", "read_json"]


def parse_json(text: str | bytes, place: str) -> Any:
    """The value that a JSON text stands for; finite numbers, no key twice.

    Args:
        text: the JSON.
        place: where it stands, for messages.

    Raises:
        ArtifactError: it is no JSON, is nested too deeply, names a key twice, or has a number that
            no computation can use.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_require_single,
            parse_constant=_refuse_number,
            parse_float=_require_finite,
        )
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ArtifactError(
            f"{place} cannot be read ({reason}); restore it from a copy, or make it again"
        ) from error


def read_json(path: Path) -> Any:
    """The value of a JSON file; see `parse_json`."""
    return parse_json(read_regular(path), str(path))


def _require_single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return record


def _require_finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is too large")
    return value


def _refuse_number(text: str) -> float:
    raise ValueError(f"{text} is no number that can be used")
