"""Free ids for new items: the nearest codes, or the nearest free ones beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec.semantic_ids.collisions import require_capacity
from genrec.semantic_ids.room import Room
from genrec.semantic_ids.semantic_ids import SemanticIds

__all__ = ["ChosenIds", "IdChooser"]

Codes = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ChosenIds:
    """Ids for new items."""

    codes: Codes
    """uint16 [n, L], unique, and no earlier item's."""
    nearest: Codes
    """uint16 [n, L]: the codes they would have if all were free."""


class IdChooser:
    """Chooses a free id for one new item after another; an id once given is never changed.

    A new item gets its nearest codes; if these are taken, the nearest free last code under the
    same prefix; if that prefix is full, the nearest one with room, as in `resolve_collisions`.

    Args:
        ids: what new items are encoded by.
        taken: uint16 [N, L], the codes of all items so far, unique.
    """

    def __init__(self, ids: SemanticIds, taken: Codes) -> None:
        self._ids = ids
        self._num_items = len(taken)
        self._room = Room(list(ids.quantizer.codebooks.numpy()), taken)

    def choose(self, content: Floats) -> ChosenIds:
        """Ids for items of which only the content is known, in this order; they are taken at once.

        Args:
            content: float32 [n, D], all finite.

        Raises:
            InputError: another width than that of the fit, or fewer ids left than items.
        """
        sizes = self._ids.codebook_sizes
        shape = (len(content), len(sizes))
        chosen = ChosenIds(codes=np.empty(shape, np.uint16), nearest=np.empty(shape, np.uint16))
        require_capacity(self._num_items + len(content), sizes)
        for item, latent in enumerate(self._encode(content)):
            nearest = self._ids.quantizer.assign(latent)[0].tolist()
            chosen.nearest[item] = nearest
            chosen.codes[item] = self._room.take(latent[0].numpy(), len(sizes), nearest)
        self._num_items += len(content)
        return chosen

    def nearest(self, content: Floats) -> Codes:
        """uint16 [n, L]: the codes that items would have if all were free; none are taken."""
        rows = [self._ids.quantizer.assign(latent)[0].tolist() for latent in self._encode(content)]
        return np.array(rows, dtype=np.uint16).reshape(len(rows), len(self._ids.codebook_sizes))

    def _encode(self, content: Floats) -> list[Tensor]:
        # One row at a time: in a product of several, rounding depends on how many there are.
        return [self._ids.encode_content(row) for row in torch.from_numpy(content)[:, None]]

    def fill(self, codes: Codes) -> None:
        """Notes that these ids, [n, L], are taken: another process gave them."""
        for row in codes.tolist():
            self._room.fill(row)
        self._num_items += len(codes)
