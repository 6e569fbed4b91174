"""What a CUDA graph forbids, checked where there is no GPU: operator by operator, as they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

WAITS_FOR_THE_HOST = {
    "_local_scalar_dense",  # item, int, bool, tolist, and what asks any() in an if
    "is_nonzero",
    "equal",
    "allclose",
    "_assert_async",
}
SHAPES_FROM_VALUES = {
    "nonzero",
    "nonzero_static",
    "argwhere",
    "masked_select",
    "_unique",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "unique_dim_consecutive",
    "bincount",
    "histc",
    "combinations",
}
COPIES_FROM_THE_HOST = {
    "lift_fresh",  # torch.tensor([...]): numbers of the host, copied at every replay
    "lift_fresh_copy",
    "lift",
    "random",
    "random_",
}
FORBIDDEN = WAITS_FOR_THE_HOST | SHAPES_FROM_VALUES | COPIES_FROM_THE_HOST


class ForbiddenOperatorError(AssertionError):
    """An operator that a CUDA graph cannot hold."""


class NoHost(TorchDispatchMode):
    """Raises at every operator that waits for the host, or whose shape depends on values.

    Args:
        device: where all tensors must be that operators read or make, but for single numbers that
            they read; None does not look at devices.

    Attributes:
        seen: the names of the operators that ran.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.seen: set[str] = set()

    def __torch_dispatch__(  # type: ignore[no-untyped-def]
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ):
        name = func.overloadpacket.__name__
        self.seen.add(name)
        kwargs = kwargs or {}
        if name in FORBIDDEN:
            raise ForbiddenOperatorError(f"{func} waits for the host, or makes shapes of values")
        self._check_indices(name, args)
        self._check_sizes(func, kwargs)
        with self:  # an operator made of others is these others, each looked at
            found = func.decompose(*args, **kwargs)
        if found is NotImplemented:
            found = func(*args, **kwargs)
        self._check_devices(func, tree_leaves((args, kwargs)), read=True)
        self._check_devices(func, tree_leaves(found), read=False)
        return found

    def _check_indices(self, name: str, args: Sequence[Any]) -> None:
        indexes = name in {"index", "index_put", "index_put_", "_index_put_impl_"}
        if indexes and any(torch.is_tensor(each) and each.dtype == torch.bool for each in args[1]):
            raise ForbiddenOperatorError(f"{name} by a mask makes shapes of values")

    def _check_sizes(self, func: Any, kwargs: dict[str, Any]) -> None:
        if func is torch.ops.aten.repeat_interleave.Tensor:
            raise ForbiddenOperatorError("repeat_interleave by counts makes shapes of values")
        if kwargs.get("pin_memory"):
            raise ForbiddenOperatorError(f"{func} asks the host for memory")

    def _check_devices(self, func: Any, leaves: Sequence[Any], *, read: bool) -> None:
        for each in leaves:
            if self.device is None or not isinstance(each, Tensor) or each.device == self.device:
                continue
            if not (read and each.ndim == 0):
                raise ForbiddenOperatorError(f"{func}: a tensor is on {each.device}")


def unseen(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose own operators no mode looks at."""

    def run(*args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():
            return function(*args, **kwargs)

    return run
