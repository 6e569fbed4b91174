"""From catalogue text to vectors: offline by default, encoded once, kept in a verified cache."""

from genrec.embeddings.cache import default_cache_dir
from genrec.embeddings.encoder import EncodedTexts, embed_texts
from genrec.embeddings.item_embeddings import EMBEDDINGS_KIND, ItemEmbeddings
from genrec.embeddings.models import DEFAULT_MODEL, find_model, model_digest

__all__ = [
    "DEFAULT_MODEL",
    "EMBEDDINGS_KIND",
    "EncodedTexts",
    "ItemEmbeddings",
    "default_cache_dir",
    "embed_texts",
    "find_model",
    "model_digest",
]
