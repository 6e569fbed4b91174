"""Which implementation runs: by device or by name, and never another than was chosen."""

from __future__ import annotations

import sys

import pytest
import torch

from genrec.errors import InputError, MissingDependencyError
from genrec.kernels import Backend
from genrec.kernels.backend import choose_backend

CPU, CUDA, META = torch.device("cpu"), torch.device("cuda", 0), torch.device("meta")


def test_the_device_chooses_where_nobody_does() -> None:
    assert choose_backend("kernel", CPU, None) is Backend.TORCH
    assert choose_backend("kernel", CUDA, None) is Backend.TRITON


def test_what_is_asked_for_is_chosen_whatever_the_device() -> None:
    assert choose_backend("kernel", CPU, Backend.TRITON) is Backend.TRITON
    assert choose_backend("kernel", CUDA, Backend.TORCH) is Backend.TORCH


def test_a_device_without_an_implementation_is_refused() -> None:
    with pytest.raises(InputError, match="kernel runs on cpu and cuda, not meta"):
        choose_backend("kernel", META, None)


def test_triton_that_is_not_installed_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(MissingDependencyError, match="pip install triton"):
        choose_backend("kernel", CUDA, None)
    assert choose_backend("kernel", CPU, None) is Backend.TORCH
