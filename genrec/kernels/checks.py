"""What every kernel asks of its tensors before it runs."""

from __future__ import annotations

from torch import Tensor, dtype

from genrec.errors import InputError

__all__ = ["check_devices", "check_dtype"]


def check_dtype(kernel: str, wanted: dtype, **tensors: Tensor) -> None:
    """All tensors have the wanted dtype; raises an `InputError` that names the first that has not.

    Args:
        kernel: the public function's name, for the message.
        wanted: their dtype.
        tensors: by the name of their argument.
    """
    for name, tensor in tensors.items():
        if tensor.dtype != wanted:
            raise InputError(
                f"{kernel} needs {wanted} {name}, got {tensor.dtype}; convert it with .to({wanted})"
            )


def check_devices(**tensors: Tensor) -> None:
    """All tensors are on one device; raises an `InputError` that names the first that is not.

    Args:
        tensors: by the name of their argument.
    """
    (first, some), *others = tensors.items()
    device = some.device
    for name, tensor in others:
        if tensor.device != device:
            raise InputError(
                f"{first} is on {device} and {name} on {tensor.device}; move one of them"
            )
