"""Stands for CUDA graphs where there is no GPU: runs the captured function again, watched."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

from genrec.kernels.beam_select import dispatch as select
from genrec.kernels.beam_self_attention import dispatch as attention
from genrec.kernels.trie_expand import dispatch as expand
from tests.generator.no_host import NoHost, unseen

Result = TypeVar("Result")


class Rerun:
    """A `Capture` that captures nothing; every run is held to what a graph could hold.

    As a graph's, a result lies where the one before lay, and is written over by the next replay.

    Args:
        watched: whether operators are looked at.
        pause: seconds after a replay, in which another thread may do what it should not.

    Attributes:
        runs: how often a captured function ran.
    """

    name = "run again"

    def __init__(self, *, watched: bool = True, pause: float = 0.0) -> None:
        self.runs, self.watched, self.pause = 0, watched, pause

    def __call__(self, run: Callable[[], Result]) -> Callable[[], Result]:
        given: list[Result] = []

        def replay() -> Result:
            self.runs += 1
            with NoHost(torch.device("cpu")) if self.watched else nullcontext():
                result = run()
            if not given:
                given.append(result)
            for name, value in vars(result).items():
                if isinstance(value, Tensor):
                    getattr(given[0], name).copy_(value)
            time.sleep(self.pause)
            return given[0]

        return replay


def exempt_cpu_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernels do on a CPU is not looked at: a GPU runs their Triton twins instead.

    Their public functions, which both ways go through, are.
    """
    for dispatch, name in (
        (select, "beam_select_torch"),
        (attention, "beam_self_attention_torch"),
        (expand, "trie_expand_torch"),
    ):
        monkeypatch.setattr(dispatch, name, unseen(getattr(dispatch, name)))


class NoLaunch:
    """Stands for a Triton kernel: launched, it does nothing; its outputs are the caller's."""

    def __init__(self) -> None:
        self.launches = 0

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*arguments: Any, **options: Any) -> None:
            self.launches += 1

        return launch
