"""The items that were added to Semantic IDs, as they are now: records are taken up one by one.

A record of an item that is there already says what it is from then on. An item keeps its place,
the item_index, for good, also when it was removed, and codes that were given are given to no other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genrec.semantic_ids.compaction import TakenOver
from genrec.semantic_ids.journal import Record

__all__ = ["AddedItems"]

Codes = npt.NDArray[np.uint16]


class AddedItems:
    """What compactions took over, and what the journal says since.

    Args:
        taken_over: items 0 to A - 1.
    """

    def __init__(self, taken_over: TakenOver) -> None:
        self._before = taken_over
        self._num_levels = taken_over.codes.shape[1]
        self._place_of = {item_id: place for place, item_id in enumerate(taken_over.item_ids)}
        self._latest: dict[int, Record] = {}
        """What the journal says of these places."""
        self._retired: list[tuple[int, ...]] = []
        self._joined: TakenOver | None = taken_over
        """What `joined` gives, until another record comes."""

    def __len__(self) -> int:
        return len(self._place_of)

    def place_of(self, item_id: str) -> int | None:
        """Behind how many added items this one stands; None for one that was never added."""
        return self._place_of.get(item_id)

    def record(self, place: int) -> Record:
        """The item at a place, as it is now."""
        if place in self._latest:
            return self._latest[place]
        before = self._before
        return Record(
            item_id=before.item_ids[place],
            codes=tuple(before.codes[place].tolist()),
            nearest=tuple(before.native_codes[place].tolist()),
            content=before.content[place].astype("<f4").tobytes(),
            title=before.titles[place],
            removed=bool(before.removed[place]),
        )

    def take_up(self, records: Sequence[Record]) -> Codes:
        """Makes these the latest; uint16 [n, L], the codes that nobody had before."""
        fresh = []
        for record in records:
            place = self._place_of.setdefault(record.item_id, len(self._place_of))
            known = place in self._latest or place < len(self._before.item_ids)
            codes_before = self.record(place).codes if known else None
            if codes_before != record.codes:
                fresh.append(record.codes)
                if codes_before is not None:
                    self._retired.append(codes_before)
            self._latest[place] = record
        if records:
            self._joined = None
        return self._rows(fresh)

    @property
    def joined(self) -> TakenOver:
        """All of them, as a compaction will write them, but for the checksum."""
        if self._joined is None:
            self._joined = self._join()
        return self._joined

    @property
    def all_codes(self) -> Codes:
        """uint16 [n, L]: the codes that are given, to whom they belong or belonged."""
        return np.concatenate([self.joined.codes, self.joined.retired])

    def _join(self) -> TakenOver:
        before, latest = self._before, self._latest
        num_new = len(self) - len(before.item_ids)
        width = before.content.shape[1]
        places = np.fromiter(latest, dtype=np.int64, count=len(latest))
        records = list(latest.values())
        none = np.zeros((num_new, self._num_levels), dtype=np.uint16)
        codes, nearest = (
            np.concatenate([each, none]) for each in (before.codes, before.native_codes)
        )
        codes[places] = self._rows([record.codes for record in records])
        nearest[places] = self._rows([record.nearest for record in records])
        content = np.concatenate([before.content, np.zeros((num_new, width), dtype=np.float32)])
        content[places] = np.array([each.vector for each in records], np.float32).reshape(-1, width)
        removed = np.concatenate([before.removed, np.zeros(num_new, dtype=np.bool_)])
        removed[places] = [record.removed for record in records]
        titles = [*before.titles, *[None] * num_new]
        for place, record in latest.items():
            titles[place] = record.title
        return TakenOver(
            item_ids=list(self._place_of),
            titles=titles,
            content=content,
            codes=codes,
            native_codes=nearest,
            removed=removed,
            retired=np.concatenate([before.retired, self._rows(self._retired)]),
            checksum=before.checksum,
        )

    def _rows(self, codes: Sequence[Sequence[int]]) -> Codes:
        """uint16 [n, L], also where n is 0."""
        return np.array(codes, dtype=np.uint16).reshape(len(codes), self._num_levels)
