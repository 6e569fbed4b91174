"""Options that several programs take: declared once, as the fields of a record."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typer.models import OptionInfo

__all__ = ["OptionRecord", "Prefixed", "takes_records"]

Command = Callable[..., None]


class OptionRecord:
    """The base of dataclasses whose fields are options, or further such records."""


@dataclass(frozen=True)
class Prefixed:
    """Marks a record whose options carry a prefix: `--items-separator` for `separator`.

    Fields of such a record are not to name their own options, for these would have none.
    """

    prefix: str
    """Before the name of each option, such as `items`."""
    about: str
    """Whom these options are for, as --help says it in front of each, such as `Of --items`."""


@dataclass(frozen=True)
class _Place:
    """A record that a command asks for, with the parameters that it becomes."""

    record: type[OptionRecord]
    options: Mapping[str, str]
    """Field -> the name of its parameter."""
    places: Mapping[str, _Place]
    """Field -> the record that it holds."""

    def make(self, given: dict[str, Any]) -> OptionRecord:
        """The record, out of the arguments, which are taken away."""
        values = {field: given.pop(name) for field, name in self.options.items()}
        return self.record(**values, **{f: place.make(given) for f, place in self.places.items()})


def takes_records(function: Command) -> Command:
    """The same command, with the options of a record in place of each parameter that is one."""
    hints = get_type_hints(function, include_extras=True)
    places: dict[str, _Place] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        record, prefix = _record_of(hint)
        if record is None:
            parameters.append(_parameter(parameter.name, hint, parameter.default))
        else:
            places[parameter.name] = _expand(record, prefix, parameters)

    @functools.wraps(function)
    def command(**given: Any) -> None:
        function(**{name: place.make(given) for name, place in places.items()}, **given)

    vars(command).pop("__wrapped__")
    vars(command)["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _expand(
    record: type[OptionRecord], prefix: Prefixed | None, parameters: list[inspect.Parameter]
) -> _Place:
    """Adds the options of a record to the parameters of a command."""
    options: dict[str, str] = {}
    places: dict[str, _Place] = {}
    for name, hint, default in _fields_of(record):
        inner, inner_prefix = _record_of(hint)
        if inner is not None:
            places[name] = _expand(inner, inner_prefix or prefix, parameters)
            continue
        options[name] = name if prefix is None else f"{prefix.prefix}_{name}"
        shown = hint if prefix is None else _explained(hint, prefix)
        parameters.append(_parameter(options[name], shown, default))
    return _Place(record=record, options=options, places=places)


def _fields_of(record: type[OptionRecord]) -> Iterator[tuple[str, Any, Any]]:
    """Name, type and default of each field; `inspect`'s mark where there is no default."""
    hints = get_type_hints(record, include_extras=True)
    for field in fields(record):  # type: ignore[arg-type]  # every record is a dataclass
        has_default = field.default is not MISSING
        yield field.name, hints[field.name], field.default if has_default else inspect._empty


def _record_of(hint: Any) -> tuple[type[OptionRecord] | None, Prefixed | None]:
    """The record that an annotation asks for, if it is one, and its prefix."""
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    kind = get_args(hint)[0] if marks else hint
    if not (isinstance(kind, type) and issubclass(kind, OptionRecord)):
        return None, None
    return kind, next((mark for mark in marks if isinstance(mark, Prefixed)), None)


def _explained(hint: Any, prefix: Prefixed) -> Any:
    kind, option = get_args(hint)
    assert isinstance(option, OptionInfo)
    assert not option.param_decls, f"{option.param_decls} would lose their prefix"
    explained = copy(option)
    sentence = option.help or ""
    explained.help = f"{prefix.about}: {sentence[:1].lower()}{sentence[1:]}"
    return Annotated[kind, explained]


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )
