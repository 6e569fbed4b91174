"""Items as they are given to a store: ids, titles and vectors that can be read again, or errors."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.errors import InputError
from genrec.interactions import as_id

__all__ = ["is_item_id", "is_text", "require_content", "require_item_ids", "require_titles"]

Floats = npt.NDArray[np.float32]


def is_text(value: object) -> bool:
    """Whether this is a text that every file can hold: lone surrogates cannot be written."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_item_id(value: object) -> bool:
    """Whether this can be the id of an item: a text, not blank, without control characters."""
    return (
        isinstance(value, str)
        and bool(value.strip())
        and is_text(value)
        and not any(unicodedata.category(letter) == "Cc" for letter in value)
    )


def require_item_ids(item_ids: Sequence[Any]) -> list[str]:
    """These ids as plain texts, all different.

    Raises:
        InputError: one is no id, or stands there twice.
    """
    if isinstance(item_ids, str):
        raise InputError(f"item ids are a list, not one text; write [{item_ids!r}]")
    given = [_as_text(item_id) for item_id in item_ids]
    broken = [row for row, item_id in enumerate(given) if not is_item_id(item_id)]
    if broken:
        empty = [row for row in broken if not str(given[row]).strip()]
        if empty:
            raise InputError(f"the item ids of rows {empty[:5]} are empty; name each item")
        named = [given[row] for row in broken[:5]]
        raise InputError(
            f"{len(broken)} item id(s) are no ids, as {named!r} in rows {broken[:5]}; an id is a "
            "number, or a text without control characters or lone surrogates"
        )
    twice = [item_id for item_id, count in Counter(given).items() if count > 1]
    if twice:
        raise InputError(
            f"{len(twice)} item id(s) stand in one call more than once, as {twice[:5]}; give each "
            "item once"
        )
    return [str(item_id) for item_id in given]


def _as_text(item_id: object) -> object:
    """The id by the one rule for ids; what is none stays what it is, and is named."""
    try:
        return as_id(item_id)
    except InputError:
        return item_id


def require_titles(titles: Sequence[Any] | None, num_items: int) -> list[str | None]:
    """A title for each item, None where it has none.

    Raises:
        InputError: one is no text, or there are more or fewer than items.
    """
    if titles is None:
        return [None] * num_items
    given = [titles] if isinstance(titles, str) else list(titles)
    broken = [row for row, title in enumerate(given) if not (title is None or is_text(title))]
    if isinstance(titles, str) or len(given) != num_items or broken:
        raise InputError(
            f"titles must be a text or None for each of the {num_items} item ids, got "
            f"{len(given)}: {[given[row] for row in (broken or range(len(given)))[:5]]!r}"
        )
    return [None if title is None else str(title) for title in given]


def require_content(content: Any, item_ids: Sequence[str], width: int) -> Floats:
    """The vectors, float32 [n, width], all finite.

    Raises:
        InputError: they are none.
    """
    if not isinstance(content, np.ndarray):
        raise InputError(
            f"content must be a float32 array [{len(item_ids)}, {width}], got "
            f"{type(content).__name__}; convert it with np.asarray(content, dtype=np.float32)"
        )
    if content.dtype != np.float32 or content.ndim != 2 or len(content) != len(item_ids):
        raise InputError(
            f"content must be float32 [n, D] with a row for each of the {len(item_ids)} item ids, "
            f"got {content.dtype} {list(content.shape)}"
        )
    if content.shape[1] != width:
        raise InputError(
            f"content must be [n, {width}] as in the fit of these ids, got "
            f"{list(content.shape)}; use the text encoder that the run used"
        )
    broken = np.flatnonzero(~np.isfinite(content).all(axis=1))
    if broken.size:
        raise InputError(
            f"{broken.size} item(s) have NaN or infinity in their content vectors, the first "
            f"{[item_ids[row] for row in broken[:5]]} in rows {broken[:5].tolist()}; mend or drop "
            "these items"
        )
    return content
