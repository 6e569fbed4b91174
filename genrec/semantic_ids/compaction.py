"""Items that a compaction took from the journal: an artefact of their own, beside the ids.

The ids of the fitted items are never written again, so that what was made from them stays what it
was made from.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec import artifacts
from genrec.checked import ArraySpec, read_arrays, read_json
from genrec.errors import ArtifactError
from genrec.semantic_ids.given_items import is_text
from genrec.semantic_ids.journal import Journal
from genrec.semantic_ids.journal_head import sync_folder

__all__ = ["TakenOver", "additions_of", "put_back_interrupted"]

logger = logging.getLogger(__name__)

Codes = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]

ADDITIONS_KIND = "semantic_id_additions"
ARRAYS_FILE = "additions.npz"
FACTS_FILE = "additions.json"


def additions_of(path: Path) -> Path:
    """Where compactions put the items that were added to the Semantic IDs at `path`."""
    return path.with_name(f"{path.name}.additions")


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """What compactions have taken from journals."""

    item_ids: list[str]
    """A user's ids, in the order of item_index."""
    codes: Codes
    """uint16 [A, L]."""
    native_codes: Codes
    """uint16 [A, L]: the nearest codes."""
    content: Floats
    """float32 [A, D]: what they were encoded from."""
    titles: list[str | None]
    removed: npt.NDArray[np.bool_]
    """bool [A]: items that no answer shall hold any more; their places stay theirs."""
    retired: Codes
    """uint16 [R, L]: codes that changed items had before; nobody gets them again."""
    checksum: str = ""
    """Of the last record of the journal that was taken over last."""
    base: str | None = None
    """Digest of the ids that they were added to; None where there are none."""
    digest: str | None = None
    """Of the artefact; None where there is none."""

    @classmethod
    def read(cls, path: Path, num_levels: int, width: int) -> TakenOver:
        """What stands at `path`, of ids of L codes and D contents; nothing without an artefact.

        Raises:
            ArtifactError: it was altered.
        """
        if not path.exists():
            none = np.empty((0, num_levels), dtype=np.uint16)
            content = np.empty((0, width), dtype=np.float32)
            return cls(
                item_ids=[],
                codes=none,
                native_codes=none,
                content=content,
                titles=[],
                removed=np.empty(0, dtype=np.bool_),
                retired=none,
            )
        try:
            artifact = artifacts.read(path, kind=ADDITIONS_KIND)
        except ArtifactError as error:
            raise ArtifactError(
                f"the items that were added to {path.stem} cannot be read ({error}): restore "
                f"{path} from a copy, or move it away and add its items again: they may get other "
                "ids"
            ) from error
        facts = _read_facts(artifact.file(FACTS_FILE))
        arrays = _read_items(artifact.file(ARRAYS_FILE), len(facts["item_ids"]), num_levels, width)
        return cls(
            **arrays,
            **facts,
            base=artifact.parents.get("semantic_ids"),
            digest=artifact.digest,
        )

    def has_all_of(self, journal: Journal) -> bool:
        """Whether this journal was taken over last: then a crash kept a new one from its place."""
        return bool(self.checksum) and journal.checksum == self.checksum

    def write(self, path: Path, ids: artifacts.Artifact) -> None:
        """Puts them at `path`, in the place of what stands there; no crash loses both."""
        parents = {"semantic_ids": ids}
        with artifacts.writing(path, kind=ADDITIONS_KIND, config={}, parents=parents) as folder:
            np.savez(
                folder / ARRAYS_FILE,
                codes=self.codes,
                native_codes=self.native_codes,
                content=self.content,
                removed=self.removed,
                retired=self.retired,
            )
            facts = {
                "item_ids": self.item_ids,
                "titles": self.titles,
                "checksum": self.checksum,
            }
            (folder / FACTS_FILE).write_text(json.dumps(facts))
        # The journal is emptied next; it must not be gone from the disk before this is there.
        sync_folder(path)
        sync_folder(path.parent)


def _read_facts(path: Path) -> dict[str, Any]:
    """Ids, titles and checksum, each of its type."""
    facts = read_json(path)
    if not isinstance(facts, dict) or set(facts) != {"item_ids", "titles", "checksum"}:
        raise ArtifactError(f"{path} must have item_ids, titles and checksum, and nothing else")
    item_ids, titles = facts["item_ids"], facts["titles"]
    usable = (
        isinstance(item_ids, list)
        and all(is_text(item_id) and item_id for item_id in item_ids)
        and isinstance(titles, list)
        and all(title is None or is_text(title) for title in titles)
        and len(titles) == len(item_ids)
        and isinstance(facts["checksum"], str)
    )
    if not usable or len(set(item_ids)) < len(item_ids):
        raise ArtifactError(f"{path} does not name each item once, with a title or null")
    return facts


def _read_items(path: Path, num_items: int, num_levels: int, width: int) -> dict[str, Any]:
    """The arrays of A items; none were removed or changed before there were marks for it."""
    codes = ("uint16", (num_items, num_levels or None))
    expected: dict[str, ArraySpec] = {
        "codes": codes,
        "native_codes": codes,
        "content": ("float32", (num_items, width or None)),
        "removed": ("bool", (num_items,)),
        "retired": ("uint16", (None, num_levels or None)),
    }
    arrays = read_arrays(path, expected, optional=("removed", "retired"))
    arrays.setdefault("removed", np.zeros(num_items, dtype=np.bool_))
    arrays.setdefault("retired", arrays["codes"][:0])
    return arrays


def refuse_earlier_format(ids: Path) -> None:
    """Raises an ArtifactError where a compaction of before put items into the ids themselves."""
    if (ids / FACTS_FILE).exists():
        raise ArtifactError(
            f"{ids} holds items that an earlier genrec added to it; make the ids anew from data "
            "that has all items, or add these again to ids without them: they may get other ids"
        )


def put_back_interrupted(path: Path, base: str | None) -> None:
    """Puts the artefact back that an interrupted compaction had moved out of its own way.

    One whose items were added to other ids than `base`, their digest, stays away. Only for who
    holds the lock of the ids: nobody else is compacting them then.
    """
    if path.exists():
        return
    for old in path.parent.glob(f".{path.name}.*.old"):
        try:
            found = artifacts.read(old, kind=ADDITIONS_KIND)
        except ArtifactError:  # an earlier one, half removed
            continue
        if found.parents.get("semantic_ids") != base:
            continue
        logger.warning("%s had been moved away by a run that was interrupted; put back", path)
        old.rename(path)
        return
