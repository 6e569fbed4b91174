"""Semantic IDs that grow: an artefact, and beside it a journal of the items that came later.

Several processes may add to the same ids: each holds a lock while it takes up what others added,
chooses, and appends. Nothing that stands in the artefact or in the journal is ever changed.
`compact` writes the journal's items into a second artefact, the additions, and then begins an empty
journal; a crash between both leaves a journal that the additions know to have taken over.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genrec import artifacts
from genrec.errors import ArtifactError, InputError
from genrec.semantic_ids.additions import IdChooser
from genrec.semantic_ids.compaction import (
    TakenOver,
    additions_of,
    put_back_interrupted,
    refuse_earlier_format,
)
from genrec.semantic_ids.journal import (
    Journal,
    JournalStart,
    Record,
    exclusive,
    journal_of,
    lock_of,
)
from genrec.semantic_ids.prefixes import num_distinct
from genrec.semantic_ids.semantic_ids import SEMANTIC_IDS_KIND, SemanticIds

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
            them is then answered with the codes that it has. None if they are not known here.
    """

    def __init__(self, path: Path | str, catalogue: Sequence[str] | None = None) -> None:
        self.path = Path(path)
        self._additions_path = additions_of(self.path)
        self._journal_path = journal_of(self.path)
        self._lock_path = lock_of(self.path)
        self._catalogue = catalogue
        self._journal: Journal | None = None
        self._joined: TakenOver | None = None
        """What `_added` gives, until another item comes."""
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
        return self._ids

    @property
    def codes(self) -> Codes:
        """uint16 [N + added, L]: of every item, in the order of item_index."""
        return np.concatenate([self._ids.codes, self._added().codes])

    @property
    def native_codes(self) -> Codes:
        """uint16 [N + added, L]: the nearest codes, which may be other items' ids."""
        return np.concatenate([self._ids.native_codes, self._added().native_codes])

    @property
    def item_ids(self) -> list[str]:
        """The user's ids of the items that were added; N is the item_index of the first."""
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
    def state(self) -> str:
        """Names what was added, wherever it stands: another text after every item."""
        added = self._added()
        named = hashlib.sha256(json.dumps([added.item_ids, added.titles]).encode())
        named.update(added.codes.tobytes())
        named.update(added.content.tobytes())
        return named.hexdigest()

    def add(
        self,
        item_ids: Sequence[str],
        content: Floats,
        titles: Sequence[str | None] | None = None,
    ) -> Added:
        """Gives new items free ids near the right prefix; when it returns, these are on the disk.

        An item that was added before, by whomever, keeps the id that it has, whatever its content.

        Args:
            item_ids: n ids of the user's, all different.
            content: float32 [n, D], all finite: what the encoder of the run makes of each.
            titles: n names for people; None where there are none.

        Raises:
            InputError: vectors or ids that cannot be used, or fewer free ids than items.
            ArtifactError: something was altered, or the journal belongs to other ids.
        """
        titles = [None] * len(item_ids) if titles is None else list(titles)
        _require_items(item_ids, content, titles)
        with exclusive(self._lock_path):
            self._take_up_others(locked=True)
            new = [row for row, item_id in enumerate(item_ids) if item_id not in self._index_of]
            if new:
                self._append(
                    [item_ids[row] for row in new], content[new], [titles[row] for row in new]
                )
        index = np.array([self._index_of[item_id] for item_id in item_ids], dtype=np.int64)
        is_new = np.zeros(len(item_ids), dtype=np.bool_)
        is_new[new] = True
        return Added(
            item_index=index,
            codes=self._rows([self._codes_of(item) for item in index.tolist()]),
            is_new=is_new,
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
        with exclusive(self._lock_path):
            self._take_up_others(locked=True)
            num_records = len(self._records)
            if num_records:
                self._stale = True
                self._added().write(self._additions_path, self._artifact)
                self._load(locked=True)
                self._begin_journal()
        return num_records

    def _added(self) -> TakenOver:
        """All items that were added, as the next compaction will write them."""
        if self._joined is None:
            self._joined = self._join()
        return self._joined

    def _join(self) -> TakenOver:
        before, records = self._taken_over, self._records
        codes = self._rows([record.codes for record in records])
        nearest = self._rows([record.nearest for record in records])
        return TakenOver(
            item_ids=[*before.item_ids, *(record.item_id for record in records)],
            titles=[*before.titles, *(record.title for record in records)],
            content=np.concatenate([before.content, *(each.vector[None] for each in records)]),
            codes=np.concatenate([before.codes, codes]),
            native_codes=np.concatenate([before.native_codes, nearest]),
            checksum=before.checksum if self._journal is None else self._journal.checksum,
        )

    def _append(self, item_ids: list[str], content: Floats, titles: list[str | None]) -> None:
        """Chooses, writes, and takes up; whatever fails on the way, what counts is on the disk."""
        self._stale = True
        try:
            chosen = self._chooser.choose(content)
        except InputError:
            self._stale = False  # nothing was taken
            raise
        records = [
            Record(
                item_id=item_ids[row],
                codes=tuple(codes),
                nearest=tuple(chosen.nearest[row].tolist()),
                content=content[row].astype("<f4").tobytes(),
                title=titles[row],
            )
            for row, codes in enumerate(chosen.codes.tolist())
        ]
        journal = self._begin_journal() if self._journal is None else self._journal
        journal.append(records)
        self._take_up(records)
        self._stale = False

    def _begin_journal(self) -> Journal:
        start = JournalStart(base=self._artifact.digest, num_added=len(self._taken_over.item_ids))
        journal = Journal.begin(self._journal_path, start)
        self._journal = journal
        return journal

    def _take_up_others(self, *, locked: bool) -> None:
        records: list[Record] | None = None
        if not self._stale and not self._has_changed():
            if self._journal is not None:
                records = self._journal.read_new(mend=locked)
            elif not self._journal_path.exists():
                records = []
        if records is None:
            self._load(locked=locked)
        elif records:
            self._chooser.fill(self._rows([record.codes for record in records]))
            self._take_up(records)

    def _has_changed(self) -> bool:
        found = (_digest_of(self.path), _digest_of(self._additions_path))
        return found != (self._artifact.digest, self._taken_over.digest)

    def _take_up(self, records: Sequence[Record]) -> None:
        self._joined = None
        for record in records:
            self._index_of[record.item_id] = self._num_compacted + len(self._records)
            self._records.append(record)

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
        put_back_interrupted(self._additions_path, _digest_of(self.path))
        self._read(mend=True)

    def _read(self, *, mend: bool) -> None:
        self._artifact = artifacts.read(self.path, kind=SEMANTIC_IDS_KIND)
        self._ids = SemanticIds.load(self.path)
        refuse_earlier_format(self.path)
        self._taken_over = TakenOver.read(
            self._additions_path, len(self._ids.codebook_sizes), self._ids.content_width
        )
        self._journal, records = self._read_journal(mend=mend)
        if self._has_changed():
            raise ArtifactError(f"{self.path} is being made anew; open it again when that is done")
        self._index_of = self._known_items()
        self._records: list[Record] = []
        self._take_up(records)
        codes, item_ids = self.codes, self.item_ids
        if num_distinct(codes) < len(codes) or len(set(item_ids)) < len(item_ids):
            raise ArtifactError(
                f"{self._journal_path} gives two items one id, or one item two ids; restore it "
                "from a copy"
            )
        self._chooser = IdChooser(self._ids, codes)

    def _read_journal(self, *, mend: bool) -> tuple[Journal | None, list[Record]]:
        """The journal that goes on where the additions end; None where one has yet to begin."""
        journal, records, num_others = None, [], len(self._taken_over.item_ids)
        if self._journal_path.exists():
            journal = Journal.open(self._journal_path)
            records = journal.read_new(mend=mend) or []
            num_others = max(num_others, journal.start.num_added + len(records))
        bases = {self._taken_over.base, journal and journal.start.base} - {None}
        if num_others and bases != {self._artifact.digest}:
            raise ArtifactError(
                f"{num_others} item(s) were added to other ids than those at {self.path}, which "
                f"were made anew; put these ids back, or move {self._journal_path.name} and "
                f"{self._additions_path.name} away and add the items again: they may get other ids"
            )
        if journal is None or self._taken_over.has_all_of(journal):
            return None, []
        if not num_others and journal.start.base != self._artifact.digest:
            return None, []
        if journal.start.num_added != len(self._taken_over.item_ids):
            raise ArtifactError(
                f"{self._journal_path} goes on behind {journal.start.num_added} item(s), but "
                f"{self._additions_path} has {len(self._taken_over.item_ids)}; restore both from "
                "one copy"
            )
        return journal, records

    def _known_items(self) -> dict[str, int]:
        """The item_index of every id, but for those of the journal."""
        known: dict[str, int] = {}
        if self._catalogue is not None:
            if len(self._catalogue) != len(self._ids.codes):
                raise InputError(
                    f"the catalogue has {len(self._catalogue)} items, but {self.path} was fitted "
                    f"to {len(self._ids.codes)}; give the data that it was made from"
                )
            known.update((item_id, item) for item, item_id in enumerate(self._catalogue))
        known.update(
            (item_id, item)
            for item, item_id in enumerate(self._taken_over.item_ids, len(self._ids.codes))
        )
        return known

    @property
    def _num_compacted(self) -> int:
        """Items that stand in an artefact: those that were fitted, and those taken over."""
        return len(self._ids.codes) + len(self._taken_over.codes)

    def _codes_of(self, item: int) -> Sequence[int]:
        num_fitted = len(self._ids.codes)
        if item >= self._num_compacted:
            return self._records[item - self._num_compacted].codes
        if item >= num_fitted:
            return list(self._taken_over.codes[item - num_fitted].tolist())
        return list(self._ids.codes[item].tolist())

    def _rows(self, codes: Sequence[Sequence[int]]) -> Codes:
        """uint16 [n, L], also where n is 0."""
        return np.array(codes, dtype=np.uint16).reshape(len(codes), len(self._ids.codebook_sizes))


def _digest_of(folder: Path) -> str | None:
    """Of an artefact; None where there is none."""
    manifest = folder / artifacts.MANIFEST_NAME
    return artifacts.sha256(manifest) if manifest.is_file() else None


def _require_items(item_ids: Sequence[str], content: Floats, titles: Sequence[str | None]) -> None:
    if content.dtype != np.float32 or content.ndim != 2 or len(content) != len(item_ids):
        raise InputError(
            f"content must be float32 [n, D] with a row for each of the {len(item_ids)} item ids, "
            f"got {content.dtype} {list(content.shape)}"
        )
    if len(titles) != len(item_ids) or not all(t is None or isinstance(t, str) for t in titles):
        raise InputError(
            f"titles must be a text or None for each of the {len(item_ids)} item ids, got "
            f"{len(titles)}: {list(titles[:5])}"
        )
    if not all(item_ids):
        rows = [row for row, item_id in enumerate(item_ids) if not item_id]
        raise InputError(f"the item ids of rows {rows[:5]} are empty; name each item")
    twice = [item_id for item_id, count in Counter(item_ids).items() if count > 1]
    if twice:
        raise InputError(
            f"{len(twice)} item id(s) stand in one call more than once, as {twice[:5]}; give each "
            "item once"
        )
    broken = np.flatnonzero(~np.isfinite(content).all(axis=1))
    if broken.size:
        raise InputError(
            f"{broken.size} item(s) have NaN or infinity in their content vectors, the first "
            f"{[item_ids[row] for row in broken[:5]]} in rows {broken[:5].tolist()}; mend or drop "
            "these items"
        )
