"""Items that are added keep their ids: over openings, crashes, compactions and other processes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrec import artifacts
from genrec.errors import ArtifactError, ArtifactMissingError, InputError
from genrec.semantic_ids.additions import IdChooser
from genrec.semantic_ids.compaction import additions_of
from genrec.semantic_ids.journal import Journal, JournalStart, exclusive, journal_of
from genrec.semantic_ids.journal_head import head_of
from genrec.semantic_ids.replacing import finish_interrupted, refuse_to_lose_items, replacing
from genrec.semantic_ids.semantic_ids import SEMANTIC_IDS_KIND, SemanticIds
from genrec.semantic_ids.store import SemanticIdStore
from tests.semantic_ids.stubs import add_together, content_of, stub_ids

NUM_FITTED = 20
NAMES = ["a", "b", "c", "d", "e"]
CONTENT = content_of(5, seed=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Saved ids of 20 items."""
    folder = tmp_path / "run" / "ids"
    stub_ids(NUM_FITTED, num_codes=6).save(folder, config={"inputs": "text"})
    return folder


@pytest.fixture
def grown(path: Path) -> Path:
    """The same with five items in the journal."""
    SemanticIdStore.open(path).add(NAMES, CONTENT)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def state(path: Path) -> tuple[list[str], list[list[int]]]:
    store = SemanticIdStore.open(path)
    return store.item_ids, store.codes.tolist()


def test_new_items_follow_the_fitted_ones_and_no_file_of_the_artefact_changes(path: Path) -> None:
    before = contents(path)
    store = SemanticIdStore.open(path)
    fitted = store.codes
    added = store.add(NAMES, CONTENT)
    assert added.item_index.tolist() == [20, 21, 22, 23, 24]
    assert added.is_new.all()
    assert store.item_ids == NAMES
    assert store.codes.dtype == added.codes.dtype == np.uint16
    np.testing.assert_array_equal(store.codes, np.concatenate([fitted, added.codes]))
    assert len(np.unique(store.codes, axis=0)) == 25
    assert contents(path) == before


def test_what_was_added_is_there_when_opened_again(path: Path) -> None:
    store = SemanticIdStore.open(path)
    store.add(NAMES[:2], CONTENT[:2])
    store.add(NAMES[2:], CONTENT[2:])
    again = SemanticIdStore.open(path)
    assert again.item_ids == NAMES
    np.testing.assert_array_equal(again.codes, store.codes)
    ids = SemanticIds.load(path)
    at_once = IdChooser(ids, ids.codes).choose(CONTENT)
    np.testing.assert_array_equal(again.codes[NUM_FITTED:], at_once.codes)


def test_contents_and_titles_are_kept_over_openings_and_compactions(path: Path) -> None:
    store = SemanticIdStore.open(path)
    store.add(NAMES[:2], CONTENT[:2], ["first", None])
    assert store.compact() == 2
    store.add(NAMES[2:], CONTENT[2:])
    for each in (store, SemanticIdStore.open(path)):
        assert each.titles == ["first", None, None, None, None]
        assert each.content.dtype == np.float32
        np.testing.assert_array_equal(each.content, CONTENT)


def test_the_state_names_what_was_added_wherever_it_stands(path: Path) -> None:
    store = SemanticIdStore.open(path)
    states = [store.state]
    for rows in (slice(2), slice(2, 5)):
        store.add(NAMES[rows], CONTENT[rows])
        states.append(store.state)
        store.compact()
        assert store.state == SemanticIdStore.open(path).state == states[-1]
    assert len(set(states)) == 3


@pytest.mark.parametrize("titles", [["a"], [float("nan"), "b"], [17, "b"]])
def test_titles_that_are_none_are_refused(path: Path, titles: list[str | None]) -> None:
    with pytest.raises(InputError, match="titles must be a text or None for each of the 2"):
        SemanticIdStore.open(path).add(NAMES[:2], CONTENT[:2], titles)
    assert not journal_of(path).exists()


def test_damaged_additions_name_a_way_that_loses_nothing(grown: Path) -> None:
    SemanticIdStore.open(grown).compact()
    [arrays] = additions_of(grown).glob("*.npz")
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match=r"restore .*ids.additions from a copy, or move"):
        SemanticIdStore.open(grown)


