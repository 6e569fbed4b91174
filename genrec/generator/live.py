"""The catalogue of a generator that answers while items come and go.

A new item is scored from its codes, its content and what it borrows from its relatives, as one
that nobody has used. Its path's node vectors are made anew, as a catalogue built with it would have
them: every change costs L vectors, and every answer is given from one state of the catalogue,
whole.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.decoding import GrownIndex, PrefixIndex
from genrec.errors import InputError
from genrec.generator.items import ItemTables, node_vectors, unit_content
from genrec.generator.model import GenerativeRecommender
from genrec.generator.relatives import Relatives
from genrec.generator.turns import Turns

__all__ = ["LiveCatalogue"]

DEFAULT_ROOM = 1024


@dataclass(frozen=True)
class _Change:
    """One item that came, or went."""

    item: int
    codes: Tensor | None
    """int64 [L] of one that came."""


class LiveCatalogue:
    """Items and nodes of a trained model, and those that came later; safe to share between threads.

    `tables` is what answers are given from: it is replaced as one, never changed. A
    `GeneratorSource` made with this catalogue takes what stands there when a request comes.

    Args:
        model: trained; its own catalogue stays as it is.
        room: vectors of each table that are kept free; where they run out, the tables are copied to
            larger ones.
    """

    def __init__(self, model: GenerativeRecommender, *, room: int = DEFAULT_ROOM) -> None:
        self.model, self._room = model, max(room, 1)
        self._lock, self._compacting = threading.Lock(), threading.Lock()
        self.turns = Turns()
        """Whoever answers from `tables` takes one, so that changes come between requests."""
        self._log: list[_Change] = []
        with torch.inference_mode():
            tables = model.item_tables()
            self._items = _Rows(tables.items, self._room)
            self._directions = _Rows(tables.directions, self._room)
            self._num_trained = len(tables.items)
            self._added_content = _Rows(model.content[:0], self._room)
            self._used = model.used_items()
            nobody = self._used.relatives(model.codes[:0], model.content[:0])
            self._relatives = _Rows(nobody.items, self._room)
            self._relative_shares = _Rows(nobody.shares, self._room)
            self._gone: Tensor | None = None
            totals = model.node_totals(tables.directions, tables.index)
            self._build_on(tables.index, tables.index.num_items, totals)
            self._publish()

    @property
    def tables(self) -> ItemTables:
        """The present state."""
        return self._tables

    @property
    def num_changes(self) -> int:
        """Items that came or went since the last compaction."""
        return len(self._log)

    @torch.inference_mode()
    def add(
        self, codes: npt.NDArray[np.integer], content: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.int64]:
        """New items; the next request may be answered with them.

        Args:
            codes: integers [n, L], no other item's: what `SemanticIdStore.add` gave them.
            content: float32 [n, content_width]: content embeddings, as the model was trained on.

        Returns:
            int64 [n]: their item_index, rising.

        Raises:
            InputError: codes or content that no item can have: then nothing is added. Or codes that
                are taken: the items before are in, those from there on are not.
        """
        config = self.model.config
        _require_items(codes, content, config.codebook_sizes, config.content_width)
        device = self.model.device
        rows = torch.from_numpy(codes.astype(np.int64)).to(device)
        unit = unit_content(torch.from_numpy(content).to(device), self.model.content_centre)
        encoder, relatives = self.model.item_encoder, self._used.relatives(rows, unit)
        vectors = encoder.shared(rows, unit) + encoder.borrowed(relatives)
        added: list[int] = []
        for at, vector in enumerate(vectors):
            with self._lock, self.turns.change():
                change = _Change(self._index.num_items, rows[at])
                self._items[change.item] = vector
                self._directions[change.item] = F.normalize(vector, dim=-1)
                self._apply(change)
                place = change.item - self._num_trained
                self._added_content[place] = unit[at]
                self._relatives[place] = relatives.items[at]
                self._relative_shares[place] = relatives.shares[at]
                self._publish()
                added.append(change.item)
        return np.array(added, dtype=np.int64)

    @torch.inference_mode()
    def remove(self, item_index: npt.NDArray[np.integer]) -> None:
        """Items that no answer shall hold any more; histories may still have them.

        Raises:
            InputError: there is no such item; those before it are gone, the others are not.
        """
        for item in item_index.tolist():
            with self._lock, self.turns.change():
                self._apply(_Change(item, None))
                self._forget(item)
                self._publish()

    @torch.inference_mode()
    def compact(self) -> None:
        """Builds the index anew from what is in it, and takes it up; no answer changes.

        Answering and changing go on meanwhile. Call it when `num_changes` has grown to some
        thousands, from a thread of its own where changes must not wait for it.
        """
        with self._compacting:
            with self._lock:
                before, num_before = self._index, len(self._log)
            base = before.compacted()
            totals = self._totals_of(base, before)
            with self._lock:
                since, self._log = self._log[num_before:], []
                self._build_on(base, before.num_items, totals)
                for change in since:
                    self._apply(change)
                self._publish()

    def _build_on(self, base: PrefixIndex, num_items: int, totals: list[Tensor]) -> None:
        """Begins with this index and what its nodes' vectors are the directions of."""
        self._index = GrownIndex.on(base, num_items)
        self._lengths = [_Rows(each.norm(dim=-1), self._room) for each in totals]
        self._nodes = [_Rows(each, self._room) for each in node_vectors(totals)]

    def _totals_of(self, base: PrefixIndex, before: GrownIndex) -> list[Tensor]:
        """Per level, float [nodes, D]: those of the index before, in the order of `base`."""
        items, old_paths = before.paths()
        new_paths = base.path_of(items)
        totals = []
        for level, num_nodes in enumerate(base.num_nodes):
            new, old = new_paths[:, level], old_paths[:, level]
            total = self._nodes[level].values[old] * self._lengths[level].values[old, None]
            totals.append(total.new_empty(num_nodes, total.shape[1]).index_copy(0, new, total))
        return totals

    def _apply(self, change: _Change) -> None:
        """Changes the index; every new node's vector is what the old one summed up, and the item's.

        Raises:
            InputError: the item cannot come or go; nothing has changed.
        """
        if change.codes is None:
            path = self._index.remove(change.item)
            delta = -self._directions[change.item]
        else:
            path = self._index.add(change.codes)
            delta = self._directions[change.item]
        self._index = path.index
        self._log.append(change)
        for level, (old, new) in enumerate(zip(path.before, path.after, strict=True)):
            if new is not None:
                total = delta
                if old is not None:
                    total = total + self._nodes[level][old] * self._lengths[level][old]
                self._nodes[level][new] = F.normalize(total, dim=-1)
                self._lengths[level][new] = total.norm(dim=-1)

    def _forget(self, item: int) -> None:
        """Marks an item as gone, in a copy: a request may be reading the marks."""
        marks = torch.zeros(self._index.num_items, dtype=torch.bool, device=self.model.device)
        if self._gone is not None:
            marks[: len(self._gone)] = self._gone
        marks[item] = True
        self._gone = marks

    def _publish(self) -> None:
        num_items = self._index.num_items
        added = num_items - self._num_trained
        self._tables = ItemTables(
            items=self._items.values[:num_items],
            directions=self._directions.values[:num_items],
            nodes=[
                rows.values[:size]
                for rows, size in zip(self._nodes, self._index.num_nodes, strict=True)
            ],
            index=self._index,
            added_content=self._added_content.values[:added] if added else None,
            added_relatives=Relatives(
                items=self._relatives.values[:added], shares=self._relative_shares.values[:added]
            )
            if added
            else None,
            gone=None
            if self._gone is None
            else F.pad(self._gone, (0, num_items - len(self._gone))),
        )


