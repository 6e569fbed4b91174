"""Vectors from a file fit the catalogue or are refused with what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.embeddings import ItemEmbeddings, read_vectors
from genrec.errors import InputError

IDS = ["a", "b", "c"]
VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_an_array_is_taken_row_by_row(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", VECTORS.astype(np.float64))
    given = read_vectors(tmp_path / "image.npy", IDS)
    np.testing.assert_array_equal(given.vectors, VECTORS)
    assert given.vectors.dtype == np.float32
    assert given.confidence is None


def test_a_table_is_joined_by_item_and_unnamed_items_are_not_trusted(tmp_path: Path) -> None:
    table = pl.DataFrame({"item_id": ["c", "zzz", "a"], "vector": [[4, 5], [9, 9], [0, 1]]})
    table.write_parquet(tmp_path / "image.parquet")
    given = read_vectors(tmp_path / "image.parquet", IDS)
    np.testing.assert_array_equal(given.vectors, [[0, 1], [0, 0], [4, 5]])
    assert given.confidence is not None
    assert given.confidence.tolist() == [1.0, 0.0, 1.0]


def test_ids_are_read_as_the_log_s_are(tmp_path: Path) -> None:
    table = pl.DataFrame({"item_id": [17.0, 3.0], "vector": [[1, 2], [3, 4]]})
    table.write_parquet(tmp_path / "image.parquet")
    given = read_vectors(tmp_path / "image.parquet", ["3", "17"])
    np.testing.assert_array_equal(given.vectors, [[3, 4], [1, 2]])


def test_a_folder_of_embeddings_keeps_its_confidence(tmp_path: Path) -> None:
    confidence = np.array([0.0, 0.5, 1.0], dtype=np.float32)
    made = ItemEmbeddings(vectors=VECTORS, model="m", confidence=confidence)
    made.save(tmp_path / "embeddings")
    given = read_vectors(tmp_path / "embeddings", IDS)
    np.testing.assert_array_equal(given.vectors, VECTORS)
    assert given.confidence is not None
    np.testing.assert_array_equal(given.confidence, confidence)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"item": ["a"], "vector": [[1.0]]}, r"lacks the column\(s\) \['item_id'\]"),
        ({"item_id": ["a", "a"], "vector": [[1.0], [2.0]]}, r"more than once, as \['a'\]"),
        ({"item_id": ["a", "b"], "vector": [[1.0], [2.0, 3.0]]}, r"row 1 \(item 'b'\).*the 1 num"),
        ({"item_id": ["a", "b"], "vector": [[1.0], None]}, r"row 1 \(item 'b'\) is null"),
        ({"item_id": ["a", "b"], "vector": [[1.0], [None]]}, r"row 1 \(item 'b'\) has a null"),
        ({"item_id": ["a", "b"], "vector": [[float("nan")], [1.0]]}, r"row 0 \(item 'a'\).*finite"),
        ({"item_id": ["a", "b"], "vector": [[1.0], [float("inf")]]}, r"row 1 \(item 'b'\).*finite"),
        ({"item_id": ["a"], "vector": [[]]}, "lists of numbers"),
        ({"item_id": ["a"], "vector": ["[0.1, 0.2]"]}, r"lists of numbers, it holds String.*0\.1"),
        ({"item_id": ["a"], "vector": [["x", "y"]]}, "lists of numbers"),
        ({"item_id": ["a", "b", "c"], "vector": [[1.0], [], [2.0]]}, r"row 1 \(item 'b'\) has not"),
        ({"item_id": ["a"], "vector": [3.5]}, "lists of numbers, it holds Float64"),
        ({"item_id": ["x"], "vector": [[1.0]]}, "names no item of the catalogue"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    tmp_path: Path, table: dict[str, list[object]], message: str
) -> None:
    pl.DataFrame(table).write_parquet(tmp_path / "image.parquet")
    with pytest.raises(InputError, match=message):
        read_vectors(tmp_path / "image.parquet", IDS)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no vectors at"):
        read_vectors(tmp_path / "nothing.npy", IDS)
    (tmp_path / "image.txt").write_text("1 2")
    with pytest.raises(InputError, match="neither a folder nor"):
        read_vectors(tmp_path / "image.txt", IDS)
    (tmp_path / "image.npy").write_text("1 2")
    with pytest.raises(InputError, match="no NumPy array"):
        read_vectors(tmp_path / "image.npy", IDS)
    (tmp_path / "image.parquet").write_text("1 2")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_vectors(tmp_path / "image.parquet", IDS)
    np.save(tmp_path / "flat.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"must hold numbers \[N, D\], it holds float64 \[3\]"):
        read_vectors(tmp_path / "flat.npy", IDS)


@pytest.mark.parametrize("num_rows", [2, 4])
def test_another_number_of_items_is_refused(tmp_path: Path, num_rows: int) -> None:
    np.save(tmp_path / "image.npy", np.zeros((num_rows, 2)))
    with pytest.raises(InputError, match=f"holds {num_rows} vectors, the catalogue 3 items"):
        read_vectors(tmp_path / "image.npy", IDS)
