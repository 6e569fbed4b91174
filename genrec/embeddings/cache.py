"""Vectors kept between runs, by what was encoded with what; files that were altered are dropped."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["VectorCache", "default_cache_dir", "text_key"]

logger = logging.getLogger(__name__)

KEY_BYTES = 32


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/genrec`, or `~/.cache/genrec`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "genrec"


def text_key(text: str) -> bytes:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).digest()


class VectorCache:
    """Vectors by text, in files that are each named by the SHA-256 of their own content.

    A file whose name does not fit its content (half written, altered) is never parsed but removed,
    so that its texts are encoded anew. Files are only added: two processes can share a cache.

    Args:
        cache_dir: where all caches of genrec stand.
        encoder_key: names the encoder and everything else that decides a text's vector.
    """

    def __init__(self, cache_dir: Path, encoder_key: str) -> None:
        self.folder = cache_dir / "embeddings" / encoder_key

    def find(self, keys: set[bytes]) -> dict[bytes, npt.NDArray[np.float32]]:
        """The vectors, float32 [D], of those keys that are known."""
        found = {}
        for file_keys, vectors in self._files():
            for row, key in enumerate(file_keys):
                if key in keys:
                    found[key] = vectors[row]
        return found

    def add(self, vectors: Mapping[bytes, npt.NDArray[np.float32]]) -> None:
        """Writes one more file with these vectors."""
        buffer = io.BytesIO()
        keys = np.frombuffer(b"".join(vectors), dtype=np.uint8).reshape(-1, KEY_BYTES)
        np.savez(buffer, keys=keys, vectors=np.stack(list(vectors.values())))
        content = buffer.getvalue()
        partial = self.folder / f".{uuid.uuid4().hex}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.rename(self.folder / f"{hashlib.sha256(content).hexdigest()}.npz")
        except OSError as error:  # what is kept saves time, and no more
            partial.unlink(missing_ok=True)
            logger.warning("vectors cannot be kept in %s (%s); going on", self.folder, error)

    def _files(self) -> Iterator[tuple[list[bytes], npt.NDArray[np.float32]]]:
        for file in sorted(self.folder.glob("*.npz")):
            content = file.read_bytes()
            if hashlib.sha256(content).hexdigest() != file.stem:
                logger.warning("%s was altered; removed, its texts are encoded again", file)
                file.unlink(missing_ok=True)
                continue
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                keys, vectors = arrays["keys"], arrays["vectors"]
            yield [key.tobytes() for key in keys], vectors
