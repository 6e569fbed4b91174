"""A history as one line of text: what a person types, and what a program shows them to type."""

from __future__ import annotations

import json
from collections.abc import Sequence

from genrec.errors import InputError
from genrec.interactions import as_id

__all__ = ["format_history", "parse_history"]


def parse_history(text: str) -> list[str]:
    """The item ids in `a,b,c`, or in a JSON list where ids have commas in them.

    Raises:
        InputError: it begins with a bracket and is no JSON list of ids.
    """
    if not text.lstrip().startswith("["):
        return [item_id.strip() for item_id in text.split(",") if item_id.strip()]
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{text!r} is no JSON list ({error}); ids that begin with a bracket or hold commas are "
            'written ["a","b"]'
        ) from error
    try:
        return [as_id(item_id) for item_id in ids]
    except InputError as error:
        raise InputError(f"{text!r} is no list of item ids: {error}") from error


def format_history(item_ids: Sequence[str]) -> str:
    """What `parse_history` reads as these ids: a,b,c, or a JSON list where that would differ."""
    plain = ",".join(item_ids)
    is_plain = not plain.startswith(("[", "-")) and parse_history(plain) == list(item_ids)
    return plain if is_plain else json.dumps(list(item_ids), ensure_ascii=False)
