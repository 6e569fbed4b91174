"""What was appended comes back; what a crash or a flipped bit made of it passes for no record."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

import genrec.semantic_ids.journal as journal_module
from genrec.errors import ArtifactError, ArtifactMissingError
from genrec.semantic_ids.journal import Journal, JournalStart, Record, exclusive
from genrec.semantic_ids.journal_head import JournalHead, head_of

START = JournalStart(base="ab" * 32, num_added=2)
CONTENT = np.array([0.5, -1.25], dtype="<f4").tobytes()


def record(
    item_id: str, codes: tuple[int, ...], nearest: tuple[int, ...], title: str | None = None
) -> Record:
    return Record(item_id=item_id, codes=codes, nearest=nearest, content=CONTENT, title=title)


RECORDS = [
    record("a", (1, 2, 3), (1, 2, 4)),
    record('b "quoted"\nJ* ü', (0, 0, 65535), (0, 0, 65535), title="ü\n"),
    record("c", (7, 7, 7), (7, 7, 7)),
]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A journal with all records, the last one appended on its own."""
    path = tmp_path / "ids.journal"
    journal = Journal.begin(path, START)
    journal.append(RECORDS[:2])
    journal.append(RECORDS[2:])
    return path


@pytest.fixture
def unacknowledged(written: Path) -> Path:
    """The same, but the last append was killed before its head was written."""
    last = written.read_bytes().splitlines(keepends=True)[-1]
    content = written.read_bytes()
    written.write_bytes(content[: -len(last)])
    head_of(written).unlink()
    journal = Journal.open(written)
    journal.read_new()
    journal.write_head()
    written.write_bytes(content)
    return written


def read_all(path: Path) -> list[Record] | None:
    return Journal.open(path).read_new(mend=True)


def test_what_was_appended_comes_back_in_order(written: Path) -> None:
    journal = Journal.open(written)
    assert journal.start == START
    assert journal.num_records == 0
    assert journal.read_new() == RECORDS
    assert journal.num_records == 3
    assert journal.read_new() == []


def test_lines_can_be_read_by_a_person(written: Path) -> None:
    contents = [json.loads(line.split(" ", 1)[1]) for line in written.read_text().splitlines()]
    assert contents[0] == {"format": 3, "base": "ab" * 32, "num_added": 2, "after": ""}
    assert contents[1] == {
        "seq": 1,
        "item_id": "a",
        "codes": [1, 2, 3],
        "nearest": [1, 2, 4],
        "content": "AAAAPwAAoL8=",
        "title": None,
    }
    assert [each.get("seq") for each in contents] == [None, 1, 2, 3]


def test_a_reader_sees_what_another_appends_and_goes_on_from_there(written: Path) -> None:
    reader, writer = Journal.open(written), Journal.open(written)
    reader.read_new()
    writer.read_new()
    more = record("d", (1, 1, 1), (1, 1, 1))
    writer.append([more])
    assert reader.read_new() == [more]
    assert reader.checksum == writer.checksum
    last = record("e", (1, 1, 2), (1, 1, 1))
    reader.append([last])
    assert writer.read_new() == [last]


def test_a_line_that_a_crash_left_unfinished_is_cut_off_wherever_it_ends(
    unacknowledged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = unacknowledged
    content = written.read_bytes()
    head = head_of(written).read_bytes()
    whole = content[: content[:-1].rindex(b"\n") + 1]
    for length in range(len(whole), len(content)):
        written.write_bytes(content[:length])
        head_of(written).write_bytes(head)
        caplog.clear()
        journal = Journal.open(written)
        assert journal.read_new() == RECORDS[:2]  # a reader waits for the rest
        assert written.stat().st_size == length
        assert journal.read_new(mend=True) == []
        assert ("cut off" in caplog.text) == (length > len(whole))
        assert written.read_bytes() == whole
        journal.append(RECORDS[2:])
        assert written.read_bytes() == content


def test_no_flipped_bit_goes_unnoticed(written: Path) -> None:
    content = written.read_bytes()
    with written.open("r+b", buffering=0) as stream:
        for place, byte in enumerate(content):
            for bit in range(8):
                stream.seek(place)
                stream.write(bytes([byte ^ 1 << bit]))
                with pytest.raises(ArtifactError, match=r"line \d was altered"):
                    read_all(written)
            stream.seek(place)
            stream.write(bytes([byte]))
    assert read_all(written) == RECORDS


def test_the_message_names_the_line_and_the_remedy(written: Path) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join([*lines[:2], lines[2].replace(b"65535", b"65534"), lines[3]]))
    with pytest.raises(ArtifactError, match=r"ids\.journal, line 3 was altered.*head -n 2"):
        read_all(written)
    written.write_bytes(b"".join(lines[:2]))
    head_of(written).unlink()
    assert read_all(written) == RECORDS[:1]


