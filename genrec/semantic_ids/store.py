"""Semantic IDs that grow: an artefact, and beside it a journal of the items that came later.

Several processes may add to the same ids: each holds a lock while it takes up what others added,
chooses, and appends. Nothing that stands in the artefact or in the journal is ever changed: that an
item changed or was removed is one more record.
`compact` writes the journal's items into a second artefact, the additions, and then begins an empty
journal; a crash between both leaves a journal that the additions know to have taken over.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genrec.errors import ArtifactError, InputError
from genrec.semantic_ids.compaction import TakenOver, additions_of, put_back_interrupted
from genrec.semantic_ids.given_items import require_content, require_item_ids, require_titles
from genrec.semantic_ids.grown_ids import GrownIds, digest_of
from genrec.semantic_ids.journal import (
    ADDS_ONLY,
    Journal,
    JournalStart,
    Record,
    exclusive,
    journal_of,
    lock_of,
)
from genrec.semantic_ids.run_folder import fitted_item_ids
from genrec.semantic_ids.semantic_ids import SemanticIds

__all__ = ["Added", "SemanticIdStore"]

Codes = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Added:
    """What became of items that were to be added."""

    item_index: npt.NDArray[np.int64]
    """int64 [n]: N, N + 1, … in the order in which they were added; that of the catalogue for items
    which it has."""
    codes: Codes
    """uint16 [n, L]."""
    is_new: npt.NDArray[np.bool_]
    """bool [n]: False for items that had an id before, which they keep."""


class SemanticIdStore:
    """Semantic IDs that new items can be added to; made by `open`.

    Args:
        path: the artefact.
        catalogue: the user's ids of the items that were fitted, in the order of item_index: one of
            them is then answered with the codes that it has. None takes them from the data beside
            the ids, if that is what they were made from.
    """

    def __init__(self, path: Path | str, catalogue: Sequence[str] | None = None) -> None:
        self.path = Path(path)
        self._additions_path = additions_of(self.path)
        self._journal_path = journal_of(self.path)
        self._lock_path = lock_of(self.path)
        self._catalogue = catalogue
        self._fitted: Mapping[str, int] | None = None
        """What `_fitted_items` gives, once it was asked."""
        self._stale = True

    @classmethod
    def open(cls, path: Path | str, *, catalogue: Sequence[str] | None = None) -> SemanticIdStore:
        """The ids at `path` as they are now; needs no lock unless they are being changed.

        Raises:
            ArtifactMissingError: there are none.
            ArtifactError: something was altered, or the journal belongs to other ids.
            InputError: `catalogue` has another number of items than were fitted.
        """
        store = cls(path, catalogue)
        store._load(locked=False)
        return store

    @property
    def ids(self) -> SemanticIds:
        """Those of the fitted items, and what new items are encoded by."""
        return self._grown.ids

    @property
    def codes(self) -> Codes:
        """uint16 [N + added, L]: of every item, in the order of item_index."""
        return np.concatenate([self._grown.ids.codes, self._added().codes])

    @property
    def native_codes(self) -> Codes:
        """uint16 [N + added, L]: the nearest codes, which may be other items' ids."""
        return np.concatenate([self._grown.ids.native_codes, self._added().native_codes])

    @property
    def item_ids(self) -> list[str]:
        """The user's ids of all items that were ever added; N is the item_index of the first."""
        return self._added().item_ids

    @property
    def titles(self) -> list[str | None]:
        """Of the items that were added, where one was given."""
        return self._added().titles

    @property
    def content(self) -> Floats:
        """float32 [added, D]: what the items that were added were encoded from."""
        return self._added().content

    @property
    def removed(self) -> npt.NDArray[np.bool_]:
        """bool [added]: the items that no answer shall hold any more."""
        return self._added().removed

    @property
    def state(self) -> str:
        """Names what was added, wherever it stands: another text after every item."""
        added = self._added()
        named = hashlib.sha256(json.dumps([added.item_ids, added.titles]).encode())
        named.update(added.codes.tobytes())
        named.update(added.content.tobytes())
        if added.removed.any():
            named.update(added.removed.tobytes())
        return named.hexdigest()

    def add(
        self,
        item_ids: Sequence[str],
        content: Floats,
        titles: Sequence[str | None] | None = None,
    ) -> Added:
        """Gives new items free ids near the right prefix; when it returns, these are on the disk.

        An item that was added before, by whomever, keeps the id that it has, whatever its content;
        `change` changes it. One that was removed comes back in its place, as it is given now.

        Args:
            item_ids: n ids of the user's, all different.
            content: float32 [n, D], all finite: what the encoder of the run makes of each.
            titles: n names for people; None where there are none.

        Raises:
            InputError: vectors or ids that cannot be used, or fewer free ids than items: then
                nothing is added.
            ArtifactError: something was altered, or the journal belongs to other ids.
        """
        names = require_item_ids(item_ids)
        content = require_content(content, names, self._grown.ids.content_width)
        given = require_titles(titles, len(names))
        with self._changing():
            fitted = self._fitted_items()
            is_new = np.array(
                [name not in fitted and self._grown.items.place_of(name) is None for name in names],
                dtype=np.bool_,
            )
            rows = [row for row, name in enumerate(names) if is_new[row] or self._is_gone(name)]
            if rows:
                self._append([names[row] for row in rows], content[rows], [given[r] for r in rows])
            index = [fitted[name] if name in fitted else self._index_of(name) for name in names]
            codes = [self._codes_of(item) for item in index]
        return Added(
            item_index=np.array(index, dtype=np.int64),
            codes=np.array(codes, dtype=np.uint16).reshape(len(codes), -1)
            if codes
            else self._grown.ids.codes[:0],
            is_new=is_new,
        )

    def change(
        self,
        item_ids: Sequence[str],
        content: Floats | None = None,
        titles: Sequence[str | None] | None = None,
    ) -> Codes:
        """Gives added items another vector, another title, or both; uint16 [n, L], their codes.

        An item whose nearest codes stay what they were keeps its codes. Another gets free ones, as
        a new item would: the generator finds an item by its codes. Its item_index stays, and
        nobody else gets the codes that it had.

        Args:
            item_ids: n items that were added, all different.
            content: float32 [n, D]; None leaves the vectors.
            titles: n names for people; None leaves them all.

        Raises:
            InputError: an item that was not added, or what cannot be used: then nothing changes.
            ArtifactError: something was altered, or the journal belongs to other ids.
        """
        names = require_item_ids(item_ids)
        if content is None and titles is None:
            raise InputError("nothing to change was given; give vectors, titles or both")
        if content is not None:
            content = require_content(content, names, self._grown.ids.content_width)
        given = None if titles is None else require_titles(titles, len(names))
        with self._changing():
            now = [self._grown.items.record(place) for place in self._places_of(names)]
            if content is None:
                content = np.array([each.vector for each in now], np.float32).reshape(len(now), -1)
            if names:
                self._append(names, content, given or [each.title for each in now])
            codes = [self._grown.items.record(place).codes for place in self._places_of(names)]
        return np.array(codes, dtype=np.uint16).reshape(
            len(codes), len(self._grown.ids.codebook_sizes)
        )

    def remove(self, item_ids: Sequence[str]) -> None:
        """Takes added items away: no answer will hold them; histories may still have them.

        Their item_index and their codes are given to no other item.

        Args:
            item_ids: items that were added, all different.

        Raises:
            InputError: an item that was not added, or was removed before: then none is removed.
            ArtifactError: something was altered, or the journal belongs to other ids.
        """
        names = require_item_ids(item_ids)
        with self._changing():
            places = self._places_of(names)
            if places:
                self._write(
                    [replace(self._grown.items.record(each), removed=True) for each in places]
                )

    def refresh(self) -> None:
        """Takes up what other processes added or compacted since."""
        self._take_up_others(locked=False)

    def compact(self) -> int:
        """Takes the journal's items into the additions; how many these were.

        No id changes, nor does the artefact. The journal is empty afterwards.

        Raises:
            ArtifactError: something was altered, or the journal belongs to other ids.
        """
        with self._changing():
            return self._compact()

    def _compact(self) -> int:
        num_records = 0 if self._grown.journal is None else self._grown.journal.num_records
        if num_records:
            self._stale = True
            self._added().write(self._additions_path, self._grown.artifact)
            self._load(locked=True)
            self._begin_journal()
        return num_records

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Inside it, what others did is known here, and nobody else changes anything."""
        with exclusive(self._lock_path):
            self._take_up_others(locked=True)
            yield

    def _added(self) -> TakenOver:
        """All items that were added, as the next compaction will write them."""
        if self._grown.journal is None:
            return self._grown.items.joined
        return replace(self._grown.items.joined, checksum=self._grown.journal.checksum)

    def _append(self, item_ids: list[str], content: Floats, titles: list[str | None]) -> None:
        """Chooses codes for items that are new or change, and writes."""
        self._stale = True
        try:
            records = self._grown.choose(item_ids, content, titles)
        except InputError:
            self._stale = False  # nothing was taken
            raise
        self._write(records)

    def _write(self, records: Sequence[Record]) -> None:
        """Writes and takes up; whatever fails on the way, what counts is on the disk."""
        self._stale = True
        journal = self._grown.journal
        if journal is not None and journal.format == ADDS_ONLY:
            self._compact()
            journal, self._stale = None, True
        if journal is None:
            journal = self._begin_journal()
        journal.append(records)
        self._grown.items.take_up(records)
        self._stale = False

    def _begin_journal(self) -> Journal:
        start = JournalStart(
            base=self._grown.artifact.digest,
            num_added=len(self._grown.taken_over.item_ids),
            after=self._grown.taken_over.checksum,
        )
        journal = Journal.begin(self._journal_path, start)
        self._grown.journal = journal
        return journal

    def _take_up_others(self, *, locked: bool) -> None:
        records: list[Record] | None = None
        if not self._stale and not self._grown.has_changed():
            if self._grown.journal is not None:
                records = self._grown.journal.read_new(mend=locked)
            elif not self._journal_path.exists():
                records = []
        if records is None:
            self._load(locked=locked)
        elif records:
            self._grown.take_up(records)

    def _load(self, *, locked: bool) -> None:
        """Reads everything anew."""
        self._stale = True
        if locked:
            self._read_locked()
        else:
            try:
                self._read(mend=False)
            except (ArtifactError, OSError):
                # So it is, or it is just being compacted, or that was interrupted: the lock tells.
                if not os.access(self.path.parent, os.W_OK):
                    raise
                with exclusive(self._lock_path):
                    self._read_locked()
        self._stale = False

    def _read_locked(self) -> None:
        put_back_interrupted(self._additions_path, digest_of(self.path))
        self._read(mend=True)

    def _read(self, *, mend: bool) -> None:
        grown = GrownIds.read(self.path, mend=mend)
        if self._catalogue is not None and len(self._catalogue) != len(grown.ids.codes):
            raise InputError(
                f"the catalogue has {len(self._catalogue)} items, but {self.path} was fitted "
                f"to {len(grown.ids.codes)}; give the data that it was made from"
            )
        self._grown, self._fitted = grown, None

    def _fitted_items(self) -> Mapping[str, int]:
        """The item_index of each item that was fitted, where their ids are known."""
        if self._fitted is None:
            item_ids = self._catalogue
            if item_ids is None:
                item_ids = fitted_item_ids(self._grown.artifact)
            self._fitted = {item_id: item for item, item_id in enumerate(item_ids or ())}
        return self._fitted

    def _is_gone(self, item_id: str) -> bool:
        place = self._grown.items.place_of(item_id)
        return place is not None and self._grown.items.record(place).removed

    def _index_of(self, item_id: str) -> int:
        place = self._grown.items.place_of(item_id)
        assert place is not None
        return len(self._grown.ids.codes) + place

    def _places_of(self, item_ids: Sequence[str]) -> list[int]:
        """Where these stand among the added items.

        Raises:
            InputError: one was never added, or was removed.
        """
        places = {item_id: self._grown.items.place_of(item_id) for item_id in item_ids}
        fitted = [
            name for name in item_ids if places[name] is None and name in self._fitted_items()
        ]
        if fitted:
            raise InputError(
                f"{len(fitted)} item(s) were in the catalogue that the ids were fitted to, as "
                f"{fitted[:5]}: only items that were added can be changed or removed. Leave them "
                "out of the answers (`exclude`), or make the run anew from data without them"
            )
        gone = [name for name in item_ids if places[name] is None or self._is_gone(name)]
        if gone:
            raise InputError(
                f"{len(gone)} item(s) were not added to {self.path}, or were removed, as "
                f"{gone[:5]}; give ids of items that were added"
            )
        return [place for place in places.values() if place is not None]

    def _codes_of(self, item: int) -> Sequence[int]:
        num_fitted = len(self._grown.ids.codes)
        if item >= num_fitted:
            return self._grown.items.record(item - num_fitted).codes
        return list(self._grown.ids.codes[item].tolist())
