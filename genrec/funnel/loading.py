"""Loads a run as it stood at one moment, though other programs may replace its parts meanwhile."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from genrec.errors import BusyError
from genrec.funnel.added_items import find_added_items
from genrec.funnel.sources import digests, load_sources
from genrec.interactions import InteractionDataset, Source

if TYPE_CHECKING:
    from genrec.semantic_ids import SemanticIdStore

__all__ = ["LoadedRun", "load_run"]

log = logging.getLogger(__name__)

MOST_LOADINGS = 5
"""How often a run is loaded again that was replaced meanwhile."""


class LoadedRun(NamedTuple):
    """What answers, all of one state of the run."""

    dataset: InteractionDataset
    sources: dict[str, Source]
    added: SemanticIdStore | None
    """What was added to the ids, if anything was."""
    digests: dict[str, str]
    """The digest of each part that was loaded."""


def load_run(run: Path | str, *, refit: bool, device: str) -> LoadedRun:
    """Everything that answers for a run.

    The digests are read before and after: where they differ, what was loaded may be of two states,
    or have failed for that reason, and it is loaded again.

    Raises:
        BusyError: other programs replace parts again and again.
        ArtifactError, InputError: as `load_sources`.
    """
    for _ in range(MOST_LOADINGS):
        before = digests(run, refit=refit)
        try:
            added = find_added_items(run)
            sources = load_sources(run, refit=refit, device=device, added=added)
            dataset = InteractionDataset.load(Path(run) / "data")
        except Exception:
            if digests(run, refit=refit) == before:
                raise
        else:
            if digests(run, refit=refit) == before:
                return LoadedRun(dataset, sources, added, before)
        log.info("%s was replaced while it was loaded; it is loaded again", run)
    raise BusyError(f"{run} is being replaced again and again; load it when that is done")
