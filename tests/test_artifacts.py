"""A saved folder is whole, intact and what it is asked to be, or it is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genrec import artifacts
from genrec.errors import ArtifactError, ArtifactMissingError

KIND = "thing"


def write(path: Path, content: str = "content", **config: object) -> artifacts.Artifact:
    with artifacts.writing(path, kind=KIND, config=config, seed=3) as folder:
        (folder / "one.txt").write_text(content)
        (folder / "inner").mkdir()
        (folder / "inner" / "two.bin").write_bytes(bytes(range(256)))
    return artifacts.read(path, kind=KIND)


def test_an_artefact_reads_back_with_what_it_was_made_of(tmp_path: Path) -> None:
    parent = write(tmp_path / "parent")
    with artifacts.writing(
        tmp_path / "child", kind="child", config={"levels": (1, 2)}, parents={"of": parent}
    ) as folder:
        (folder / "one.txt").write_text("child")
    child = artifacts.read(tmp_path / "child", kind="child")
    assert dict(child.config) == {"levels": [1, 2]}
    assert child.parents == {"of": parent.digest}
    assert (child.seed, parent.seed) == (None, 3)
    assert child.file("one.txt").read_text() == "child"
    assert child.digest != parent.digest


def test_a_file_that_it_does_not_have_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has no file 'three'"):
        write(tmp_path / "a").file("three")


def test_a_block_that_raises_leaves_the_old_artefact_and_nothing_else(tmp_path: Path) -> None:
    old = write(tmp_path / "a")
    with (
        pytest.raises(RuntimeError, match="halfway"),
        artifacts.writing(tmp_path / "a", kind=KIND, config={}) as folder,
    ):
        (folder / "one.txt").write_text("new")
        raise RuntimeError("halfway")
    assert artifacts.read(tmp_path / "a", kind=KIND).digest == old.digest
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_process_that_dies_while_writing_leaves_the_old_artefact(tmp_path: Path) -> None:
    old = write(tmp_path / "a")
    program = (
        "import os, sys; from pathlib import Path; from genrec import artifacts\n"
        "with artifacts.writing(Path(sys.argv[1]), kind='thing', config={}) as folder:\n"
        "    (folder / 'one.txt').write_text('new'); os._exit(9)"
    )
    died = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")],
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert died.returncode == 9
    assert artifacts.read(tmp_path / "a", kind=KIND).digest == old.digest


def test_a_rename_that_fails_puts_the_old_artefact_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write(tmp_path / "a")
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            raise OSError("no space left")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path / "a", "new")
    assert artifacts.read(tmp_path / "a", kind=KIND).digest == old.digest


def test_writing_again_replaces_everything(tmp_path: Path) -> None:
    write(tmp_path / "a")
    with artifacts.writing(tmp_path / "a", kind=KIND, config={}) as folder:
        (folder / "other.txt").write_text("new")
    artifacts.read(tmp_path / "a", kind=KIND)
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == [
        artifacts.MANIFEST_NAME,
        "other.txt",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_not_an_artefact_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name in ("folder", "file"):
        with pytest.raises(ArtifactError, match="is not an artefact of genrec"):
            write(tmp_path / name)
    assert (tmp_path / "folder" / "thesis.txt").read_text() == "precious"
    assert (tmp_path / "file").read_text() == "precious"


def test_an_empty_folder_may_become_an_artefact(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert write(tmp_path / "a").kind == KIND


@pytest.mark.parametrize("name", ["one.txt", "inner/two.bin", artifacts.MANIFEST_NAME])
def test_any_altered_byte_is_found(name: str, tmp_path: Path) -> None:
    write(tmp_path / "a", rate=0.5)
    file = tmp_path / "a" / name
    original = file.read_bytes()
    for place in range(0, len(original), 3):
        altered = bytearray(original)
        altered[place] ^= 1
        file.write_bytes(altered)
        try:
            artifacts.read(tmp_path / "a", kind=KIND)
        except ArtifactError:
            continue
        # a manifest may only be written differently, never say something else
        assert json.loads(altered) == json.loads(original)
    file.write_bytes(original)
    artifacts.read(tmp_path / "a", kind=KIND)


def test_a_truncated_file_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a")
    file = tmp_path / "a" / "inner" / "two.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"two\.bin was altered"):
        artifacts.read(tmp_path / "a", kind=KIND)


def test_a_missing_and_an_extra_file_are_found(tmp_path: Path) -> None:
    write(tmp_path / "a")
    (tmp_path / "a" / "inner" / "three").write_text("extra")
    with pytest.raises(ArtifactError, match="three is not in its manifest"):
        artifacts.read(tmp_path / "a", kind=KIND)
    (tmp_path / "a" / "inner" / "three").unlink()
    (tmp_path / "a" / "one.txt").unlink()
    with pytest.raises(ArtifactError, match=r"one\.txt is missing"):
        artifacts.read(tmp_path / "a", kind=KIND)


def test_another_kind_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a")
    with pytest.raises(ArtifactError, match="holds 'thing', but 'other' is needed"):
        artifacts.read(tmp_path / "a", kind="other")


def test_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a")
    monkeypatch.setattr(artifacts, "FORMAT_VERSION", artifacts.FORMAT_VERSION + 1)
    with pytest.raises(ArtifactError, match="has format 1, this genrec reads 2"):
        artifacts.read(tmp_path / "a", kind=KIND)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"files": 3}', "\udcff"])
def test_a_manifest_that_cannot_be_read_is_an_artifact_error(content: str, tmp_path: Path) -> None:
    write(tmp_path / "a")
    manifest = tmp_path / "a" / artifacts.MANIFEST_NAME
    manifest.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ArtifactError, match="cannot be read"):
        artifacts.read(tmp_path / "a", kind=KIND)


def test_a_folder_without_manifest_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "a")
    (tmp_path / "a" / artifacts.MANIFEST_NAME).unlink()
    for path in (tmp_path / "a", tmp_path / "nowhere"):
        with pytest.raises(ArtifactMissingError, match="nothing complete stands at"):
            artifacts.read(path, kind=KIND)


def test_an_artefact_is_current_for_just_what_it_was_made_of(tmp_path: Path) -> None:
    parents = {"of": write(tmp_path / "parent")}
    ingredients = {"config": {"levels": (1, 2)}, "seed": 5, "parents": parents}
    with artifacts.writing(tmp_path / "a", kind=KIND, **ingredients) as folder:  # type: ignore[arg-type]
        (folder / "one.txt").write_text("content")

    def current(**changed: object) -> bool:
        asked = {"kind": KIND, **ingredients, **changed}
        return artifacts.is_current(tmp_path / "a", **asked)  # type: ignore[arg-type]

    assert current()
    assert not current(config={"levels": (1, 3)})
    assert not current(seed=6)
    assert not current(seed=None)
    assert not current(kind="other")
    assert not current(parents={})
    assert not current(parents={"of": write(tmp_path / "parent", "made anew")})
    (tmp_path / "a" / "one.txt").write_text("altered")
    assert not current()
    assert not artifacts.is_current(tmp_path / "nowhere", kind=KIND, config={})


def test_the_manifest_names_versions_and_the_temporary_folder_is_gone(tmp_path: Path) -> None:
    write(tmp_path / "a")
    manifest = json.loads((tmp_path / "a" / artifacts.MANIFEST_NAME).read_text())
    assert {"torch", "transformers"} <= set(manifest["versions"])
    assert manifest["files"]["one.txt"]["bytes"] == len("content")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
