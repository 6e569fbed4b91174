"""Other Semantic IDs in the place of those that stand there, without losing what was added."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from genrec import artifacts
from genrec.errors import ArtifactError, InputError
from genrec.semantic_ids.compaction import TakenOver, additions_of
from genrec.semantic_ids.journal import Journal, exclusive, has_locks, journal_of, lock_of
from genrec.semantic_ids.journal_head import head_of

__all__ = ["finish_interrupted", "refuse_to_lose_items", "replacing"]

log = logging.getLogger(__name__)


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
        _put_back(path)
        with artifacts.claim(additions_of(path)):
            pass  # a compaction that was interrupted is put back too, to be found or discarded
        if not discard:
            refuse_to_lose_items(path)
        mark = _mark(path)
        aside = {
            each: each.with_name(f".{each.name}.{mark}.discarded")
            for each in _added_to(path)
            if each.exists()
        }
        for place, away in aside.items():
            place.rename(away)
        try:
            yield
        except BaseException:
            for place, away in aside.items():
                away.rename(place)
            raise
        for away in aside.values():
            _remove(away)


def finish_interrupted(path: Path | str) -> None:
    """Puts back what was set aside for a replacement of the ids at `path` that a kill ended.

    Without it added items would be hidden in silence. Whoever reads or writes them calls it first.
    """
    path = Path(path)
    if has_locks() and _was_interrupted(path):
        with exclusive(lock_of(path)):
            _put_back(path)


def _put_back(path: Path) -> None:
    """Only for who holds the lock: puts back what belongs to these ids, removes the rest."""
    for place in _added_to(path):
        name = re.compile(rf"\.{re.escape(place.name)}\.(?:([0-9a-f]{{16}}|none)\.)?discarded")
        for away in sorted(path.parent.glob(".*.discarded")):
            found = name.fullmatch(away.name)
            if found is None:  # of another place, whose name begins alike: a journal and its head
                continue
            if found[1] == _mark(path) and not place.exists():
                away.rename(place)
                log.warning("%s is back: the replacement of %s was interrupted", place, path)
            else:
                _remove(away)


def _was_interrupted(path: Path) -> bool:
    return any(
        place.with_name(f".{place.name}.{_mark(path)}.discarded").exists()
        for place in _added_to(path)
    )


def _added_to(path: Path) -> tuple[Path, ...]:
    """Where what was added to the ids at `path` stands, whether or not there is anything."""
    return journal_of(path), head_of(journal_of(path)), additions_of(path)


def _mark(path: Path) -> str:
    """Names the ids that stand at `path`; `none` where none do."""
    manifest = path / artifacts.MANIFEST_NAME
    return artifacts.sha256(manifest)[:16] if manifest.is_file() else "none"


def _remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def refuse_to_lose_items(path: Path | str) -> None:
    """Raises an InputError where items were added to the ids at `path`, or it cannot be told."""
    path = Path(path)
    finish_interrupted(path)
    try:
        lost = _num_added(path)
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
