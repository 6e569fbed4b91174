"""From item vectors to Semantic IDs: a few codes an item, unique; alike items share the first."""

from genrec.semantic_ids.collisions import Resolution, native_collision_rate, resolve_collisions
from genrec.semantic_ids.fitting import fit_rqvae
from genrec.semantic_ids.health import Health, LevelHealth, measure_health
from genrec.semantic_ids.rqvae import RqVae, RqVaeConfig
from genrec.semantic_ids.semantic_ids import (
    SEMANTIC_IDS_KIND,
    SemanticIds,
    fit_semantic_ids,
    supported_num_codes,
)

__all__ = [
    "SEMANTIC_IDS_KIND",
    "Health",
    "LevelHealth",
    "Resolution",
    "RqVae",
    "RqVaeConfig",
    "SemanticIds",
    "fit_rqvae",
    "fit_semantic_ids",
    "measure_health",
    "native_collision_rate",
    "resolve_collisions",
    "supported_num_codes",
]
