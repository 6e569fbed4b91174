"""The sizes that requests are padded up to, so that one captured request serves many others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from genrec.generator.combination import FOLLOWER_CANDIDATES
from genrec.interactions import RequestBatch

__all__ = ["Bucket", "GraphConfig"]


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """Which requests share a graph, and how many graphs are kept."""

    shortest: int = 16
    """Events that the shortest windows are padded to; longer ones to the next power of two."""
    fewest_excluded: int = 64
    """Left-out items that short lists are padded to; longer ones to the next power of two."""
    max_places: int = 1 << 24
    """Places of the widest table of a request: beams times the longest row of children, or pairs of
    left-out items. A place takes some 64 bytes while a level is searched. Wider requests are
    answered without a graph."""
    max_graphs: int = 32
    """Graphs that are kept; the one that was unused for longest goes first."""
    max_buffer_bytes: int = 256 << 20
    """Of all graphs' inputs together, of which filters are by far the most. One graph is kept
    whatever it takes. What happens between input and answer lies in memory that all graphs of a
    source share; it is as large as the widest needs."""

    def __post_init__(self) -> None:
        sizes = (self.shortest, self.fewest_excluded, self.max_places, self.max_graphs)
        if min(sizes) < 1 or self.max_buffer_bytes < 0:
            raise ValueError(
                f"sizes must be at least 1, and bytes not negative, got {sizes} and "
                f"{self.max_buffer_bytes}"
            )


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """The shapes of one captured request."""

    batch: int
    """B: requests; those that nobody asked have no events, and nobody reads their answer."""
    length: int
    """T: events of each window."""
    num_beams: tuple[int, ...]
    """M at every level. Never padded: wider beams find other items."""
    excluded: int
    """S: items left out for each request; 0 where nobody leaves out any."""
    filter_rows: int
    """0 where everything is allowed, 1 where one filter serves all, else B."""

    @classmethod
    def of(
        cls,
        requests: RequestBatch,
        window: Tensor,
        *,
        num_beams: Sequence[int],
        history: int,
        config: GraphConfig,
    ) -> Bucket:
        """The smallest bucket that holds the requests.

        Args:
            requests: the questions.
            window: int64 [B, T], as `cut_to_window` gives.
            num_beams: M at every level.
            history: the longest window there is.
            config: which requests share a graph.
        """
        batch = _power_of_two(len(requests))
        num_excluded = 0 if requests.excluded is None else requests.excluded.shape[1]
        filter_rows = 0
        if requests.allowed is not None:
            filter_rows = 1 if requests.allowed.shape[0] == 1 else batch
        return cls(
            batch=batch,
            length=min(_power_of_two(max(window.shape[1], config.shortest)), history),
            num_beams=tuple(num_beams),
            excluded=_power_of_two(max(num_excluded, config.fewest_excluded))
            if num_excluded
            else 0,
            filter_rows=filter_rows,
        )

    def num_places(self, max_degree: Sequence[int]) -> int:
        """Places of the widest table that answering needs.

        Args:
            max_degree: per level, the most children of a node above it.
        """
        tracked = self.num_beams[-1] + FOLLOWER_CANDIDATES  # of `combined`: behind the beams
        rows = [1, *(above + tracked for above in self.num_beams[:-1])]
        children = max(num_rows * most for num_rows, most in zip(rows, max_degree, strict=True))
        return self.batch * max(children, self.excluded**2)


def _power_of_two(size: int) -> int:
    """The smallest power of two that is at least `size`, and at least 1."""
    return 1 << max(size - 1, 0).bit_length()
