"""How good a set of Semantic IDs is, in figures and, where something is wrong, in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.semantic_ids.collisions import native_collision_rate
from genrec.semantic_ids.prefixes import num_distinct

__all__ = ["Health", "LatentHealth", "LevelHealth", "measure_health", "measure_latents"]

LEAST_USE = 0.5
LEAST_PERPLEXITY_SHARE = 0.25
MOST_COLLISIONS = 0.10
LEAST_EXPLAINED = 0.10
LEAST_DIRECTIONS = 0.25
"""Of those that latents could vary in: sound fits lie well above, fits with a loss that is reduced
to the mean well below, on real and on planted vectors."""


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
class LatentHealth:
    """In how many directions an encoder's latents vary.

    Codes that are placed by k-means and moved when they are dead are all used even where the
    encoder maps everything onto a few lines. That collapse shows here and not in the use of codes.
    """

    width: int
    """Dimensions the latents have, W."""
    directions: float
    """Directions they vary in: (sum of variances)^2 / sum of squared variances along the principal
    axes (the participation ratio); W where all are alike."""
    vector_directions: float
    """The same of the vectors that are encoded."""

    @property
    def share(self) -> float:
        """`directions` as a share of what they could be."""
        return self.directions / max(min(float(self.width), self.vector_directions), 1.0)


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
    latents: LatentHealth | None
    """Of an RQ-VAE whose vectors are known; the others have no encoder that could collapse."""
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
    latents: LatentHealth | None = None,
) -> Health:
    """The health of ids.

    Args:
        native_codes: [N, L], the nearest codes.
        codes: [N, L], the ids that are used.
        codebook_sizes: K of each level.
        explained_variance: of the embeddings, by the nearest codes.
        latents: of the encoder, where it is known.
    """
    levels = tuple(
        _level_health(native_codes[:, level], size) for level, size in enumerate(codebook_sizes)
    )
    rate = native_collision_rate(native_codes)
    collisions = len(codes) - num_distinct(codes)
    alarms = [
        *(
            alarm
            for number, level in enumerate(levels, 1)
            for alarm in _level_alarms(number, level)
        ),
        *_latent_alarms(latents),
        *_id_alarms(rate, collisions, explained_variance),
    ]
    return Health(
        num_items=len(codes),
        native_collision_rate=rate,
        collisions=collisions,
        num_changed=int((native_codes != codes).any(axis=1).sum()),
        num_moved=int((native_codes[:, :-1] != codes[:, :-1]).any(axis=1).sum()),
        explained_variance=explained_variance,
        levels=levels,
        latents=latents,
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


def measure_latents(
    latents: npt.NDArray[np.floating], vectors: npt.NDArray[np.floating]
) -> LatentHealth:
    """How latents [n, W] vary, beside the vectors [n, D] that were encoded."""
    return LatentHealth(
        width=latents.shape[1],
        directions=_directions(latents),
        vector_directions=_directions(vectors),
    )


def _directions(points: npt.NDArray[np.floating]) -> float:
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    gram = centred.T @ centred
    squares = float((gram**2).sum())  # of the eigenvalues
    return 1.0 if squares == 0 else float(np.trace(gram)) ** 2 / squares


def _level_alarms(number: int, level: LevelHealth) -> list[str]:
    if level.use < LEAST_USE:
        return [
            f"level {number} uses {level.used} of {level.size} codes: collapsed; try fewer "
            "--codes, look for many equal vectors, and with rqvae leave reconstruction_weight, "
            "learning_rate and dead_code_share as they are by default"
        ]
    if level.perplexity < LEAST_PERPLEXITY_SHARE * level.size:
        return [
            f"level {number} uses its {level.size} codes as unevenly as if there were "
            f"{level.perplexity:.0f}; try fewer --codes, --set balanced=true with rkmeans, or "
            "another --method"
        ]
    return []


def _latent_alarms(latents: LatentHealth | None) -> list[str]:
    if latents is None or latents.share >= LEAST_DIRECTIONS:
        return []
    return [
        f"the encoder's latents vary in {latents.directions:.1f} of {latents.width} directions, "
        f"the vectors in {latents.vector_directions:.0f}: collapsed, which the use of codes "
        "may hide; the pull towards the codes outweighs the reconstruction: try "
        "--set reconstruction_weight=1 (1 / D takes the mean over dimensions), "
        "--set learning_rate=0.001 or a smaller commitment_weight"
    ]


def _id_alarms(rate: float, collisions: int, explained_variance: float) -> list[str]:
    alarms = []
    if rate > MOST_COLLISIONS:
        alarms.append(
            f"{rate:.1%} of the items had no id of their own before the last codes were "
            "reassigned; try more --codes or --levels, or embeddings that tell items apart"
        )
    if collisions:
        alarms.append(f"{collisions} item(s) share another's id; make the ids again")
    if explained_variance < LEAST_EXPLAINED:
        alarms.append(
            f"the ids keep {explained_variance:.1%} of what the embeddings say; try more --codes "
            "or --levels, or more epochs"
        )
    return alarms
