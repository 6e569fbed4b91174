"""Whether what stands at a place is what was asked for, or something that must not be lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genrec.artifacts.folders import Artifact, as_json, read, refuse_what_is_not_ours
from genrec.errors import ArtifactError, InputError

__all__ = ["is_current", "refuse_other_settings"]

SETTINGS_TOLD = 4
LONGEST_SETTING = 60
"""Characters of a value in a message."""


def is_current(
    path: Path | str,
    *,
    kind: str,
    config: Mapping[str, Any],
    seed: int | None = None,
    parents: Mapping[str, Artifact] | None = None,
) -> bool:
    """Whether an intact artefact stands at `path` that was made with just these ingredients."""
    try:
        artifact = read(path, kind=kind)
    except ArtifactError:
        return False
    digests = {name: parent.digest for name, parent in (parents or {}).items()}
    return (
        dict(artifact.config) == as_json(config)
        and artifact.seed == seed
        and dict(artifact.parents) == digests
    )


def refuse_other_settings(
    path: Path | str,
    *,
    kind: str,
    config: Mapping[str, Any],
    seed: int | None = None,
    parents: Mapping[str, Artifact] | None = None,
) -> None:
    """Refuses to replace in silence what was made of the same parents with other settings.

    What was made from other parents, or is broken, is of no use any more and may be replaced.

    Raises:
        InputError: that is what stands at `path`.
        ArtifactError: an artefact of another kind stands there.
    """
    path = Path(path)
    refuse_what_is_not_ours(path, kind)
    try:
        artifact = read(path, kind=kind)
    except ArtifactError:
        return
    if dict(artifact.parents) != {name: each.digest for name, each in (parents or {}).items()}:
        return
    before = _flattened({"seed": artifact.seed, **artifact.config})
    after = _flattened({"seed": seed, **as_json(config)})
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if names:
        told = [f"{name}: {_told(before, name)} -> {_told(after, name)}" for name in names]
        raise InputError(
            f"{path} was made with other settings ({'; '.join(told[:SETTINGS_TOLD])}); replace it "
            "with --force, or name another place"
        )


def _flattened(settings: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Names such as `model.width` for what stands inside of settings."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flattened(value, f"{place}{name}.")
        else:
            flat[place + name] = value
    return flat


def _told(settings: Mapping[str, Any], name: str) -> str:
    if name not in settings:
        return "not set"
    text = json.dumps(settings[name], ensure_ascii=False)
    return text if len(text) <= LONGEST_SETTING else f"{text[:LONGEST_SETTING]}…"
