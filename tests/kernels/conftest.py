"""Runs Triton kernels where there is no GPU, on the interpreter, and compiles them for one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Protocol, TypeVar, cast

import pytest
import torch
from torch import Tensor

from tests.kernels.ptx import ptx_of

Result = TypeVar("Result", Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor, Tensor])


class RunKernel(Protocol):
    """Calls a kernel's function on the Triton backend; tensors come and go on the CPU."""

    def __call__(
        self, function: Callable[..., Result], *tensors: Tensor, **options: object
    ) -> Result:
        """What `function(*tensors, **options)` gives."""


class CompileKernel(Protocol):
    """Compiles a kernel for an H100, with or without one."""

    def __call__(
        self, module: str, kernel: str, signature: dict[str, str], constants: dict[str, object]
    ) -> str:
        """See `ptx_of`."""


@pytest.fixture(scope="session")
def compile_for_sm_90(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompileKernel]:
    """In a process of its own, where Triton compiles whatever the other tests do."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        with pytest.MonkeyPatch.context() as environment:
            environment.delenv("TRITON_INTERPRET", raising=False)
            environment.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
            pool.submit(int).result()
        yield lambda *arguments: pool.submit(ptx_of, *arguments).result()


@pytest.fixture(scope="session")
def run_kernel() -> Iterator[RunKernel]:
    """On the GPU where there is one, else on the interpreter.

    Triton decides when it is first imported whether kernels are compiled or interpreted, and other
    tests may have imported it by now: hence a fresh process.
    """
    if torch.cuda.is_available():
        yield _run_on_gpu
        return
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TRITON_INTERPRET", "1")
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
            pool.submit(int).result()
            yield lambda function, *tensors, **options: pool.submit(
                function, *tensors, **options
            ).result()


def _run_on_gpu(function: Callable[..., Result], *tensors: Tensor, **options: object) -> Result:
    moved = {
        name: option.cuda() if isinstance(option, Tensor) else option
        for name, option in options.items()
    }
    found = function(*(tensor.cuda() for tensor in tensors), **moved)
    return cast("Result", _on_cpu(found))


def _on_cpu(found: object) -> object:
    if isinstance(found, Tensor):
        return found.cpu()
    assert isinstance(found, tuple)
    return tuple(map(_on_cpu, found))