def test_what_an_earlier_genrec_compacted_is_not_overlooked(path: Path) -> None:
    artifact = artifacts.read(path, kind=SEMANTIC_IDS_KIND)
    files = {file.name: file.read_bytes() for file in path.iterdir() if file.suffix != ".json"}
    facts = (path / "facts.json").read_bytes()
    with artifacts.writing(
        path, kind=SEMANTIC_IDS_KIND, config=artifact.config, seed=artifact.seed
    ) as folder:
        for name, content in {**files, "facts.json": facts, "additions.json": b"{}"}.items():
            (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match="holds items that an earlier genrec added"):
        SemanticIdStore.open(path)


def test_an_item_that_was_added_keeps_its_id_and_gets_no_second_one(path: Path) -> None:
    store = SemanticIdStore.open(path)
    first = store.add(NAMES[:3], CONTENT[:3])
    again = store.add(["c", "x", "a"], CONTENT[[0, 3, 4]])
    assert again.item_index.tolist() == [22, 23, 20]
    assert again.is_new.tolist() == [False, True, False]
    np.testing.assert_array_equal(again.codes[[2, 0]], first.codes[[0, 2]])
    assert store.item_ids == ["a", "b", "c", "x"]


def test_an_item_of_the_catalogue_is_answered_with_the_id_that_it_has(path: Path) -> None:
    catalogue = [f"i{item}" for item in range(NUM_FITTED)]
    store = SemanticIdStore.open(path, catalogue=catalogue)
    added = store.add(["new", "i7"], CONTENT[:2])
    assert added.item_index.tolist() == [20, 7]
    assert added.is_new.tolist() == [True, False]
    np.testing.assert_array_equal(added.codes[1], store.codes[7])
    with pytest.raises(InputError, match=r"the catalogue has 19 items.* fitted to 20"):
        SemanticIdStore.open(path, catalogue=catalogue[1:])


def test_nothing_added_is_nothing_written(path: Path) -> None:
    store = SemanticIdStore.open(path)
    added = store.add([], np.zeros((0, 3), np.float32))
    assert added.codes.shape == (0, 3)
    assert store.compact() == 0
    assert not journal_of(path).exists()


@pytest.mark.parametrize(
    ("names", "content", "message"),
    [
        (["a", "b"], np.zeros((2, 4), np.float32), r"content must be \[n, 3\]"),
        (["a", "b"], np.zeros((1, 3), np.float32), r"a row for each of the 2 item ids"),
        (["a", "b"], np.zeros((2, 3)), r"must be float32 .* got float64"),
        (["a", "b"], np.zeros(3, np.float32), r"got float32 \[3\]"),
        (["a", ""], np.zeros((2, 3), np.float32), r"rows \[1\] are empty"),
        (["a", "b", "a"], np.zeros((3, 3), np.float32), r"more than once, as \['a'\]"),
        (["a", "b"], np.array([[0, 0, 0], [0, np.nan, 0]], np.float32), r"\['b'\] in rows \[1\]"),
        (["a", "b"], np.array([[0, 0, np.inf], [0, 0, 0]], np.float32), r"\['a'\] in rows \[0\]"),
    ],
)
def test_what_cannot_be_added_is_named_and_nothing_is_added(
    path: Path,
    names: list[str],
    content: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    message: str,
) -> None:
    store = SemanticIdStore.open(path)
    with pytest.raises(InputError, match=message):
        store.add(names, content)
    assert store.item_ids == state(path)[0] == []
    store.add(["a"], CONTENT[:1])


def test_when_ids_run_out_none_of_the_batch_is_added(tmp_path: Path) -> None:
    stub_ids(6, num_levels=2, num_codes=3).save(tmp_path / "ids")
    store = SemanticIdStore.open(tmp_path / "ids")
    with pytest.raises(InputError, match=r"9 ids, too few for 10 items; 4 codes"):
        store.add(NAMES[:4], CONTENT[:4])
    store.add(NAMES[:3], CONTENT[:3])
    with pytest.raises(InputError, match="too few"):
        store.add(NAMES[3:4], CONTENT[3:4])
    assert state(tmp_path / "ids")[0] == NAMES[:3]


