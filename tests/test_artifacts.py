"""A saved folder is whole, intact and what it is asked to be, or it is refused."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genrec import artifacts
from genrec.artifacts import folders, places
from genrec.errors import ArtifactError, ArtifactMissingError, BusyError, InputError

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

    monkeypatch.setattr(places, "_exchange", lambda one, other: False)
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
    monkeypatch.setattr(folders, "FORMAT_VERSION", folders.FORMAT_VERSION + 1)
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


ROOT = Path(__file__).parents[1]


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that runs this program."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


WRITE = """
import os, sys
from genrec import artifacts
from genrec.artifacts import places
with artifacts.writing(sys.argv[1], kind="thing", config={}) as folder:
    (folder / "one.txt").write_text("new")
"""


def test_a_reader_never_finds_nothing_while_artefacts_are_exchanged(tmp_path: Path) -> None:
    if places._renameat2() is None:
        pytest.skip("this system cannot exchange two names at once")
    write(tmp_path / "a", "0")
    program = WRITE.replace("with artifacts", "for _ in range(30):\n  with artifacts").replace(
        "\n    (folder", "\n      (folder"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path / "a"], cwd=ROOT) as writer:
        while writer.poll() is None:
            artifacts.read(tmp_path / "a", kind=KIND)
    assert writer.returncode == 0


@pytest.mark.parametrize("rerun", ["reading", "writing"])
def test_a_kill_between_two_renames_is_put_right_by_whoever_comes_next(
    tmp_path: Path, rerun: str
) -> None:
    old = write(tmp_path / "a")
    killed = WRITE.replace(
        "with artifacts",
        "places._exchange = lambda one, other: False\n"
        "from pathlib import Path\nrename = Path.rename\n"
        "def once(path, target):\n"
        "    if path.name.endswith('.partial'): os._exit(9)\n"
        "    return rename(path, target)\n"
        "Path.rename = once\nwith artifacts",
    )
    assert run(killed, str(tmp_path / "a")).returncode == 9
    assert not (tmp_path / "a").exists()
    if rerun == "reading":
        assert artifacts.read(tmp_path / "a", kind=KIND).digest == old.digest
    else:
        write(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_dead_writers_left_is_gone_after_the_next_writing(tmp_path: Path) -> None:
    killed = WRITE + "    os._exit(9)\n"
    for _ in range(3):
        assert run(killed, str(tmp_path / "a[1]")).returncode == 9
    assert len(list(tmp_path.iterdir())) > 1
    write(tmp_path / "a[1]")
    assert [path.name for path in tmp_path.iterdir()] == ["a[1]"]


def test_a_second_writer_is_told_and_the_first_one_wins(tmp_path: Path) -> None:
    second = WRITE.replace("with artifacts", "from genrec.errors import BusyError\nwith artifacts")
    with artifacts.claim(tmp_path / "a"), artifacts.claim(tmp_path / "a"):
        refused = run(second, str(tmp_path / "a"))
        assert "BusyError: another process is writing" in refused.stderr
        write(tmp_path / "a", "mine")
    assert artifacts.read(tmp_path / "a", kind=KIND).file("one.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert run(second, str(tmp_path / "a")).returncode == 0


def test_a_reader_that_meets_replacements_for_ever_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a")
    stamps = iter(range(100))
    monkeypatch.setattr(folders, "_stamp", lambda path: next(stamps))
    (tmp_path / "a" / "one.txt").write_text("altered")
    with pytest.raises(BusyError, match="being replaced again and again"):
        artifacts.read(tmp_path / "a", kind=KIND)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_all_files_have_the_mode_of_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with artifacts.writing(tmp_path / "a", kind=KIND, config={}) as folder:
            (folder / "one.txt").touch(mode=0o600)
    finally:
        os.umask(before)
    for file in (tmp_path / "a").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o777 & ~mask


@pytest.mark.parametrize("kind", ["pipe", "link", "link to a folder"])
def test_what_is_no_regular_file_is_refused_and_not_read(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "a")
    place = tmp_path / "a" / "one.txt"
    place.unlink()
    if kind == "pipe":
        os.mkfifo(place)  # reading it would wait for ever
    else:
        place.symlink_to("/dev/zero" if kind == "link" else tmp_path)
    with pytest.raises(ArtifactError, match=r"one\.txt is no regular file"):
        artifacts.read(tmp_path / "a", kind=KIND)


def test_a_full_disk_is_one_message_and_leaves_what_stood_there(tmp_path: Path) -> None:
    old = write(tmp_path / "a")
    program = WRITE.replace('write_text("new")', "write_bytes(bytes(10**6))")
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))"
    )
    full = run(limit + program, str(tmp_path / "a"))
    assert "ArtifactError" in full.stderr
    assert "cannot be written (File too large)" in full.stderr
    assert artifacts.read(tmp_path / "a", kind=KIND).digest == old.digest
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 10**5


def test_a_writer_that_says_in_words_that_the_disk_is_full_is_understood(tmp_path: Path) -> None:
    with (
        pytest.raises(ArtifactError, match="free space there"),
        artifacts.writing(tmp_path / "a", kind=KIND, config={}),
    ):
        raise RuntimeError("io error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    "value",
    ['{"kind": []}', "[" * 100_000, '{"checksum": 1, "format": 1, "kind": "thing", "config": []}'],
)
def test_a_manifest_of_a_stranger_is_refused_by_type(tmp_path: Path, value: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / artifacts.MANIFEST_NAME).write_text(value)
    with pytest.raises(ArtifactError, match="cannot be read"):
        artifacts.read(tmp_path / "a", kind=KIND)


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "lists.parquet"
    for text in ("old", "new"):
        with artifacts.replace_file(file) as staging:
            staging.write_text(text)
    with pytest.raises(RuntimeError, match="halfway"), artifacts.replace_file(file) as staging:
        staging.write_text("half")
        raise RuntimeError("halfway")
    assert file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["lists.parquet"]


@pytest.mark.parametrize("ending", ["partial", "old"])
def test_what_stands_beside_a_place_whose_name_begins_alike_is_not_touched(
    tmp_path: Path, ending: str
) -> None:
    others = places.staging_for(tmp_path / "ids.additions").with_suffix(f".{ending}")
    others.mkdir()
    with artifacts.claim(tmp_path / "ids"):
        assert others.is_dir()
        assert not (tmp_path / "ids").exists()
    with artifacts.claim(tmp_path / "ids.additions"):
        assert not others.exists()


def test_leftovers_of_versions_that_named_them_by_process_are_cleaned_up(tmp_path: Path) -> None:
    for name in (".a.41.partial", ".a.partial", ".a.41.old"):
        (tmp_path / name).mkdir()
    write(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_one_place_under_two_names_is_claimed_once(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "inner")
    with (
        artifacts.claim(tmp_path / "inner" / "a"),
        artifacts.claim(tmp_path / "inner" / ".." / "inner" / "a"),
    ):
        write(tmp_path / "link" / "a")
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["a"]


def test_a_file_system_without_locks_is_written_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(stream: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    others = places.staging_for(tmp_path / "a")
    others.mkdir()  # whether its writer lives cannot be told
    assert write(tmp_path / "a").kind == KIND
    assert "without locks" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == [others.name, "a"]


def test_only_a_page_of_genrecs_is_replaced_by_a_page(tmp_path: Path) -> None:
    mine, page = tmp_path / "mine.html", tmp_path / "page.html"
    text = "<!doctype html>\n<html><head><title>{}</title></head></html>"
    mine.write_text(text.format("What I think of genrec"))
    with pytest.raises(InputError, match=r"mine\.html is there and is no page that genrec wrote"):
        artifacts.write_page(mine, text.format("new"))
    assert "What I think" in mine.read_text()
    for title in ("old", "new"):
        artifacts.write_page(page, text.format(title))
        assert f"<title>{title}</title>" in page.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.html", "page.html"]


def test_another_kind_is_never_replaced(tmp_path: Path) -> None:
    old = write(tmp_path / "a")
    with (
        pytest.raises(ArtifactError, match="holds 'thing', and 'other' would replace it"),
        artifacts.writing(tmp_path / "a", kind="other", config={}),
    ):
        pass
    with pytest.raises(ArtifactError, match="would replace it"):
        artifacts.refuse_other_settings(tmp_path / "a", kind="other", config={})
    assert artifacts.read(tmp_path / "a", kind=KIND).digest == old.digest


def test_other_settings_of_the_same_parents_are_told_by_name(tmp_path: Path) -> None:
    parent = write(tmp_path / "parent")
    config = {"model": {"width": 8, "depth": 1}, "rate": 0.5}
    with artifacts.writing(
        tmp_path / "a", kind=KIND, config=config, seed=0, parents={"data": parent}
    ):
        pass
    asked: dict[str, Any] = {"kind": KIND, "parents": {"data": parent}}
    artifacts.refuse_other_settings(tmp_path / "a", config=config, seed=0, **asked)
    other = {"model": {"width": 16}, "rate": 0.5, "name": "x" * 200}
    with pytest.raises(InputError) as refused:
        artifacts.refuse_other_settings(tmp_path / "a", config=other, seed=1, **asked)
    message = str(refused.value)
    for told in ("seed: 0 -> 1", "model.width: 8 -> 16", "model.depth: 1 -> not set", "name: not"):
        assert told in message
    assert "--force" in message
    assert len(message) < 400


def test_what_was_made_of_other_parents_or_is_broken_may_be_replaced(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one"), write(tmp_path / "other", "else")
    with artifacts.writing(tmp_path / "a", kind=KIND, config={}, parents={"data": one}) as folder:
        (folder / "file").write_text("content")
    settings: dict[str, Any] = {"kind": KIND, "config": {"x": 1}}
    artifacts.refuse_other_settings(tmp_path / "a", parents={"data": other}, **settings)
    with pytest.raises(InputError):
        artifacts.refuse_other_settings(tmp_path / "a", parents={"data": one}, **settings)
    (tmp_path / "a" / "file").write_text("altered")
    artifacts.refuse_other_settings(tmp_path / "a", parents={"data": one}, **settings)
    artifacts.refuse_other_settings(tmp_path / "nowhere", parents={"data": one}, **settings)
