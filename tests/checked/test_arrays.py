"""NumPy's files from anybody: what was expected, or an error and no memory spent."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from genrec.checked import read_array, read_arrays
from genrec.errors import ArtifactError

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)
SPEC = ("float32", (2, None))


def with_header(shape: str) -> bytes:
    """A file whose header says this shape; the values are those of VALUES."""
    stream = io.BytesIO()
    np.save(stream, VALUES)
    content = stream.getvalue()
    before = b"'shape': (2, 3), }"
    assert before in content
    after = f"'shape': {shape}, }}".encode()
    padding = len(after) - len(before)
    return content.replace(before + b" " * padding, after)


@pytest.mark.parametrize("mapped", [True, False])
def test_an_array_comes_back(tmp_path: Path, mapped: bool) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", SPEC, mapped=mapped), VALUES)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("shape", ["(2, 10**12)", "(2, 1000000000000)", "(2, -3)", "(2, 2)", "'x'"])
def test_a_header_that_lies_is_refused(tmp_path: Path, shape: str, mapped: bool) -> None:
    (tmp_path / "a.npy").write_bytes(with_header(shape))
    with pytest.raises(ArtifactError, match=r"a\.npy"):
        read_array(tmp_path / "a.npy", SPEC, mapped=mapped)


@pytest.mark.parametrize(
    "values",
    [
        VALUES.astype(np.float64),
        VALUES[None],
        VALUES[:1],
        VALUES * np.nan,
        np.array([["x"] * 3] * 2),
        np.array([[None] * 3] * 2, dtype=object),
    ],
)
def test_another_array_is_refused(
    tmp_path: Path, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ArtifactError, match=r"a\.npy"):
        read_array(tmp_path / "a.npy", SPEC)
    np.savez(tmp_path / "a.npz", a=values)
    with pytest.raises(ArtifactError, match=r"a\.npz"):
        read_arrays(tmp_path / "a.npz", {"a": SPEC})


def test_names_are_those_expected(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=VALUES, b=VALUES)
    assert set(read_arrays(tmp_path / "a.npz", {"a": SPEC, "b": SPEC})) == {"a", "b"}
    both = {"a": SPEC, "b": SPEC, "c": SPEC}
    assert "c" not in read_arrays(tmp_path / "a.npz", both, optional=("c",))
    for expected in ({"a": SPEC}, both):
        with pytest.raises(ArtifactError, match="missing"):
            read_arrays(tmp_path / "a.npz", expected)


def test_what_would_be_unpacked_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.npy", with_header("(2, 3)"))
    with pytest.raises(ArtifactError, match="packed otherwise"):
        read_arrays(tmp_path / "a.npz", {"a": SPEC})
    (tmp_path / "a.npz").write_bytes(b"PK")
    with pytest.raises(ArtifactError, match="no archive"):
        read_arrays(tmp_path / "a.npz", {"a": SPEC})