@pytest.mark.parametrize(
    "name", [("a", "b"), None, True, float("nan"), "\ud800", "a\x00b", "a\nb", "  ", b"a", ["a"]]
)
def test_an_id_that_could_not_be_read_again_is_refused_and_nothing_is_written(
    path: Path, name: object
) -> None:
    store = SemanticIdStore.open(path)
    with pytest.raises(InputError, match=r"rows \[1\]"):
        store.add(["a", name], CONTENT[:2])  # type: ignore[list-item]
    assert not journal_of(path).exists()


def test_ids_follow_the_one_rule(path: Path) -> None:
    store = SemanticIdStore.open(path)
    store.add([7, 8.0, np.int64(9)], CONTENT[:3])  # type: ignore[list-item]
    assert SemanticIdStore.open(path).item_ids == ["7", "8", "9"]
    assert not store.add(["7"], CONTENT[:1]).is_new.any()
    with pytest.raises(InputError, match=r"more than once, as \['1'\]"):
        store.add([1, "1"], CONTENT[:2])  # type: ignore[list-item]


def test_a_title_that_cannot_be_written_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match="titles must be a text or None"):
        SemanticIdStore.open(path).add(NAMES[:2], CONTENT[:2], ["a", "\udfff"])
    assert not journal_of(path).exists()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    items=st.lists(
        st.tuples(
            st.one_of(st.text(max_size=6), st.text(st.characters(codec="utf-8"), min_size=1)),
            st.one_of(st.none(), st.text(max_size=6)),
        ),
        max_size=5,
    ),
    compacted=st.booleans(),
)
def test_what_is_accepted_is_there_when_opened_again(
    path: Path, items: list[tuple[str, str | None]], compacted: bool
) -> None:
    folder = path.with_name(f"ids-{uuid.uuid4().hex}")
    shutil.copytree(path, folder)
    store, names = SemanticIdStore.open(folder), [name for name, _ in items]
    try:
        store.add(names, CONTENT[: len(items)], [title for _, title in items])
    except InputError:
        assert SemanticIdStore.open(folder).item_ids == []
        assert not journal_of(folder).exists()
        return
    if compacted:
        store.compact()
    again = SemanticIdStore.open(folder)
    assert list(zip(again.item_ids, again.titles, strict=True)) == items
    np.testing.assert_array_equal(again.content, CONTENT[: len(items)])


@pytest.mark.parametrize("compacted", [True, False])
def test_a_removed_item_keeps_its_place_and_its_codes_go_to_nobody(
    grown: Path, compacted: bool
) -> None:
    store = SemanticIdStore.open(grown)
    before = state(grown)
    store.remove(["b", "d"])
    if compacted:
        assert store.compact() == 7
    for each in (store, SemanticIdStore.open(grown)):
        assert (each.item_ids, each.codes.tolist()) == before
        assert each.removed.tolist() == [False, True, False, True, False]
    added = store.add(["f"], CONTENT[1:2])
    assert added.item_index.tolist() == [25]
    assert added.codes.tolist()[0] not in before[1]
    with pytest.raises(InputError, match=r"1 item\(s\) were not added .* removed, as \['b'\]"):
        store.remove(["a", "b"])
    assert not SemanticIdStore.open(grown).removed[0]


def test_a_removed_item_that_is_added_again_comes_back_in_its_place(grown: Path) -> None:
    store = SemanticIdStore.open(grown)
    codes = store.codes.tolist()
    store.remove(["b"])
    added = store.add(["b"], CONTENT[1:2], ["the new b"])
    assert added.item_index.tolist() == [21]
    assert added.is_new.tolist() == [False]
    again = SemanticIdStore.open(grown)
    assert not again.removed.any()
    assert again.titles[1] == "the new b"
    assert again.codes.tolist() == codes


@pytest.mark.parametrize("compacted", [True, False])
def test_a_changed_title_changes_nothing_else(grown: Path, compacted: bool) -> None:
    store = SemanticIdStore.open(grown)
    before, named = state(grown), store.state
    store.change(["c"], titles=["the c"])
    if compacted:
        store.compact()
    again = SemanticIdStore.open(grown)
    assert again.titles == [None, None, "the c", None, None]
    assert (again.item_ids, again.codes.tolist()) == before
    np.testing.assert_array_equal(again.content, CONTENT)
    assert again.state != named


