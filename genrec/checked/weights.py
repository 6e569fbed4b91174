"""Weights in safetensors: names, types and shapes are compared before anything is built of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor, nn

from genrec.checked.files import open_regular, read_regular
from genrec.errors import ArtifactError

__all__ = ["read_weights", "require_module", "weight_shapes"]


def weight_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a file, of which the header alone is read.

    Raises:
        ArtifactError: it is no such file, or its header contradicts its length.
    """
    os.close(open_regular(path))
    try:
        with safe_open(path, framework="pt") as weights:
            return {
                name: tuple(weights.get_slice(name).get_shape())
                for name in weights.keys()  # noqa: SIM118
            }
    except (SafetensorError, ValueError, OverflowError, MemoryError) as error:
        raise _no_weights(path, error) from error


def read_weights(
    path: Path, expected: Mapping[str, tuple[torch.dtype, tuple[int | None, ...]]] | None = None
) -> dict[str, Tensor]:
    """Every tensor of a file, all finite.

    Args:
        path: the file.
        expected: type and shape of each, None standing for any length; None takes all there are.

    Raises:
        ArtifactError: it is no such file, is not as expected, or has NaN or infinity in it.
    """
    try:
        weights = load(read_regular(path))
    except (SafetensorError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise _no_weights(path, error) from error
    if expected is not None:
        found = {name: (each.dtype, tuple(each.shape)) for name, each in weights.items()}
        if set(found) != set(expected):
            _refuse_names(path, set(found), set(expected))
        for name, (dtype, sizes) in expected.items():
            shape = found[name][1]
            fits = len(shape) == len(sizes) and all(
                size in (None, length) for size, length in zip(sizes, shape, strict=True)
            )
            if found[name][0] != dtype or not fits:
                raise ArtifactError(
                    f"{path}: {name} must be {dtype} {list(sizes)}, but is {found[name][0]} "
                    f"{list(shape)}; make it again"
                )
    for name, each in weights.items():
        if each.is_floating_point() and not bool(torch.isfinite(each).all()):
            raise ArtifactError(f"{path}: {name} has NaN or infinity in it; make it again")
    return weights


def _no_weights(path: Path, error: Exception) -> Exception:
    """What to raise: a file that the system has no memory for is not one that must be made anew."""
    if os.strerror(errno.ENOMEM) in str(error):
        return MemoryError(f"{path}: {error}")
    return ArtifactError(f"{path} holds no weights ({error}); make it again")


def require_module(path: Path, make: Callable[[], nn.Module]) -> None:
    """Raises an ArtifactError unless the weights at `path` are those of the module that is made.

    The module is made without memory (on the meta device), so that no size can fill any.

    Args:
        path: the weights.
        make: makes the module of its configuration.
    """
    try:
        with torch.device("meta"):
            module = make()
    except (ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        raise ArtifactError(
            f"{path}: its configuration cannot be ({error}); make it again"
        ) from error
    wanted = {name: tuple(each.shape) for name, each in module.state_dict().items()}
    found = weight_shapes(path)
    if set(found) != set(wanted):
        _refuse_names(path, set(found), set(wanted))
    for name, shape in wanted.items():
        if found[name] != shape:
            raise ArtifactError(
                f"{path}: its configuration says that {name} is {list(shape)}, but it is "
                f"{list(found[name])}; restore both from one copy, or make it again"
            )


def _refuse_names(path: Path, found: set[str], wanted: set[str]) -> None:
    missing, unknown = sorted(wanted - found), sorted(found - wanted)
    raise ArtifactError(
        f"{path}: {len(missing)} weight(s) are missing, as {missing[:3]}, {len(unknown)} are "
        f"unknown, as {unknown[:3]}; make it again"
    )
