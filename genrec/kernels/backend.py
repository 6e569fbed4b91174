"""Which implementation of a kernel runs: chosen by the tensors' device, or by name."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec

import torch

from genrec.errors import InputError, MissingDependencyError

__all__ = ["Backend", "choose_backend"]


class Backend(StrEnum):
    """Which implementation runs."""

    TORCH = "torch"
    TRITON = "triton"


def choose_backend(kernel: str, device: torch.device, wanted: Backend | None) -> Backend:
    """What is wanted; where nothing is, Triton for CUDA tensors and PyTorch for CPU tensors.

    Args:
        kernel: the public function's name, for messages.
        device: of the kernel's tensors.
        wanted: None leaves the choice to the device.

    Raises:
        InputError: the device has no implementation.
        MissingDependencyError: Triton is to run and is not installed.
    """
    backend = _backend_of(kernel, device) if wanted is None else wanted
    if backend is Backend.TRITON and find_spec("triton") is None:
        raise MissingDependencyError(
            f"{kernel} runs on a GPU by Triton, which is not installed: pip install triton, "
            "or move the tensors to the CPU"
        )
    return backend


def _backend_of(kernel: str, device: torch.device) -> Backend:
    match device.type:
        case "cuda":
            return Backend.TRITON
        case "cpu":
            return Backend.TORCH
    raise InputError(f"{kernel} runs on cpu and cuda, not {device.type}; move the tensors")