def _require_items(
    codes: npt.NDArray[np.integer],
    content: npt.NDArray[np.float32],
    codebook_sizes: Sequence[int],
    content_width: int,
) -> None:
    """Raises an InputError where these are no codes [n, L] and contents [n, Dc] of a model."""
    num_levels = len(codebook_sizes)
    if codes.shape[1:] != (num_levels,) or content.shape != (len(codes), content_width):
        raise InputError(
            f"codes must be [n, {num_levels}] and content [n, {content_width}], "
            f"got {list(codes.shape)} and {list(content.shape)}"
        )
    outside = np.flatnonzero(((codes < 0) | (codes >= codebook_sizes)).any(axis=1))
    if outside.size:
        raise InputError(
            f"the codes of row {outside[0]}, {codes[outside[0]].tolist()}, are outside of the "
            f"codebooks ({list(codebook_sizes)}); take those that SemanticIdStore.add gives"
        )
    broken = np.flatnonzero(~np.isfinite(content).all(axis=1))
    if broken.size:
        raise InputError(
            f"the content of row {broken[0]} has NaN or infinity in it; mend or drop this item"
        )


class _Rows:
    """A table with room behind its rows; a row that answers are given from is not written again."""

    def __init__(self, values: Tensor, room: int) -> None:
        self.values = torch.cat([values, values.new_zeros(room, *values.shape[1:])])

    def __getitem__(self, row: int) -> Tensor:
        return self.values[row]

    def __setitem__(self, row: int, values: Tensor) -> None:
        if row >= len(self.values):
            self.values = torch.cat([self.values, torch.zeros_like(self.values)])
        self.values[row] = values
