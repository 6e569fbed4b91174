"""New versions of an artefact of Semantic IDs: as it was, with the items that were added to it."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genrec import artifacts
from genrec.errors import ArtifactError
from genrec.semantic_ids.journal import Journal, sync_folder
from genrec.semantic_ids.semantic_ids import SEMANTIC_IDS_KIND

__all__ = ["TakenOver", "put_back_interrupted", "write_grown"]

logger = logging.getLogger(__name__)

Codes = npt.NDArray[np.uint16]

CODES_FILE = "additions.npz"
FACTS_FILE = "additions.json"


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """What an artefact has from journals, beside the items that it was fitted to."""

    item_ids: list[str]
    """A user's ids, in the order of item_index."""
    codes: Codes
    """uint16 [A, L]."""
    native_codes: Codes
    """uint16 [A, L]: the nearest codes."""
    base: str | None = None
    """Digest of the artefact that this one was compacted from; None if it never was."""
    num_records: int = 0
    """Records of the journal that was taken over last."""
    checksum: str = ""
    """Of that journal's last record."""

    @classmethod
    def of(cls, artifact: artifacts.Artifact, num_levels: int) -> TakenOver:
        """What this one has, of ids of L codes."""
        if not (artifact.path / FACTS_FILE).is_file():
            none = np.empty((0, num_levels), dtype=np.uint16)
            return cls(item_ids=[], codes=none, native_codes=none)
        with np.load(artifact.file(CODES_FILE), allow_pickle=False) as arrays:
            codes, native_codes = arrays["codes"], arrays["native_codes"]
        facts = json.loads(artifact.file(FACTS_FILE).read_text())
        return cls(codes=codes, native_codes=native_codes, **facts)

    def has_all_of(self, journal: Journal) -> bool:
        """Whether this journal was taken over last: then a crash kept a new one from its place."""
        state = (journal.start.base, journal.num_records, journal.checksum)
        return state == (self.base, self.num_records, self.checksum)

    def write(self, folder: Path) -> None:
        """Writes what `of` reads."""
        np.savez(folder / CODES_FILE, codes=self.codes, native_codes=self.native_codes)
        facts = {
            "item_ids": self.item_ids,
            "base": self.base,
            "num_records": self.num_records,
            "checksum": self.checksum,
        }
        (folder / FACTS_FILE).write_text(json.dumps(facts))


def write_grown(artifact: artifacts.Artifact, taken_over: TakenOver) -> None:
    """Puts a version that has these additions in the artefact's place; all else stays the same.

    Configuration, seed and parents, too: it is still what the tokenizer made of them, and who reads
    the ids of the fitted items alone finds no difference.
    """
    path = artifact.path
    with artifacts.writing(
        path,
        kind=artifact.kind,
        config=artifact.config,
        seed=artifact.seed,
        parents={name: _known_by(digest) for name, digest in artifact.parents.items()},
    ) as folder:
        for file in path.iterdir():
            if file.name not in (artifacts.MANIFEST_NAME, CODES_FILE, FACTS_FILE):
                shutil.copyfile(file, folder / file.name)
        taken_over.write(folder)
    # The journal is emptied next, and must not vanish from the disk before the artefact is there.
    sync_folder(path)
    sync_folder(path.parent)


def put_back_interrupted(path: Path) -> None:
    """Puts the artefact back that an interrupted run had moved out of its own way.

    Only for who holds the lock of the ids: nobody else is compacting them then.
    """
    if path.exists():
        return
    for old in path.parent.glob(f".{path.name}.*.old"):
        try:
            artifacts.read(old, kind=SEMANTIC_IDS_KIND)
        except ArtifactError:  # an earlier one, half removed
            continue
        logger.warning("%s had been moved away by a run that was interrupted; put back", path)
        old.rename(path)
        return


def _known_by(digest: str) -> artifacts.Artifact:
    """An artefact, which need not be there any more, as a parent."""
    return artifacts.Artifact(
        path=Path(), kind="", config={}, seed=None, parents={}, digest=digest, created=""
    )
