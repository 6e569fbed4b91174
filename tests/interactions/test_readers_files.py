"""Every kind of file, folder and compression gives its table, or says what it is instead."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import os
import socket
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from genrec.errors import DataError, InputError, MissingDependencyError
from genrec.interactions import TableFormat, read_table, table_digest

LOG = pl.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "timestamp": [5, 6, 7]})
TEXT = LOG.write_csv().encode()


def zip_of(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return path


def zstandard(content: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(content, asbytes=True)
    return packed


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": zstandard,
}


@pytest.mark.parametrize("ending", ["gz", "GZ", "bz2", "Bz2", "zst", "zip", "ZIP"])
@pytest.mark.parametrize("kind", ["csv", "JSONL"])
def test_text_is_unpacked_by_its_ending(kind: str, ending: str, tmp_path: Path) -> None:
    content = TEXT if kind == "csv" else LOG.write_ndjson().encode()
    file = tmp_path / f"log.{kind}.{ending}"
    pack = PACK.get(ending.lower())
    if pack is None:
        zip_of(file, log_csv=content)
    else:
        file.write_bytes(pack(content))
    assert read_table(file).equals(LOG)


@pytest.mark.parametrize("name", ["log.csv.gz", "log.csv.bz2", "log.csv.zst", "log.csv.zip"])
def test_a_packed_file_that_is_cut_short_is_refused(name: str, tmp_path: Path) -> None:
    content = os.urandom(500).hex().encode()
    pack = PACK.get(name.split(".")[2])
    file = tmp_path / name
    file.write_bytes(pack(content) if pack else zip_of(file, log_csv=content).read_bytes())
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(InputError, match="damaged or was cut short"):
        read_table(file)


def test_a_zip_of_several_files_is_refused_with_their_names(tmp_path: Path) -> None:
    file = zip_of(tmp_path / "log.csv.zip", a_csv=TEXT, b_csv=TEXT)
    with pytest.raises(InputError, match=r"holds 2 files \(a.csv, b.csv\)"):
        read_table(file)
    with pytest.raises(InputError, match="holds 0 files"):
        read_table(zip_of(tmp_path / "none.csv.zip"))


@pytest.mark.parametrize(
    "name", ["log.parquet", "log.PQ", "log.arrow", "log.feather", "log.ipc", "stream.arrow"]
)
def test_files_of_columns_are_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name == "stream.arrow":
        LOG.write_ipc_stream(file)
    elif name.lower().endswith(("parquet", "pq")):
        LOG.write_parquet(file)
    else:
        LOG.write_ipc(file)
    assert read_table(file).equals(LOG)
    renamed = read_table(file, table_format=TableFormat(columns=("u", "i", "t")))
    assert renamed.columns == ["u", "i", "t"]
    with pytest.raises(InputError, match="leave --separator and --encoding and --quote out"):
        read_table(file, table_format=TableFormat(separator=",", encoding="utf-8", quote=None))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(InputError, match="cannot be read as"):
        read_table(file)


def test_a_workbook_is_read_where_its_reader_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log.xlsx"
    write_workbook(file, "one")
    assert read_table(file, text_columns=("user_id",)).to_dicts() == [
        {"user_id": "u", "amount": 2.0}
    ]
    write_workbook(file, "one", "two")
    with pytest.raises(InputError, match=r"several sheets, \['one', 'two'\]"):
        read_table(file)
    file.write_bytes(b"PK no workbook")
    with pytest.raises(InputError, match="cannot be read as Excel"):
        read_table(file)
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(MissingDependencyError, match=r"pip install genrec\[excel\]"):
        read_table(file)


def write_workbook(file: Path, *sheets: str) -> None:
    """A workbook with the columns user_id and amount on each sheet, as small as one can be."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    text = '<c t="inlineStr"><is><t>{}</t></is></c>'
    rows = f"<row>{text.format('user_id')}{text.format('amount')}</row>"
    rows += f"<row>{text.format('u')}<c><v>2</v></c></row>"
    places = range(1, len(sheets) + 1)
    listed = "".join(
        f'<sheet name="{name}" sheetId="{place}" r:id="r{place}"/>'
        for place, name in zip(places, sheets, strict=True)
    )
    links = "".join(
        f'<Relationship Id="r{place}" Type="{office}/worksheet" Target="worksheets/s{place}.xml"/>'
        for place in places
    )
    relationships = f'<Relationships xmlns="{package}/relationships">'
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{package}/content-types"/>')
        archive.writestr(
            "_rels/.rels",
            f'{relationships}<Relationship Id="r1" Type="{office}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{listed}</sheets></workbook>',
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f"{relationships}{links}</Relationships>")
        for place in places:
            archive.writestr(
                f"xl/worksheets/s{place}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
            )


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    for name in ("log.csv", "log.parquet", "log.jsonl.gz"):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aa\n")
        with pytest.raises(InputError, match="git lfs pull"):
            read_table(tmp_path / name)


