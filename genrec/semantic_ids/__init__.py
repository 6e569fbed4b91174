"""From item vectors to Semantic IDs: a few codes an item, unique; alike items share the first."""

from genrec.semantic_ids.agreement import PrefixAgreement
from genrec.semantic_ids.categories import Categories, categories_of
from genrec.semantic_ids.collisions import Resolution, native_collision_rate, resolve_collisions
from genrec.semantic_ids.compaction import additions_of
from genrec.semantic_ids.fitting import COLLABORATIVE, fit_semantic_ids, supported_num_codes
from genrec.semantic_ids.fusion import Fusion, Modality
from genrec.semantic_ids.health import Health, LatentHealth, LevelHealth, measure_health
from genrec.semantic_ids.inspection import Inspection, inspect_ids
from genrec.semantic_ids.journal import journal_of
from genrec.semantic_ids.linear import LinearQuantizer, ProductConfig, ResidualKMeansConfig
from genrec.semantic_ids.picture import ids_picture, ids_picture_page
from genrec.semantic_ids.preparation import Preparation, Whitening
from genrec.semantic_ids.quantizer import Method, Quantizer
from genrec.semantic_ids.replacing import finish_interrupted, refuse_to_lose_items, replacing
from genrec.semantic_ids.rqvae import CodebookUpdate, RqVae, RqVaeConfig
from genrec.semantic_ids.run_folder import (
    find_data,
    find_embeddings,
    find_parent,
    training_histories,
)
from genrec.semantic_ids.semantic_ids import (
    SEMANTIC_IDS_KIND,
    SemanticIds,
    TokenizerConfig,
    tokenizer_record,
)
from genrec.semantic_ids.store import Added, SemanticIdStore

__all__ = [
    "COLLABORATIVE",
    "SEMANTIC_IDS_KIND",
    "Added",
    "Categories",
    "CodebookUpdate",
    "Fusion",
    "Health",
    "Inspection",
    "LatentHealth",
    "LevelHealth",
    "LinearQuantizer",
    "Method",
    "Modality",
    "PrefixAgreement",
    "Preparation",
    "ProductConfig",
    "Quantizer",
    "ResidualKMeansConfig",
    "Resolution",
    "RqVae",
    "RqVaeConfig",
    "SemanticIdStore",
    "SemanticIds",
    "TokenizerConfig",
    "Whitening",
    "additions_of",
    "categories_of",
    "find_data",
    "find_embeddings",
    "find_parent",
    "finish_interrupted",
    "fit_semantic_ids",
    "ids_picture",
    "ids_picture_page",
    "inspect_ids",
    "journal_of",
    "measure_health",
    "native_collision_rate",
    "refuse_to_lose_items",
    "replacing",
    "resolve_collisions",
    "supported_num_codes",
    "tokenizer_record",
    "training_histories",
]
