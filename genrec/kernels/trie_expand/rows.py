"""Where each row's children stand in a flat list, and what is added up row by row, on a CPU.

A row's places reach to where the next row begins; those behind its children are padding. Runs of
unequal length are added up by NumPy, which is several times as fast as PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec.errors import InputError

__all__ = ["Rows"]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """R rows over E places."""

    begins: npt.NDArray[np.int64]
    """[R + 1]: where each row's places begin, and E."""
    degrees: npt.NDArray[np.int64]
    """[R]: children of each row."""
    width: int | None
    """Places a row where all have as many; None otherwise."""
    padding: Tensor | None
    """bool [E]: places without a child; None where there are none."""

    @classmethod
    def of(cls, start: Tensor, degree: Tensor, num_places: int) -> Rows:
        """The rows of `trie_expand`.

        Args:
            start: int64 [R].
            degree: int64 [R].
            num_places: E.

        Raises:
            InputError: rows overlap, stand in another order, or reach past the end.
        """
        starts, degrees = start.numpy(), degree.numpy()
        ends = starts + degrees
        begins = np.append(starts, num_places)
        gaps = begins[1:] - ends  # behind each row
        if len(starts) and (starts[0] < 0 or gaps.min() < 0 or degrees.min() < 0):
            row = 0 if starts[0] < 0 else int(((gaps < 0) | (degrees < 0)).argmax())
            raise InputError(
                f"rows must stand in order in {num_places} places without overlap, but row {row} "
                f"has {int(degrees[row])} children from {int(starts[row])} on; sort rows by start"
            )
        padding = _padding(begins, degrees, gaps)
        begins[0] = 0
        width = num_places // max(len(starts), 1)
        even = np.array_equal(begins, np.arange(len(begins)) * width)
        return cls(begins=begins, degrees=degrees, width=width if even else None, padding=padding)

    @cached_property
    def runs(self) -> npt.NDArray[np.int64]:
        """Of the rows that have children, where each one's places begin.

        The first takes those before it, and each takes those of rows without children behind it.
        """
        runs = self.begins[:-1][self.degrees > 0]
        runs[:1] = 0
        return runs

    @cached_property
    def run_lengths(self) -> npt.NDArray[np.int64]:
        """Places of each of them; all together E."""
        ends = np.append(self.runs[1:], self.begins[-1:])
        return ends - self.runs

    @property
    def row_of_place(self) -> Tensor:
        """int64 [E]: the row that each place belongs to."""
        lengths = self.begins[1:] - self.begins[:-1]
        return torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))

    def log_softmax(self, scores: Tensor) -> Tensor:
        """float32 [E]: among the children of each row, -inf in padding. Overwrites the scores."""
        if self.padding is not None:
            scores.masked_fill_(self.padding, -torch.inf)
        if self.width is None and len(self.runs):
            log_probs = self._uneven_log_softmax(scores)
        else:
            log_probs = scores.view(-1, self.width or 1).log_softmax(dim=1).view(-1)
        if self.padding is not None:  # in a row without children everything is NaN by now
            log_probs.masked_fill_(self.padding, -torch.inf)
        return log_probs

    def softmax_gradient(self, log_probs: Tensor, grad: Tensor) -> Tensor:
        """float32 [E]: the gradient by the scores, given that by the log-probabilities."""
        if self.padding is not None:
            grad = grad.masked_fill(self.padding, 0.0)
        return torch.addcmul(grad, log_probs.exp(), self._sums(grad), value=-1.0)

    def _sums(self, values: Tensor) -> Tensor:
        """float32 [E]: in every place its row's sum."""
        if self.width is not None or not len(self.runs):
            table = values.view(-1, self.width or 1)
            return table.sum(dim=1, keepdim=True).expand_as(table).reshape(-1)
        return torch.from_numpy(self._spread(np.add.reduceat(values.numpy(), self.runs)))

    def _uneven_log_softmax(self, scores: Tensor) -> Tensor:
        shifted = scores.numpy()
        with np.errstate(invalid="ignore"):  # scores that are infinite give NaN, as in PyTorch
            shifted -= self._spread(np.maximum.reduceat(shifted, self.runs))
            shifted -= self._spread(np.log(np.add.reduceat(np.exp(shifted), self.runs)))
        return scores

    def _spread(self, sums: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """float32 [E]: to every place its run's sum."""
        return np.repeat(sums, self.run_lengths)


def _padding(
    begins: npt.NDArray[np.int64], degrees: npt.NDArray[np.int64], gaps: npt.NDArray[np.int64]
) -> Tensor | None:
    """bool [E]: places before the first row, and behind the children of each; None without any."""
    if not (begins[0] or gaps.any()):
        return None
    lengths = np.empty(2 * len(degrees) + 1, dtype=np.int64)  # of gap, row, gap, …, gap
    lengths[0], lengths[1::2], lengths[2::2] = begins[0], degrees, gaps
    return torch.from_numpy(np.repeat(np.arange(len(lengths)) % 2 == 0, lengths))