def test_text_that_is_a_file_of_columns_is_named(tmp_path: Path) -> None:
    LOG.write_parquet(tmp_path / "log.csv")
    with pytest.raises(InputError, match=r"is no text but a \.parquet file"):
        read_table(tmp_path / "log.csv")


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_regular_file_is_refused_and_never_opened(linked: bool, tmp_path: Path) -> None:
    """A pipe without a writer would be waited for without end."""
    os.mkfifo(tmp_path / "pipe.csv")
    odd = [tmp_path / "pipe.csv", Path("/dev/null")]
    if linked:
        for place, path in enumerate(odd):
            (tmp_path / f"link{place}.csv").symlink_to(path)
        odd = [tmp_path / f"link{place}.csv" for place in range(len(odd))]
    for path in odd:
        with pytest.raises(InputError, match="a pipe, a device or a socket"):
            read_table(path)


def test_a_socket_and_a_link_to_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.csv")
        with pytest.raises(InputError, match="a socket"):
            read_table("s.csv")
    Path("gone.csv").symlink_to("nothing.csv")
    with pytest.raises(InputError, match=r"a link to nothing \(nothing.csv\)"):
        read_table("gone.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_table("a\0b.csv")


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(TEXT)
    (tmp_path / "link.csv").symlink_to("log.csv")
    assert read_table(tmp_path / "link.csv").equals(LOG)


def test_a_digest_names_what_all_files_of_a_table_hold(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(TEXT)
    both = table_digest(tmp_path)
    assert table_digest(tmp_path / "a.csv") == hashlib.sha256(TEXT).hexdigest()
    assert both != table_digest(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(TEXT + b"9,c,9\n")
    assert table_digest(tmp_path) != both
    os.mkfifo(tmp_path / "c.csv")
    with pytest.raises(InputError, match="a pipe"):
        table_digest(tmp_path)


def test_a_folder_is_read_in_order_without_hidden_files(tmp_path: Path) -> None:
    for name, rows in (("part-1.csv", LOG[2:]), ("part-0.csv", LOG[:2])):
        rows.write_csv(tmp_path / name)
    for name in ("_SUCCESS", ".part-0.csv.crc", "_metadata/x.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("nothing of a table")
    assert read_table(tmp_path).equals(LOG)
    assert read_table([tmp_path / "part-0.csv", str(tmp_path / "part-1.csv")]).equals(LOG)


def test_partitions_of_a_folder_become_columns(tmp_path: Path) -> None:
    for day, rows in (("2024-03-02", LOG[:2]), ("2024-03-03", LOG[2:])):
        (tmp_path / f"day={day}").mkdir()
        rows.write_parquet(tmp_path / f"day={day}" / "0.parquet")
    frame = read_table(tmp_path)
    assert frame.drop("day").equals(LOG)
    assert frame["day"].to_list() == ["2024-03-02", "2024-03-02", "2024-03-03"]


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    LOG.write_csv(tmp_path / "a.csv")
    LOG.write_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"several kinds: .*b.parquet \(Parquet\).*a.csv"):
        read_table(tmp_path)
    LOG.drop("timestamp").write_csv(tmp_path / "c.csv")
    with pytest.raises(InputError, match="need the same columns"):
        read_table([tmp_path / "a.csv", tmp_path / "c.csv"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no files of a table"):
        read_table(tmp_path / "empty")


def test_columns_that_are_numbers_in_one_file_and_text_in_another_become_text(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.csv").write_text("user_id,item_id\n1,2\n")
    (tmp_path / "b.csv").write_text("item_id,user_id\nx,1\n")
    frame = read_table([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert frame.rows() == [(1, "2"), (1, "x")]


def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LOG.write_csv(tmp_path / "log.csv")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(InputError, match="Permission denied"):
        read_table(tmp_path / "log.csv")


def test_a_file_that_memory_cannot_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LOG.write_csv(tmp_path / "log.csv")

    def exhaust(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Path, "read_bytes", exhaust)
    with pytest.raises(InputError, match="more memory than there is"):
        read_table(tmp_path / "log.csv")


@pytest.mark.parametrize(
    "name",
    ["log.csv", "log.jsonl", "log.json", "log.parquet", "log.arrow", "log.feather", "log.xlsx"],
)
def test_noise_under_any_name_is_refused_in_our_words(name: str, tmp_path: Path) -> None:
    for content in (bytes(range(256)) * 8, b"\0" * 100, b"PAR1" * 9, b"ARROW1\0\0" * 9):
        (tmp_path / name).write_bytes(content)
        with pytest.raises((InputError, DataError), match=name):
            read_table(tmp_path / name)
