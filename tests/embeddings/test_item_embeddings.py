"""Item vectors are checked when made, and verified when loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrec.embeddings import ItemEmbeddings
from genrec.errors import ArtifactError, InputError

VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    ItemEmbeddings(vectors=VECTORS, model="m").save(tmp_path / "e")
    loaded = ItemEmbeddings.load(tmp_path / "e")
    np.testing.assert_array_equal(loaded.vectors, VECTORS)
    assert loaded.model == "m"


def test_an_altered_file_is_not_loaded(tmp_path: Path) -> None:
    ItemEmbeddings(vectors=VECTORS, model="m").save(tmp_path / "e")
    file = tmp_path / "e" / "vectors.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"vectors\.npy was altered"):
        ItemEmbeddings.load(tmp_path / "e")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_named(value: float) -> None:
    vectors = VECTORS.copy()
    vectors[1, 2] = value
    with pytest.raises(InputError, match=r"rows \[1\]"):
        ItemEmbeddings(vectors=vectors, model="m")


def test_another_shape_or_dtype_is_refused() -> None:
    with pytest.raises(InputError, match=r"\[N, D\]"):
        ItemEmbeddings(vectors=VECTORS[:0], model="m")
    with pytest.raises(InputError, match="float32"):
        ItemEmbeddings(vectors=VECTORS.astype(np.float64), model="m")


def test_another_number_of_items_than_the_catalogue_has_is_refused(tmp_path: Path) -> None:
    vectors = np.ones((3, 2), dtype=np.float32)
    ItemEmbeddings(vectors=vectors, model="m").save(tmp_path / "e")
    assert len(ItemEmbeddings.load(tmp_path / "e", num_items=3).vectors) == 3
    with pytest.raises(ArtifactError, match=r"vectors\.npy"):
        ItemEmbeddings.load(tmp_path / "e", num_items=4)
