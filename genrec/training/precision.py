"""What a step is computed in: as asked, or as `accelerate launch` says; never what is emulated."""

from __future__ import annotations

import os

import torch

from genrec.errors import InputError
from genrec.training.config import Precision

__all__ = ["autocast", "chosen_precision", "has_bf16"]

LAUNCHED_PRECISION = "ACCELERATE_MIXED_PRECISION"
"""Where `accelerate launch` leaves `mixed_precision` for the programs that it starts."""


def chosen_precision(asked: Precision | None) -> Precision:
    """What was asked for; else what `accelerate launch` was configured with; else fp32.

    Raises:
        InputError: `accelerate launch` is configured with a precision that is neither.
    """
    if asked is not None:
        return asked
    launched = os.environ.get(LAUNCHED_PRECISION, "no")
    if launched == "no":
        return Precision.FP32
    try:
        return Precision(launched)
    except ValueError:
        raise InputError(
            f"mixed_precision {launched} of accelerate's configuration is not trained in: "
            "set it to 'no' or 'bf16'"
        ) from None


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; what only emulates it is slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context in which a model's forward computes at this precision.

    Raises:
        InputError: the device has no bf16.
    """
    if precision is Precision.BF16 and not has_bf16(device):
        raise InputError(
            f"precision bf16: this {device.type} does not multiply bfloat16 itself, and emulating "
            "it is slower than fp32; train with precision fp32"
        )
    return torch.autocast(device.type, torch.bfloat16, enabled=precision is Precision.BF16)
