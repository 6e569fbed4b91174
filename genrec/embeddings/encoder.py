"""Texts to vectors with a sentence-transformers model; each distinct text is encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genrec import console
from genrec.embeddings.cache import VectorCache, default_cache_dir, text_key
from genrec.embeddings.models import DEFAULT_MODEL, find_model, model_digest
from genrec.errors import InputError

__all__ = ["EncodedTexts", "embed_texts"]

Floats = npt.NDArray[np.float32]

TEXTS_PER_FILE = 2048  # what an interrupted run loses at most


@dataclass(frozen=True, kw_only=True)
class EncodedTexts:
    """Vectors of texts, and where they come from."""

    vectors: Floats
    """float32 [N, D], in the order of the texts."""
    num_encoded: int
    """Distinct texts that were not in the cache and had to be encoded."""


def embed_texts(
    texts: Sequence[str],
    model: str = DEFAULT_MODEL,
    *,
    cache_dir: Path | None = None,
    batch_size: int = 64,
    max_tokens: int = 128,
) -> EncodedTexts:
    """The vector of each text.

    Args:
        texts: N texts, none of them empty.
        model: `all-MiniLM-L6-v2` (bundled, offline), a folder, or owner/name on the hub.
        cache_dir: where vectors are kept between runs; None takes `default_cache_dir()`.
        batch_size: texts that are encoded at once.
        max_tokens: what a text has beyond this many tokens is not read.

    Returns:
        float32 [N, D], all finite, and how much of it was encoded now.

    Raises:
        InputError: no or empty texts, an unknown model, or a model that gives non-finite vectors.
        MissingDependencyError: the default model is not installed.
    """
    _require_texts(texts)
    folder = find_model(model)
    digest = model_digest(folder)
    cache = VectorCache(cache_dir or default_cache_dir(), f"{digest[:32]}-{max_tokens}")
    by_key = {text_key(text): text for text in texts}
    vectors = cache.find(set(by_key))
    missing = {key: text for key, text in by_key.items() if key not in vectors}
    if missing:
        encoder = _Encoder(folder, model, batch_size=batch_size, max_tokens=max_tokens)
        with console.progress("encoding texts", len(missing)) as advance:
            for part in _longest_first(missing):
                encoded = encoder.encode(part, advance)
                cache.add(encoded)
                vectors.update(encoded)
    return EncodedTexts(
        vectors=np.stack([vectors[text_key(text)] for text in texts]),
        num_encoded=len(missing),
    )


def _require_texts(texts: Sequence[str]) -> None:
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    if empty or not texts:
        what = f"rows {empty[:5]} are empty" if texts else "there are none"
        raise InputError(f"every item needs a text, but {what}; give each a title or its id")


def _longest_first(texts: Mapping[bytes, str]) -> Iterator[dict[bytes, str]]:
    """The texts in parts of one cache file each; alike in length, they need little padding."""
    keys = sorted(texts, key=lambda key: (-len(texts[key]), key))
    for start in range(0, len(keys), TEXTS_PER_FILE):
        yield {key: texts[key] for key in keys[start : start + TEXTS_PER_FILE]}


class _Encoder:
    """A loaded model that encodes batch after batch."""

    def __init__(self, folder: Path, name: str, *, batch_size: int, max_tokens: int) -> None:
        # Importing it takes seconds, which a run that finds everything in the cache does not need.
        from sentence_transformers import SentenceTransformer

        with _without_own_progress():
            self.model = SentenceTransformer(str(folder), local_files_only=True).eval()
        self.model.max_seq_length = max_tokens
        self.name, self.batch_size = name, batch_size

    def encode(self, texts: Mapping[bytes, str], advance: console.Progress) -> dict[bytes, Floats]:
        """The vector, float32 [D], of every text, by its key."""
        vectors: dict[bytes, Floats] = {}
        keys = list(texts)
        for start in range(0, len(keys), self.batch_size):
            batch = keys[start : start + self.batch_size]
            rows = self._encode_batch([texts[key] for key in batch])
            vectors.update(zip(batch, rows, strict=True))
            advance(len(batch))
        return vectors

    def _encode_batch(self, texts: list[str]) -> Floats:
        encoded = self.model.encode(texts, batch_size=len(texts), show_progress_bar=False)
        rows = np.asarray(encoded, dtype=np.float32)  # [n, D]
        broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if broken.size:
            raise InputError(
                f"the text encoder {self.name!r} gives NaN or infinity, the first for the text "
                f"{texts[int(broken[0])]!r}; use another with --model"
            )
        return rows


@contextmanager
def _without_own_progress() -> Iterator[None]:
    """Keeps transformers from drawing a bar of its own beside ours."""
    from transformers.utils import logging as transformers_logging

    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()
