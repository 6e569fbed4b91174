"""What a text encoder reads of an item: nested values, markup and entities become words."""

from __future__ import annotations

import ast
import html
import json
import math
import re
from collections.abc import Iterable, Mapping

__all__ = ["is_index_column", "join_words", "read_words"]

INDEX_COLUMN = re.compile(
    r"(Unnamed: ?\d+(\.\d+|_level_\d+)?|index|level_\d+|__index_level_\d+__|)"
)
"""Names that other libraries give to the numbers of rows."""
TAG = re.compile(
    r"</?(?:a|abbr|article|b|big|blockquote|body|br|center|code|dd|div|dl|dt|em|font|footer|"
    r"h[1-6]|head|header|hr|html|i|img|ins|li|meta|ol|p|pre|s|script|section|small|span|strike|"
    r"strong|style|sub|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|video)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
"""Elements of HTML by name, so that `a < b` and `List<T>` stay what they are."""
LONGEST_LITERAL = 100_000
"""Characters of a text that is looked at as a list or dictionary."""


def is_index_column(name: str) -> bool:
    """Whether a column of this name numbers the rows and says nothing of the items."""
    return INDEX_COLUMN.fullmatch(name.strip()) is not None


def join_words(item_id: str, title: object, attributes: Mapping[str, object]) -> str:
    """The title, then `name: words` per attribute; the id where there is no word."""
    parts = [clean(title) if isinstance(title, str) else read_words(title)]
    for name, value in attributes.items():
        words = read_words(value)
        says_something = re.search(r"\w", words) is not None  # a dash stands for nothing
        parts.append(f"{name}: {words}" if says_something else "")
    return ". ".join(part for part in parts if part) or item_id


def read_words(value: object) -> str:
    """A value in words; empty where it says nothing.

    Lists are joined by commas, dictionaries as `key: words`; nulls, NaN and bytes are left out, at
    every depth. A text that is a list or dictionary in JSON or Python is read as one.
    """
    if value is None or isinstance(value, bytes):
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    if isinstance(value, str):
        nested = read_nested(value)
        return clean(value) if nested is None else read_words(nested)
    if isinstance(value, Mapping):
        pairs = ((clean(str(key)), read_words(entry)) for key, entry in value.items())
        return ", ".join(f"{key}: {words}" if key else words for key, words in pairs if words)
    if isinstance(value, Iterable):
        return ", ".join(words for entry in value if (words := read_words(entry)))
    return str(value)


def read_nested(text: str) -> list[object] | dict[object, object] | None:
    """The list or dictionary that a text is in JSON or Python; None where it is neither."""
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "{}") or len(text) > LONGEST_LITERAL:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(value, list | dict):
            return value
    return None


def clean(text: str) -> str:
    """The text without HTML elements, entities and runs of blanks."""
    return " ".join(TAG.sub(" ", html.unescape(text)).split())