@pytest.mark.parametrize("compacted", [True, False])
def test_a_changed_vector_gives_codes_as_a_new_item_gets_and_the_old_ones_go_to_nobody(
    grown: Path, compacted: bool
) -> None:
    store = SemanticIdStore.open(grown)
    before = store.codes
    far = -20 * CONTENT[2:3]
    expected = IdChooser(store.ids, before).choose(far).codes
    codes = store.change(["c"], far)
    np.testing.assert_array_equal(codes, expected)
    if compacted:
        store.compact()
    again = SemanticIdStore.open(grown)
    others = np.arange(len(before)) != 22
    np.testing.assert_array_equal(again.codes[others], before[others])
    np.testing.assert_array_equal(again.codes[22], expected[0])
    np.testing.assert_array_equal(again.content[2], far[0])
    added = again.add(["f"], CONTENT[2:3])
    assert added.codes.tolist()[0] not in before.tolist()
    # A vector that leads to the same nearest codes leaves the codes.
    np.testing.assert_array_equal(again.change(["c"], far * np.float32(1.001)), expected)


def test_what_was_fitted_can_be_neither_changed_nor_removed(grown: Path) -> None:
    store = SemanticIdStore.open(grown, catalogue=[f"i{item}" for item in range(NUM_FITTED)])
    kept = journal_of(grown).read_bytes()
    for change in (
        lambda: store.remove(["a", "i7"]),
        lambda: store.change(["a", "i7"], titles=["x", "y"]),
    ):
        with pytest.raises(InputError, match=r"as \['i7'\]: only items that were added.*exclude"):
            change()
    with pytest.raises(InputError, match="were not added"):
        store.remove(["nobody"])
    with pytest.raises(InputError, match="nothing to change"):
        store.change(["a"])
    assert journal_of(grown).read_bytes() == kept


def test_another_process_sees_what_changed_and_what_went(grown: Path) -> None:
    first, second = SemanticIdStore.open(grown), SemanticIdStore.open(grown)
    first.change(["a"], -20 * CONTENT[:1], ["the a"])
    first.remove(["e"])
    second.refresh()
    np.testing.assert_array_equal(second.codes, first.codes)
    assert (second.titles, second.removed.tolist()) == (first.titles, first.removed.tolist())
    assert second.add(["f"], CONTENT[:1]).item_index.tolist() == [25]
    assert len(np.unique(SemanticIdStore.open(grown).codes, axis=0)) == 26


