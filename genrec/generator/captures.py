"""What makes a function on fixed buffers one CUDA graph, to be replayed without Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

import torch

from genrec.errors import InputError

__all__ = ["Capture", "CudaGraphs"]

WARM_UPS = 3
"""Runs before the capture: kernels are compiled and libraries have their workspaces after them."""

Result = TypeVar("Result")


class Capture(Protocol):
    """Turns a function into one that does the same again, on the same memory."""

    @property
    def name(self) -> str:
        """As answers and the log name it."""

    def __call__(self, run: Callable[[], Result]) -> Callable[[], Result]:
        """What runs `run` again.

        Args:
            run: reads tensors that stay where they are, neither waits for the device nor makes
                shapes of what it reads, and gives tensors.

        Returns:
            A function that gives the result for what the tensors hold when it is called. What it
            gave before may be overwritten by then, and by every other replay of this `Capture`:
            read it first. No two replays may run at once.
        """


class _Graph(Generic[Result]):
    """A captured function, and what it gives."""

    def __init__(self, graph: torch.cuda.CUDAGraph, result: Result) -> None:
        self.graph, self.result = graph, result

    def __call__(self) -> Result:
        self.graph.replay()
        return self.result


class CudaGraphs:
    """Captures CUDA graphs that share their memory.

    Args:
        device: a CUDA device.

    Raises:
        InputError: it is none, or there is none.
    """

    name = "cuda graph"

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda" or not torch.cuda.is_available():
            raise InputError(
                f"CUDA graphs need a CUDA device, the model is on {device}; use GeneratorSource "
                "there, which answers the same"
            )
        self.device = device
        self._live: WeakSet[_Graph[Any]] = WeakSet()

    def __call__(self, run: Callable[[], Result]) -> Callable[[], Result]:
        """See `Capture`; what `run` makes on the way lies in the graphs' common memory."""
        with torch.cuda.device(self.device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    run()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile: what they do is not in the graph.
            with torch.cuda.graph(graph, pool=self._pool(), capture_error_mode="thread_local"):
                result = run()
        captured = _Graph(graph, result)
        self._live.add(captured)
        return captured

    def _pool(self) -> Any:
        """Of a graph that is still there; None, and so a new one, where none is.

        A pool ends with its last graph, and must not be asked for afterwards.
        """
        return next((captured.graph.pool() for captured in self._live), None)
