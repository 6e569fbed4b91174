"""What a recommender answers: items in the user's own ids, and the record of their making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["RecommendedItem", "RecommendedList"]


@dataclass(frozen=True, kw_only=True)
class RecommendedItem:
    """One line of a list."""

    rank: int
    """1 is best."""
    item_id: str
    """The user's id."""
    title: str | None
    """From the catalogue; None where it has none."""
    score: float
    """Comparable within this list only."""
    served_by: str
    """The method whose list this is."""


@dataclass(frozen=True, kw_only=True)
class RecommendedList:
    """A list with the record of its making."""

    items: list[RecommendedItem]
    """Best first; shorter than asked for where fewer are permitted."""
    served_by: str
    """The method whose list this is."""
    backend: str | None
    """By what the kernels of a generator ran; None where the method has none."""
    total_ms: float
    """From the call to the answer, milliseconds."""
    stage_ms: Mapping[str, float]
    """Milliseconds of every stage that ran, in order."""
    num_unknown_items: int = 0
    """Ids of the history that the catalogue does not know; they were left out."""
    is_history_unknown: bool = False
    """Whether the catalogue knows nothing of the history: the answer is that for a new person."""