def test_a_journal_of_before_is_read_and_taken_over_by_the_next_change(
    grown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, journal = state(grown), journal_of(grown)
    for name in (journal, head_of(journal)):
        name.unlink()
    monkeypatch.setattr("genrec.semantic_ids.journal.FORMAT_VERSION", 2)
    SemanticIdStore.open(grown).add(NAMES, CONTENT)
    head_of(journal).unlink()
    monkeypatch.undo()
    assert state(grown) == before
    SemanticIdStore.open(grown).remove(["a"])
    again = SemanticIdStore.open(grown)
    assert (again.item_ids, again.codes.tolist()) == before
    assert again.removed.tolist() == [True, False, False, False, False]


def test_two_stores_that_take_turns_never_give_one_id_twice(path: Path) -> None:
    first, second = SemanticIdStore.open(path), SemanticIdStore.open(path)
    same = np.repeat(CONTENT[:1], 5, axis=0)
    for turn in range(5):
        store = (first, second)[turn % 2]
        assert store.add([NAMES[turn]], same[turn : turn + 1]).item_index.tolist() == [20 + turn]
    assert len(np.unique(SemanticIdStore.open(path).codes, axis=0)) == 25
    assert second.item_ids == NAMES[:4]
    second.refresh()
    assert second.item_ids == NAMES


def test_processes_that_add_at_the_same_time_never_give_one_id_twice(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    stub_ids(NUM_FITTED, num_codes=6).save(path)
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    # Both have the same contents, and so want the same ids.
    processes = [
        spawn.Process(target=add_together, args=(path, name, 50, 4, start)) for name in "ab"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    store = SemanticIdStore.open(path)
    assert sorted(store.item_ids) == sorted(f"{name}{item}" for name in "ab" for item in range(50))
    assert len(np.unique(store.codes, axis=0)) == NUM_FITTED + 100


def test_an_item_whose_record_was_torn_is_added_again(
    grown: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = journal_of(grown)
    head_of(journal).unlink()  # as where the kill came before the first one
    journal.write_bytes(journal.read_bytes()[:-9])
    store = SemanticIdStore.open(grown)
    assert store.item_ids == NAMES[:4]
    added = store.add(["e"], CONTENT[4:])
    assert added.item_index.tolist() == [24]
    assert added.is_new.all()
    assert "cut off" in caplog.text
    assert state(grown)[0] == NAMES


def test_an_altered_record_is_refused(grown: Path) -> None:
    journal = journal_of(grown)
    journal.write_bytes(journal.read_bytes().replace(b'"item_id":"c"', b'"item_id":"z"'))
    with pytest.raises(ArtifactError, match="line 4 was altered"):
        SemanticIdStore.open(grown)


def test_a_failed_append_leaves_a_store_that_knows_what_is_on_the_disk(
    grown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SemanticIdStore.open(grown)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("genrec.semantic_ids.journal.Journal.append", full)
    with pytest.raises(OSError, match="no space"):
        store.add(["f"], CONTENT[:1])
    monkeypatch.undo()
    expected = IdChooser(store.ids, SemanticIdStore.open(grown).codes).choose(CONTENT[:1])
    added = store.add(["g"], CONTENT[:1])
    assert added.item_index.tolist() == [25]
    np.testing.assert_array_equal(added.codes, expected.codes)  # what failed took no place
    assert state(grown)[0] == [*NAMES, "g"]


def test_compaction_changes_no_id(grown: Path) -> None:
    before = state(grown)
    store = SemanticIdStore.open(grown)
    assert store.compact() == 5
    assert (store.item_ids, store.codes.tolist()) == before == state(grown)
    nearest = store.ids.quantizer.assign_array(CONTENT)
    np.testing.assert_array_equal(store.native_codes[NUM_FITTED:], nearest)
    assert store.compact() == 0


def test_what_was_made_from_the_ids_stays_current_after_a_compaction(grown: Path) -> None:
    before = contents(grown)
    store = SemanticIdStore.open(grown)
    store.compact()
    store.add(["f"], CONTENT[:1])
    store.compact()
    assert contents(grown) == before


def test_items_are_added_after_a_compaction_as_before_it(grown: Path) -> None:
    twin = grown.with_name("twin")
    shutil.copytree(grown, twin)
    shutil.copy(journal_of(grown), journal_of(twin))
    store = SemanticIdStore.open(grown)
    store.compact()
    content = content_of(30, seed=7)
    names = [f"n{item}" for item in range(30)]
    added = store.add([*names, "c"], np.concatenate([content, CONTENT[:1]]))
    assert added.item_index.tolist() == [*range(25, 55), 22]
    uncompacted = SemanticIdStore.open(twin).add(names, content)
    np.testing.assert_array_equal(added.codes[:-1], uncompacted.codes)
    assert store.compact() == 30
    assert state(grown)[0] == [*NAMES, *names]


def test_a_store_that_was_open_during_a_compaction_notices_it(grown: Path) -> None:
    adder, reader = SemanticIdStore.open(grown), SemanticIdStore.open(grown)
    SemanticIdStore.open(grown).compact()
    added = adder.add(["c", "f"], CONTENT[:2])
    assert added.item_index.tolist() == [22, 25]
    assert adder.item_ids == state(grown)[0] == [*NAMES, "f"]
    reader.refresh()
    np.testing.assert_array_equal(reader.codes, adder.codes)
    SemanticIdStore.open(grown).compact()
    adder.refresh()
    assert adder.add(["g"], CONTENT[2:3]).item_index.tolist() == [26]


class _CrashError(Exception):
    """The power went off."""


BEGIN = Journal.begin


def crash(*_: object) -> None:
    raise _CrashError


def crash_after_moving_away(_: Path, path: Path) -> None:
    if path.exists():
        path.rename(path.parent / f".{path.name}.{os.getpid()}.old")
    raise _CrashError


def crash_after_beginning(path: Path, start: JournalStart) -> None:
    BEGIN(path, start)
    raise _CrashError


@pytest.mark.parametrize(
    ("step", "interrupted"),
    [
        ("genrec.artifacts.folders._sync", crash),  # the new artefact is half written
        ("genrec.artifacts.folders.put_in_place", crash_after_moving_away),  # there is none at all
        ("genrec.semantic_ids.compaction.sync_folder", crash),  # it is there, the journal as before
        ("genrec.semantic_ids.journal.Journal.begin", crash),
        ("genrec.semantic_ids.journal.Journal.begin", crash_after_beginning),
    ],
)
@pytest.mark.parametrize("opened_before", [True, False])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_crash_anywhere_in_a_compaction_changes_no_id(
    grown: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    interrupted: Callable[..., None],
    opened_before: bool,
    is_first: bool,
) -> None:
    if not is_first:
        SemanticIdStore.open(grown).compact()
        SemanticIdStore.open(grown).add(["z"], CONTENT[4:])
    before = state(grown)
    store, bystander = SemanticIdStore.open(grown), SemanticIdStore.open(grown)
    # An exception lets the writer tidy up; a crash does not.
    monkeypatch.setattr("genrec.artifacts.folders.shutil.rmtree", lambda *_, **__: None)
    monkeypatch.setattr(step, interrupted)
    with pytest.raises(_CrashError):
        store.compact()
    monkeypatch.undo()
    if opened_before:
        assert not bystander.add(["b"], CONTENT[1:2]).is_new.any()
    assert state(grown) == before
    assert store.add(["a", "f"], CONTENT[:2]).is_new.tolist() == [False, True]
    SemanticIdStore.open(grown).compact()
    names, codes = state(grown)
    assert names == [*before[0], "f"]
    assert codes[:-1] == before[1]


def test_who_opens_ids_while_additions_are_being_replaced_waits(grown: Path) -> None:
    SemanticIdStore.open(grown).compact()
    additions, away = additions_of(grown), grown.with_name("away")
    found: list[tuple[list[str], list[list[int]]]] = []
    before = state(grown)
    with exclusive(journal_of(grown).with_name("ids.journal.lock")):
        additions.rename(away)
        reader = threading.Thread(target=lambda: found.append(state(grown)))
        reader.start()
        reader.join(timeout=0.2)
        assert reader.is_alive()
        away.rename(additions)
    reader.join()
    assert found == [before]


def test_ids_made_anew_do_not_silently_lose_what_was_added_to_the_old_ones(grown: Path) -> None:
    store = SemanticIdStore.open(grown)
    store.compact()
    store.add(["f"], CONTENT[:1])
    kept = journal_of(grown).read_bytes()
    stub_ids(NUM_FITTED, num_codes=6, seed=3).save(grown)
    for again in (store.refresh, lambda: SemanticIdStore.open(grown)):
        with pytest.raises(
            ArtifactError, match=r"6 item\(s\) were added to other ids.* made anew.* move ids.jou"
        ):
            again()
    with pytest.raises(ArtifactError, match="made anew"):
        store.add(["g"], CONTENT[1:2])
    assert journal_of(grown).read_bytes() == kept
    journal_of(grown).rename(grown.with_name("old.journal"))
    with pytest.raises(ArtifactError, match=r"5 item\(s\) were added to other ids"):
        SemanticIdStore.open(grown)
    additions_of(grown).rename(grown.with_name("old.additions"))
    store = SemanticIdStore.open(grown)
    assert store.item_ids == []
    assert store.add(["g"], CONTENT[1:2]).item_index.tolist() == [20]


@pytest.mark.parametrize("compacted", [True, False])
def test_other_ids_take_the_place_of_grown_ones_only_if_that_is_wanted(
    grown: Path, compacted: bool
) -> None:
    if compacted:
        SemanticIdStore.open(grown).compact()
    with (
        pytest.raises(InputError, match=r"5 item\(s\) that were added"),
        replacing(grown, discard=False),
    ):
        pytest.fail("nothing may be replaced")
    with replacing(grown, discard=True):
        stub_ids(NUM_FITTED, num_codes=6, seed=3).save(grown)
    assert SemanticIdStore.open(grown).item_ids == []


def test_ids_may_be_put_where_nothing_is(tmp_path: Path) -> None:
    place = tmp_path / "no run" / "ids"
    with replacing(place, discard=False):
        stub_ids(NUM_FITTED, num_codes=6).save(place)
    assert SemanticIdStore.open(place).item_ids == []


def test_a_replacement_that_fails_leaves_what_was_added(grown: Path) -> None:
    SemanticIdStore.open(grown).compact()
    SemanticIdStore.open(grown).add(["f"], CONTENT[:1])
    before = state(grown)
    with pytest.raises(OSError, match="no space"), replacing(grown, discard=True):
        raise OSError("no space")
    assert state(grown) == before


def test_a_compaction_that_was_interrupted_before_a_replacement_comes_not_back(grown: Path) -> None:
    store = SemanticIdStore.open(grown)
    store.compact()
    additions_of(grown).rename(grown.parent / f".{additions_of(grown).name}.123.old")
    with replacing(grown, discard=True):
        stub_ids(NUM_FITTED, num_codes=6, seed=3).save(grown)
    store = SemanticIdStore.open(grown)
    store.add(["g"], CONTENT[:1])
    assert store.compact() == 1
    assert state(grown)[0] == ["g"]


@pytest.mark.parametrize("compacted", [True, False])
@pytest.mark.parametrize("replaced", [True, False])
def test_a_replacement_that_is_killed_hides_nothing(
    grown: Path, compacted: bool, replaced: bool
) -> None:
    if compacted:
        SemanticIdStore.open(grown).compact()
    before = state(grown)
    child = os.fork()
    if not child:  # it is killed inside the replacement, before or after the new ids are there
        with replacing(grown, discard=True):
            if replaced:
                stub_ids(NUM_FITTED, num_codes=6, seed=3).save(grown)
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    if replaced:
        finish_interrupted(grown)
        assert SemanticIdStore.open(grown).item_ids == []
    else:
        with pytest.raises(InputError, match=r"5 item\(s\) that were added"):
            refuse_to_lose_items(grown)
        assert state(grown) == before
    with replacing(grown, discard=True):
        stub_ids(NUM_FITTED, num_codes=6, seed=4).save(grown)
    assert not list(grown.parent.glob(".*discarded"))


def test_what_cannot_be_read_is_not_discarded(grown: Path) -> None:
    journal_of(grown).write_bytes(journal_of(grown).read_bytes()[5:])
    kept = journal_of(grown).read_bytes()
    with (
        pytest.raises(InputError, match=r"cannot be read.* --force to discard"),
        replacing(grown, discard=False),
    ):
        pytest.fail("nothing may be replaced")
    assert journal_of(grown).read_bytes() == kept


def test_nothing_is_added_while_ids_are_being_replaced(path: Path) -> None:
    store, added = SemanticIdStore.open(path), list[int]()
    adder = threading.Thread(
        target=lambda: added.extend(store.add(["a"], CONTENT[:1]).item_index.tolist())
    )
    with replacing(path, discard=False):
        adder.start()
        adder.join(timeout=0.2)
        assert not added
        stub_ids(NUM_FITTED, num_codes=6, seed=3).save(path)
    adder.join()
    assert added == [NUM_FITTED]
    assert SemanticIdStore.open(path).item_ids == ["a"]


def test_additions_that_were_lost_are_missed(grown: Path) -> None:
    SemanticIdStore.open(grown).compact()
    additions_of(grown).rename(grown.with_name("elsewhere"))
    with pytest.raises(ArtifactError, match=r"goes on behind 5 item\(s\), but .* has 0; restore"):
        SemanticIdStore.open(grown)


def test_ids_made_anew_before_anything_was_added_to_them_are_taken_as_they_are(path: Path) -> None:
    digest = artifacts.read(path, kind=SEMANTIC_IDS_KIND).digest
    Journal.begin(journal_of(path), JournalStart(base=digest, num_added=0))
    store = SemanticIdStore.open(path)
    stub_ids(NUM_FITTED, num_codes=6, seed=3).save(path)
    assert store.add(["a"], CONTENT[:1]).item_index.tolist() == [20]
    np.testing.assert_array_equal(SemanticIdStore.open(path).codes, store.codes)


def test_a_place_without_ids_is_named(tmp_path: Path) -> None:
    for place in (tmp_path / "ids", tmp_path / "no run" / "ids"):
        with pytest.raises(ArtifactMissingError, match="nothing complete stands at"):
            SemanticIdStore.open(place)