@pytest.mark.parametrize("cut", [1, 9, "a line", "two lines"])
def test_a_journal_that_lost_its_end_is_refused_and_left_as_it_is(
    written: Path, cut: int | str
) -> None:
    content = written.read_bytes()
    lines = content.splitlines(keepends=True)
    lost = {"a line": len(lines[-1]), "two lines": len(lines[-1] + lines[-2])}
    left = content[: -lost.get(str(cut), cut)]  # type: ignore[operator]
    written.write_bytes(left)
    with pytest.raises(ArtifactError, match=r"lost its end: \d of 3|line 4 was altered"):
        read_all(written)
    assert written.read_bytes() == left
    written.write_bytes(content)
    assert read_all(written) == RECORDS


def test_whole_lines_behind_the_head_count_and_the_next_change_notes_them(
    unacknowledged: Path,
) -> None:
    journal = Journal.open(unacknowledged)
    assert journal.read_new(mend=True) == RECORDS
    more = record("d", (1, 1, 1), (1, 1, 1))
    journal.append([more])
    lines = unacknowledged.read_bytes().splitlines(keepends=True)
    unacknowledged.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(ArtifactError, match="lost its end: 3 of 4"):
        read_all(unacknowledged)


def test_a_journal_without_a_head_is_read_with_a_note(
    written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    head_of(written).unlink()
    assert read_all(written) == RECORDS
    assert "cannot be told whether its end was lost" in caplog.text


def test_a_head_that_is_none_is_refused(written: Path) -> None:
    for content in (b"", b"{}", b"[" * 100_000, b'{"start": 1}', b"null"):
        head_of(written).write_bytes(content)
        with pytest.raises(ArtifactError, match=r"ids\.journal\.head"):
            read_all(written)


def test_what_is_no_file_is_refused_and_not_waited_for(written: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (written, head_of(written), tmp_path / "lock"):
        place.unlink(missing_ok=True)
        for target in (pipe, tmp_path, Path("/dev/null")):
            place.symlink_to(target)
            with pytest.raises(ArtifactError, match=r"is a (pipe|folder|device), not a file"):
                if place.name == "lock":
                    with exclusive(place):
                        pytest.fail("nothing is locked here")
                elif place == written:
                    read_all(written)
                else:
                    JournalHead.read(place)
            place.unlink()


def test_records_that_no_journal_of_ours_has_are_refused(tmp_path: Path) -> None:
    """Lines whose checksums fit, as a stranger could write them."""
    path = tmp_path / "ids.journal"
    good = {"seq": 1, **RECORDS[0].as_line()}
    wrong: list[dict[str, object]] = [
        {"item_id": 7},
        {"item_id": ""},
        {"item_id": "\ud800"},
        {"codes": "123"},
        {"codes": [1.5, 2, 3]},
        {"codes": [-1, 2, 3]},
        {"codes": [1 << 16, 2, 3]},
        {"nearest": None},
        {"content": "?"},
        {"content": 3},
        {"title": 3},
        {"removed": "yes"},
    ]
    for change in wrong:
        journal = Journal.begin(path, START)
        line, _ = journal_module._line_of({**good, **change}, journal.checksum)
        path.write_bytes(path.read_bytes() + line)
        with pytest.raises(ArtifactError, match="line 2 is no item that can be read"):
            read_all(path)
    for payload in (b"[]", b'{"a": NaN}', b"[" * 100_000, b'{"a":1,"a":2}', b"1" * 10_000):
        journal = Journal.begin(path, START)
        checksum = journal_module._checksum(payload, journal.checksum).encode()
        path.write_bytes(path.read_bytes() + checksum + b" " + payload + b"\n")
        with pytest.raises(ArtifactError, match="line 2"):
            read_all(path)


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (0, 2, 3), (0, 1, 1, 2, 3)])
def test_lines_that_were_moved_removed_or_copied_are_noticed(
    written: Path, order: tuple[int, ...]
) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(lines[line] for line in order))
    with pytest.raises(ArtifactError, match="was altered"):
        read_all(written)


def test_a_journal_that_lost_lines_since_it_was_read_is_refused(written: Path) -> None:
    journal = Journal.open(written)
    journal.read_new()
    written.write_bytes(written.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="has become shorter"):
        journal.read_new(mend=True)


def test_a_reader_notices_that_another_journal_stands_there(written: Path) -> None:
    journal = Journal.open(written)
    journal.read_new()
    Journal.begin(written, JournalStart(base="cd" * 32, num_added=5))
    assert journal.read_new() is None
    assert read_all(written) == []
    written.unlink()
    assert journal.read_new() is None


def test_a_format_of_the_future_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ids.journal"
    monkeypatch.setattr("genrec.semantic_ids.journal.FORMAT_VERSION", 4)
    Journal.begin(path, START)
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match="has format 4, this genrec reads 3"):
        Journal.open(path)


def test_a_journal_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match="no journal at"):
        Journal.open(tmp_path / "ids.journal")


def test_the_lock_keeps_threads_out_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="genrec")
    inside: list[str] = []

    def enter() -> None:
        with exclusive(tmp_path / "lock"):
            inside.append("second")

    with exclusive(tmp_path / "lock"):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(timeout=0.2)
        assert thread.is_alive()
        inside.append("first")
    thread.join()
    assert inside == ["first", "second"]
    assert "waiting for another process" in caplog.text
