"""Configurations from JSON: every value of its type, no key missing and none too many."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from genrec.errors import ArtifactError

__all__ = ["get_value", "make_record"]

T = TypeVar("T")

GREATEST_INTEGER = 1 << 53
"""Beyond it, JSON's numbers are no whole numbers any more."""


def make_record(kind: type[T], values: object, place: str) -> T:
    """A dataclass of JSON values; what it checks itself when it is made is checked too.

    Args:
        kind: the dataclass.
        values: an object with its fields; those that have defaults may be missing.
        place: where it stands, for messages.

    Raises:
        ArtifactError: a key is unknown or missing, or a value is none that the field can have.
    """
    if not isinstance(values, Mapping):
        raise ArtifactError(f"{place} must be an object of names and values, got {values!r:.80}")
    assert dataclasses.is_dataclass(kind)
    fields = {each.name: each for each in dataclasses.fields(kind) if each.init}
    unknown = sorted(set(values) - set(fields))
    missing = [
        name
        for name, each in fields.items()
        if name not in values
        and each.default is dataclasses.MISSING
        and each.default_factory is dataclasses.MISSING
    ]
    if unknown or missing:
        raise ArtifactError(
            f"{place}: unknown {unknown}, missing {missing}; it was written by another version, "
            "or altered: make it again with --force"
        )
    hints = get_type_hints(kind)
    made = {name: get_value(hints[name], each, f"{place}: {name}") for name, each in values.items()}
    try:
        record: T = kind(**made)
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"{place}: {error}; make it again with --force") from error
    return record


def get_value(hint: Any, value: Any, place: str) -> Any:
    """A JSON value as what a field of this type holds.

    Args:
        hint: the type.
        value: what the JSON has.
        place: where it stands, for messages.

    Raises:
        ArtifactError: the field cannot have it.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return value
    if origin in (Union, types.UnionType):
        return _get_one_of(inner, value, place)
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return make_record(hint, value, place)
    if origin in (list, tuple) and isinstance(value, list):
        return origin(get_value(inner[0], each, place) for each in value)
    if origin in (dict, Mapping) and isinstance(value, dict):
        return {name: get_value(inner[1], each, place) for name, each in value.items()}
    if origin is None and _is_plain(hint, value):
        return hint(value)
    raise ArtifactError(
        f"{place} must be {getattr(hint, '__name__', hint)}, got {value!r:.80}; make it again with "
        "--force"
    )


def _get_one_of(hints: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and type(None) in hints:
        return None
    rest = [hint for hint in hints if hint is not type(None)]
    for hint in rest[:-1]:
        try:
            return get_value(hint, value, place)
        except ArtifactError:
            continue
    return get_value(rest[-1], value, place)


def _is_plain(hint: Any, value: Any) -> bool:
    if issubclass(hint, Enum):
        return isinstance(value, str) and value in [member.value for member in hint]
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and abs(value) <= GREATEST_INTEGER
    if hint is float:
        return isinstance(value, int | float) and abs(value) < 1e300 and math.isfinite(value)
    return hint is str and isinstance(value, str)
