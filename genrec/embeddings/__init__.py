"""From catalogue text to vectors: offline by default, encoded once, kept in a verified cache."""

from genrec.embeddings.cache import default_cache_dir
from genrec.embeddings.co_occurrence import (
    CO_OCCURRENCE,
    CoOccurrenceConfig,
    collaborative_vectors,
    pair_counts,
)
from genrec.embeddings.encoder import EncodedTexts, embed_texts
from genrec.embeddings.given import read_vectors
from genrec.embeddings.item_embeddings import EMBEDDINGS_KIND, ItemEmbeddings
from genrec.embeddings.models import DEFAULT_MODEL, find_model, model_digest

__all__ = [
    "CO_OCCURRENCE",
    "DEFAULT_MODEL",
    "EMBEDDINGS_KIND",
    "CoOccurrenceConfig",
    "EncodedTexts",
    "ItemEmbeddings",
    "collaborative_vectors",
    "default_cache_dir",
    "embed_texts",
    "find_model",
    "model_digest",
    "pair_counts",
    "read_vectors",
]
