"""Work on several processes: what the main one finds, all get, and each does its share of the rest.

Alone, a process does everything itself, and nothing is ever sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from accelerate import PartialState
from torch import Tensor

from genrec import console
from genrec.errors import GenrecError

__all__ = [
    "as_main_drew",
    "from_main",
    "gathered",
    "own_share",
    "processes",
    "progress",
    "summed",
]

Tensors = dict[str, Tensor]
Scalar = TypeVar("Scalar", bound=np.generic)

LONGEST_WAIT = timedelta(days=1)
"""How long processes wait for what one of them does alone; torch's own default is too short."""


def processes() -> PartialState:
    """This process among those that `accelerate launch` or `torchrun` started, or alone."""
    # Without a GPU, accelerate sees that there are several processes only if told to use the CPU.
    return PartialState(cpu=not torch.accelerator.is_available(), timeout=LONGEST_WAIT)


def from_main(compute: Callable[[], Tensors]) -> Tensors:
    """What `compute` gives on the main process, on all of them; the others do not call it.

    Args:
        compute: gives tensors on the CPU, by name.

    Raises:
        GenrecError: it failed on the main process, which raises its own error.
    """
    state = processes()
    if state.num_processes == 1:
        return compute()
    if not state.is_main_process:
        return _received()
    try:
        found = compute()
    except Exception as error:
        _send(str(error).encode(), failed=True)
        raise
    _send(safetensors.torch.save({name: each.contiguous() for name, each in found.items()}))
    return found


def as_main_drew(drawn: Tensor) -> Tensor:
    """As `drawn`: what the main process drew, on all of them, which must all call this.

    For what is drawn once for all, such as which items a training step leaves out.
    """
    if processes().num_processes == 1:
        return drawn
    # Not every backend can send bool.
    sent = drawn.to(torch.uint8) if drawn.dtype == torch.bool else drawn.contiguous()
    torch.distributed.broadcast(sent, src=0)
    return sent.to(drawn.dtype)


def summed(values: list[float]) -> list[float]:
    """The sums over all processes, on all of them, of as many numbers as each has."""
    state = processes()
    if state.num_processes == 1:
        return values
    sent = torch.tensor(values, dtype=torch.float64, device=state.device)
    torch.distributed.all_reduce(sent)
    return [float(value) for value in sent]


def own_share(num_items: int) -> slice:
    """This process's rows of 0…N-1: contiguous, as many as the others have, or one more or less."""
    state = processes()
    return _share(num_items, state.process_index, state.num_processes)


def gathered(share: npt.NDArray[Scalar], num_items: int) -> npt.NDArray[Scalar]:
    """The shares [n, …] of all processes in one array [N, …], on all of them.

    Args:
        share: what this process has of its `own_share`.
        num_items: N.
    """
    state = processes()
    if state.num_processes == 1:
        return share
    row_bytes = share.itemsize * math.prod(share.shape[1:])
    longest = -(-num_items // state.num_processes)
    # As bytes: not every backend can send every dtype. All send the same length.
    padded = np.zeros((longest, row_bytes), dtype=np.uint8)
    padded[: len(share)] = np.ascontiguousarray(share).view(np.uint8).reshape(len(share), row_bytes)
    sent = torch.from_numpy(padded).to(state.device)
    received = [torch.empty_like(sent) for _ in range(state.num_processes)]
    torch.distributed.all_gather(received, sent)
    whole = np.empty((num_items, *share.shape[1:]), dtype=share.dtype)
    for index, each in enumerate(received):
        rows = _share(num_items, index, state.num_processes)
        content = each[: rows.stop - rows.start].cpu().numpy().view(share.dtype)
        whole[rows] = content.reshape(len(content), *share.shape[1:])
    return whole


def progress(
    label: str, total: int | None = None, done: int = 0, *, shown: bool = True
) -> AbstractContextManager[console.Progress]:
    """`console.progress` on one process of a machine, if it is to be shown; silence elsewhere."""
    if shown and processes().is_local_main_process:
        return console.progress(label, total, done)
    return nullcontext(_silence)


def _silence(steps: int = 1, note: str = "") -> None:
    """The progress of a process that shows none."""


def _share(num_items: int, index: int, num_processes: int) -> slice:
    return slice(num_items * index // num_processes, num_items * (index + 1) // num_processes)


def _send(content: bytes, *, failed: bool = False) -> None:
    """From the main process; every other one must call `_received`."""
    device = processes().device
    torch.distributed.broadcast(torch.tensor([int(failed), len(content)], device=device), src=0)
    if content:
        sent = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(device)
        torch.distributed.broadcast(sent, src=0)


def _received() -> Tensors:
    device = processes().device
    head = torch.zeros(2, dtype=torch.int64, device=device)
    torch.distributed.broadcast(head, src=0)
    failed, length = head.tolist()
    received = torch.empty(length, dtype=torch.uint8, device=device)
    if length:
        torch.distributed.broadcast(received, src=0)
    content = received.cpu().numpy().tobytes()
    if failed:
        raise GenrecError(content.decode())
    return safetensors.torch.load(content)
