"""Weights and an optimizer's moments as whole tensors, whether FSDP has sharded them or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    OptimizerStateType,
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

__all__ = [
    "is_sharded",
    "load_whole_moments",
    "load_whole_weights",
    "whole_moments",
    "whole_weights",
]

Weights = dict[str, Tensor]


def is_sharded(model: nn.Module) -> bool:
    """Whether each process holds only its rows of the parameters (FSDP2)."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def whole_weights(model: nn.Module) -> Weights:
    """Copies of parameters and buffers on the CPU.

    Of a sharded model they are gathered, by all processes together, and given to the main one; the
    others get nothing.
    """
    if is_sharded(model):
        gathered = cast(Weights, get_model_state_dict(model, options=_whole()))
        return {name: tensor.clone() for name, tensor in gathered.items()}
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in model.state_dict().items()
    }


def load_whole_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts back what `whole_weights` gave; every process has all of it."""
    if is_sharded(model):
        set_model_state_dict(model, dict(weights), options=_whole())
    else:
        model.load_state_dict(weights)


def whole_moments(model: nn.Module, optimizer: Optimizer) -> Weights:
    """The optimizer's state as `parameter.name` tensors on the CPU; AdamW keeps nothing else.

    Of a sharded model they are gathered as in `whole_weights`.
    """
    state: dict[str, dict[str, Any]]
    if is_sharded(model):
        found = get_optimizer_state_dict(model, _inner(optimizer), options=_whole())
        state = cast(dict[str, dict[str, Any]], found.get("state", {}))
    else:
        names = _trained_names(model, optimizer)
        state = {names[i]: each for i, each in optimizer.state_dict()["state"].items()}
    return {
        f"{parameter}.{name}": torch.as_tensor(value).detach().cpu().contiguous()
        for parameter, entries in state.items()
        for name, value in entries.items()
    }


def load_whole_moments(
    model: nn.Module, optimizer: Optimizer, moments: Mapping[str, Tensor]
) -> None:
    """Puts back what `whole_moments` gave; every process has all of it."""
    state: dict[str, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        parameter, name = key.rsplit(".", 1)
        state.setdefault(parameter, {})[name] = tensor
    if is_sharded(model):
        inner = _inner(optimizer)
        names = {parameter: name for name, parameter in model.named_parameters()}
        groups = [
            {**group, "params": [names[each] for each in group["params"]]}
            for group in inner.param_groups
        ]
        whole = cast(OptimizerStateType, {"state": state, "param_groups": groups})
        set_optimizer_state_dict(model, inner, whole, options=_whole())
        return
    numbers = {name: i for i, name in enumerate(_trained_names(model, optimizer))}
    present = optimizer.state_dict()
    present["state"] = {numbers[name]: entries for name, entries in state.items()}
    optimizer.load_state_dict(present)


def _trained_names(model: nn.Module, optimizer: Optimizer) -> list[str]:
    """The names of the optimizer's parameters, in the order of its state."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [names[each] for group in optimizer.param_groups for each in group["params"]]


def _inner(optimizer: Optimizer) -> Optimizer:
    """The optimizer without what accelerate puts around it, of which torch knows nothing."""
    inner: Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner


def _whole() -> StateDictOptions:
    return StateDictOptions(full_state_dict=True, cpu_offload=True)
