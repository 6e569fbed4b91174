"""Other Semantic IDs in the place of those that stand there, without losing what was added."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from genrec.errors import ArtifactError, InputError
from genrec.semantic_ids.compaction import TakenOver, additions_of
from genrec.semantic_ids.journal import Journal, exclusive, has_locks, journal_of, lock_of
from genrec.semantic_ids.journal_head import head_of

__all__ = ["refuse_to_lose_items", "replacing"]


@contextmanager
def replacing(path: Path | str, *, discard: bool) -> Iterator[None]:
    """Inside it, other ids may be put at `path`; what was added to those before goes with them.

    Nobody can add an item meanwhile.

    Args:
        path: where the ids stand.
        discard: whether added items may go.

    Raises:
        InputError: items were added, or it cannot be told, and `discard` is false.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(lock_of(path)) if has_locks() else nullcontext():
        if not discard:
            refuse_to_lose_items(path)
        added = (journal_of(path), head_of(journal_of(path)), additions_of(path))
        aside = {each: each.with_name(f".{each.name}.discarded") for each in added if each.exists()}
        for place, away in aside.items():
            _remove(away)
            place.rename(away)
        try:
            yield
        except BaseException:
            for place, away in aside.items():
                away.rename(place)
            raise
        for away in aside.values():
            _remove(away)


def _remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def refuse_to_lose_items(path: Path | str) -> None:
    """Raises an InputError where items were added to the ids at `path`, or it cannot be told."""
    try:
        lost = _num_added(Path(path))
    except ArtifactError as error:
        raise InputError(
            f"items were added to {path}, and what was added cannot be read: {error}. Give another "
            "--out, or --force to discard them"
        ) from error
    if lost:
        raise InputError(
            f"{path} has {lost} item(s) that were added after the fit; other ids have no place "
            "for them. Give another --out, or --force to discard them"
        )


def _num_added(path: Path) -> int:
    """Items that were added to the Semantic IDs that stand, or stood, at `path`.

    Raises:
        ArtifactError: what says so was altered.
    """
    taken_over = len(TakenOver.read(additions_of(path), num_levels=0, width=0).item_ids)
    if not journal_of(path).exists():
        return taken_over
    journal = Journal.open(journal_of(path))
    records = journal.read_new() or []
    return max(taken_over, journal.start.num_added + len({each.item_id for each in records}))
