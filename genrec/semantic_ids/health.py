"""How good a set of Semantic IDs is, in figures and, where something is wrong, in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.semantic_ids.collisions import native_collision_rate

__all__ = ["Health", "LevelHealth", "measure_health"]

LEAST_USE = 0.5
LEAST_PERPLEXITY_SHARE = 0.25
MOST_COLLISIONS = 0.10
LEAST_EXPLAINED = 0.10


@dataclass(frozen=True, kw_only=True)
class LevelHealth:
    """How evenly the codes of one level are used, before collisions are resolved."""

    size: int
    """Codes the level has, K."""
    used: int
    """Codes that at least one item has."""
    use: float
    """`used` as a share of `size`."""
    dead: int
    """Codes that no item has."""
    perplexity: float
    """Codes the level would have if all were used equally often; between 1 and `size`."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """The state of a set of Semantic IDs."""

    num_items: int
    native_collision_rate: float
    """1 - distinct ids / items, of the nearest codes."""
    collisions: int
    """Items that still share another's id."""
    num_changed: int
    """Items whose id is not the nearest one, so that all are unique."""
    num_moved: int
    """Of these, the ones whose id differs before the last level: their prefix was full."""
    explained_variance: float
    """Share of the embeddings' variance that the nearest codes keep, after the decoder."""
    levels: tuple[LevelHealth, ...]
    alarms: tuple[str, ...]
    """What is wrong and what to try, a sentence each; empty for sound ids."""

    def to_json(self) -> dict[str, Any]:
        """All fields, as JSON values."""
        return asdict(self)


def measure_health(
    native_codes: npt.NDArray[np.integer],
    codes: npt.NDArray[np.integer],
    codebook_sizes: tuple[int, ...],
    *,
    explained_variance: float,
) -> Health:
    """The health of ids.

    Args:
        native_codes: [N, L], the nearest codes.
        codes: [N, L], the ids that are used.
        codebook_sizes: K of each level.
        explained_variance: of the embeddings, by the nearest codes.
    """
    levels = tuple(
        _level_health(native_codes[:, level], size) for level, size in enumerate(codebook_sizes)
    )
    rate = native_collision_rate(native_codes)
    collisions = len(codes) - len(np.unique(codes, axis=0))
    alarms = [alarm for number, level in enumerate(levels, 1) for alarm in _alarms(number, level)]
    if rate > MOST_COLLISIONS:
        alarms.append(
            f"{rate:.1%} of the items had no id of their own before the last codes were "
            "reassigned; try more --codes or --levels, or embeddings that tell items apart"
        )
    if collisions:
        alarms.append(f"{collisions} item(s) share another's id; make the ids again")
    if explained_variance < LEAST_EXPLAINED:
        alarms.append(
            f"the ids keep {explained_variance:.1%} of what the embeddings say; "
            "try more --epochs or --codes"
        )
    return Health(
        num_items=len(codes),
        native_collision_rate=rate,
        collisions=collisions,
        num_changed=int((native_codes != codes).any(axis=1).sum()),
        num_moved=int((native_codes[:, :-1] != codes[:, :-1]).any(axis=1).sum()),
        explained_variance=explained_variance,
        levels=levels,
        alarms=tuple(alarms),
    )


def _level_health(codes: npt.NDArray[np.integer], size: int) -> LevelHealth:
    counts = np.bincount(codes, minlength=size)
    shares = counts[counts > 0] / len(codes)
    return LevelHealth(
        size=size,
        used=len(shares),
        use=len(shares) / size,
        dead=size - len(shares),
        perplexity=float(np.exp(-(shares * np.log(shares)).sum())),
    )


def _alarms(number: int, level: LevelHealth) -> list[str]:
    if level.use < LEAST_USE:
        return [
            f"level {number} uses {level.used} of {level.size} codes: collapsed; "
            "try more --epochs, fewer --codes, or look for many equal embeddings"
        ]
    if level.perplexity < LEAST_PERPLEXITY_SHARE * level.size:
        return [
            f"level {number} uses its {level.size} codes as unevenly as if there were "
            f"{level.perplexity:.0f}; try more --epochs or fewer --codes"
        ]
    return []
