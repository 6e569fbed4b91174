"""Semantic IDs and what was added to them, read from the disk together and checked together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genrec import artifacts
from genrec.errors import ArtifactError
from genrec.semantic_ids.added_items import AddedItems
from genrec.semantic_ids.additions import IdChooser
from genrec.semantic_ids.compaction import TakenOver, additions_of, refuse_earlier_format
from genrec.semantic_ids.journal import ADDS_ONLY, Journal, Record, journal_of
from genrec.semantic_ids.prefixes import num_distinct
from genrec.semantic_ids.semantic_ids import SEMANTIC_IDS_KIND, SemanticIds

__all__ = ["GrownIds", "digest_of"]

Floats = npt.NDArray[np.float32]


@dataclass(kw_only=True)
class GrownIds:
    """The ids at a path as they were when they were read, and records taken up since."""

    path: Path
    artifact: artifacts.Artifact
    ids: SemanticIds
    """Those of the fitted items."""
    taken_over: TakenOver
    """What compactions took over."""
    journal: Journal | None
    """The journal that goes on there; None where one has yet to begin."""
    items: AddedItems
    """All items that were added, as they are now."""
    chooser: IdChooser
    """Knows which codes are taken."""

    @classmethod
    def read(cls, path: Path, *, mend: bool) -> GrownIds:
        """Reads everything.

        Args:
            path: the artefact of the ids.
            mend: cut off what a crash left; only for who holds the lock.

        Raises:
            ArtifactError: something was altered, belongs to other ids or is being made anew.
        """
        artifact = artifacts.read(path, kind=SEMANTIC_IDS_KIND)
        ids = SemanticIds.load(path)
        refuse_earlier_format(path)
        additions = additions_of(path)
        taken_over = TakenOver.read(additions, len(ids.codebook_sizes), ids.content_width)
        journal, records = _read_journal(artifact, taken_over, mend=mend)
        _require_usable(records, ids, path)
        items = AddedItems(taken_over)
        items.take_up(records)
        taken = np.concatenate([ids.codes, items.all_codes])
        if (taken >= np.asarray(ids.codebook_sizes)).any() or num_distinct(taken) < len(taken):
            raise ArtifactError(
                f"{journal_of(path)} gives two items one id, or one that no item can have; "
                f"restore it and {additions.name} from one copy"
            )
        grown = cls(
            path=path,
            artifact=artifact,
            ids=ids,
            taken_over=taken_over,
            journal=journal,
            items=items,
            chooser=IdChooser(ids, taken),
        )
        if grown.has_changed():
            raise ArtifactError(f"{path} is being made anew; open it again when that is done")
        return grown

    def has_changed(self) -> bool:
        """Whether other ids or another compaction stand there now."""
        found = (digest_of(self.path), digest_of(additions_of(self.path)))
        return found != (self.artifact.digest, self.taken_over.digest)

    def choose(
        self, item_ids: Sequence[str], content: Floats, titles: Sequence[str | None]
    ) -> list[Record]:
        """Records of items that are new, or change; they take their codes at once.

        Args:
            item_ids: n ids.
            content: float32 [n, D]. One that was added keeps its codes if its nearest stay.
            titles: n titles.

        Raises:
            InputError: fewer free ids than items.
        """
        places = [self.items.place_of(item_id) for item_id in item_ids]
        now = {row: self.items.record(p) for row, p in enumerate(places) if p is not None}
        nearest = self.chooser.nearest(content[list(now)]).tolist()
        near = dict(zip(now, map(tuple, nearest), strict=True))
        kept = {row: record for row, record in now.items() if record.nearest == near[row]}
        free = [row for row in range(len(item_ids)) if row not in kept]
        chosen = self.chooser.choose(content[free])
        codes = {row: kept[row].codes for row in kept}
        codes |= zip(free, map(tuple, chosen.codes.tolist()), strict=True)
        near |= zip(free, map(tuple, chosen.nearest.tolist()), strict=True)
        return [
            Record(
                item_id=item_id,
                codes=codes[row],
                nearest=near[row],
                content=content[row].astype("<f4").tobytes(),
                title=titles[row],
            )
            for row, item_id in enumerate(item_ids)
        ]

    def take_up(self, records: Sequence[Record]) -> None:
        """Notes what another process wrote."""
        _require_usable(records, self.ids, self.path)
        self.chooser.fill(self.items.take_up(records))


def digest_of(folder: Path) -> str | None:
    """Of an artefact; None where there is none."""
    manifest = folder / artifacts.MANIFEST_NAME
    return artifacts.sha256(manifest) if manifest.is_file() else None


def _require_usable(records: Sequence[Record], ids: SemanticIds, path: Path) -> None:
    """Raises an ArtifactError where a record is none of these ids."""
    sizes, width = ids.codebook_sizes, ids.content_width
    for record in records:
        fits = all(
            len(codes) == len(sizes)
            and all(code < size for code, size in zip(codes, sizes, strict=True))
            for codes in (record.codes, record.nearest)
        )
        has_vector = len(record.content) == 4 * width and np.isfinite(record.vector).all()
        if not fits or not has_vector:
            raise ArtifactError(
                f"{journal_of(path)}: the codes or the vector of {record.item_id!r} are not of the "
                f"ids at {path}; restore both from one copy"
            )


def _read_journal(
    ids: artifacts.Artifact, taken_over: TakenOver, *, mend: bool
) -> tuple[Journal | None, list[Record]]:
    """The journal that goes on where the additions end; None where one has yet to begin."""
    path, additions = journal_of(ids.path), additions_of(ids.path)
    journal, records, num_others = None, [], len(taken_over.item_ids)
    if path.exists():
        journal = Journal.open(path)
        records = journal.read_new(mend=mend) or []
        new = {record.item_id for record in records} - set(taken_over.item_ids)
        num_others = max(num_others, journal.start.num_added + len(new))
    bases = {taken_over.base, journal and journal.start.base} - {None}
    if num_others and bases != {ids.digest}:
        raise ArtifactError(
            f"{num_others} item(s) were added to other ids than those at {ids.path}, which "
            f"were made anew; put these ids back, or move {path.name} and "
            f"{additions.name} away and add the items again: they may get other ids"
        )
    if journal is None or taken_over.has_all_of(journal):
        return None, []
    if not num_others and journal.start.base != ids.digest:
        return None, []
    follows = journal.format == ADDS_ONLY or journal.start.after == taken_over.checksum
    if journal.start.num_added != len(taken_over.item_ids) or not follows:
        raise ArtifactError(
            f"{path} goes on behind {journal.start.num_added} item(s), but "
            f"{additions} has {len(taken_over.item_ids)}; restore both from "
            "one copy"
        )
    return journal, records
