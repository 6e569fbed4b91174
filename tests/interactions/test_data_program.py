"""`genrec data`, as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from genrec import artifacts
from genrec.__main__ import main
from genrec.interactions import InteractionDataset, Repeats

CSV = """who;what;when;kind;stars
007;x;2024-01-02 10:00;view;1
008;y;2024-01-01;buy;5
007;y;2024-01-01;view;2
007;y;2024-01-03;view;2
"""
ITEMS = "asin,name,price\ny,Yellow,2.5\nx,Xylophone,3\nz,Zebra,1\n"
OPTIONS = (
    *("--user", "who", "--item", "what", "--time", "when", "--event", "kind"),
    *("--value", "stars", "--item-id", "asin", "--title", "name"),
)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `genrec data WORDS`."""
    code: object = 0
    try:
        main(["data", *map(str, words)])
    except SystemExit as left:
        code = left.code
    printed = capsys.readouterr()
    assert isinstance(code, int)
    return code, printed.out, printed.err


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "shop.csv").write_text(CSV)
    (tmp_path / "items.csv").write_text(ITEMS)
    return tmp_path / "shop.csv", tmp_path / "items.csv"


def test_a_csv_is_imported_with_its_items_and_the_account_is_printed(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, items = files
    out = tmp_path / "run" / "data"
    code, printed, _ = run(capsys, "import", log, "--items", items, "--out", out, *OPTIONS)
    assert code == 0
    assert "shop: 2 users, 3 items, 4 events of 4 rows" in printed
    assert "repeats: 25.00% of events; allow (measured)" in printed
    assert "order: time from 'when' (text); ties by row" in printed
    dataset = InteractionDataset.load(out)
    assert dataset.user_ids == ["007", "008"]
    assert dataset.catalogue.ids(dataset.histories.items_of(0)) == ["y", "x", "y"]
    titles = dataset.catalogue.titles(dataset.catalogue.index(["x", "y", "z"]))
    assert titles == ["Xylophone", "Yellow", "Zebra"]
    assert dataset.extra.to_dict(as_series=False) == {
        "event": ["view", "view", "view", "buy"],
        "value": [2, 1, 2, 5],
    }


def test_a_second_import_does_nothing_until_something_changes(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, _ = files
    words = ("import", log, "--out", tmp_path / "data", *OPTIONS[:6])
    assert "wrote" in run(capsys, *words)[1]
    assert "is up to date" in run(capsys, *words)[1]
    assert "wrote" in run(capsys, *words, "--force")[1]
    assert "wrote" in run(capsys, *words, "--repeats", "mask")[1]
    assert InteractionDataset.load(tmp_path / "data").repeats is Repeats.MASK
    log.write_text(CSV + "008;z;2024-02-01;view;3\n")
    assert "3 items, 5 events" in run(capsys, *words, "--repeats", "mask")[1]


def test_data_that_models_were_made_from_is_not_replaced_unless_forced(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("import", files[0], "--out", tmp_path / "run" / "data", *OPTIONS[:6])
    assert run(capsys, *words)[0] == 0
    with artifacts.writing(tmp_path / "run" / "generator", kind="generator", config={}):
        pass
    assert run(capsys, *words)[0] == 0  # just the same: up to date
    before = artifacts.read(tmp_path / "run" / "data", kind="data").digest
    code, _, message = run(capsys, *words, "--name", "other")
    assert code == 2
    assert "generator of" in message
    assert "--force" in message
    assert artifacts.read(tmp_path / "run" / "data", kind="data").digest == before
    assert run(capsys, *words, "--name", "other", "--force")[0] == 0


def test_problems_fail_with_2_and_write_nothing_until_they_are_dropped(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, items = files
    log.write_text(CSV + ";x;2024-01-05;view;1\n008;gone;soon;view;1\n")
    words = ("import", log, "--items", items, "--out", tmp_path / "data", *OPTIONS)
    code, _, message = run(capsys, *words)
    assert code == 2
    assert str(log) in message
    for expected in ("null-user: 1 row(s) (rows 4)", "unknown-item", "unparsable-time"):
        assert expected in message
    assert not (tmp_path / "data").exists()
    drops = ("--drop", "null-user", "--drop", "unknown-item", "--drop", "unparsable-time")
    code, printed, _ = run(capsys, *words, *drops)
    assert code == 0
    assert "dropped 1 row(s) with null-user" in printed
    assert "4 events of 6 rows" in printed


def test_validate_prints_every_problem_and_leaves_with_2(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    log, items = files
    assert run(capsys, "validate", log, "--items", items, *OPTIONS)[0] == 0
    log.write_text(CSV + ";x;2024-01-05;view;1\n008;gone;soon;view;1\n")
    code, printed, _ = run(capsys, "validate", log, "--items", items, *OPTIONS)
    assert code == 2
    for expected in ("null-user", "unknown-item", "unparsable-time"):
        assert expected in printed
    drops = ("--drop", "null-user", "--drop", "unknown-item", "--drop", "unparsable-time")
    code, printed, _ = run(capsys, "validate", log, "--items", items, *OPTIONS, *drops)
    assert code == 0
    assert "would drop 1 row(s) with null-user" in printed
    assert "no problems in 4 of 6 rows" in printed


def test_validate_checks_a_data_folder(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "import", files[0], "--out", tmp_path / "data", *OPTIONS[:6])
    code, printed, _ = run(capsys, "validate", tmp_path / "data")
    assert (code, "is intact: shop, 2 users" in printed) == (0, True)
    (tmp_path / "data" / "users.parquet").write_bytes(b"altered")
    code, _, message = run(capsys, "validate", tmp_path / "data")
    assert (code, "users.parquet was altered" in message) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("import", "nowhere.csv", "--out", "x"), "there is no file nowhere.csv"),
        (("validate", "nowhere.csv"), "there is no file nowhere.csv"),
        (("describe", "nowhere"), "there is no file nowhere"),
        (("fetch", "movielens-100k", "--from", "nowhere", "--out", "x"), "neither a file nor"),
    ],
)
def test_what_is_not_there_is_one_clear_message(
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = run(capsys, *words)
    assert (code, message in error) == (2, True)


def test_an_unknown_kind_to_drop_is_an_error(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("import", files[0], "--out", tmp_path / "data", *OPTIONS[:6], "--drop", "nonsense")
    code, _, message = run(capsys, *words)
    assert (code, "cannot drop ['nonsense']" in message) == (2, True)


def test_an_empty_file_is_one_clear_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("log.csv", "log.jsonl"):
        (tmp_path / name).write_text("")
        code, _, message = run(capsys, "import", tmp_path / name, "--out", tmp_path / "data")
        assert (code, "the log has no rows" in message) == (2, True)


def test_describe_prints_figures_and_draws_beside_the_folder(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "import", files[0], "--out", tmp_path / "data", *OPTIONS[:6])
    code, printed, _ = run(capsys, "describe", tmp_path / "data")
    assert (code, "events" in printed) == (0, True)
    assert (tmp_path / "data.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    code, printed, _ = run(capsys, "describe", tmp_path / "data", "--json")
    assert json.loads(printed)["num_events"] == 4
    inside = tmp_path / "data" / "picture.html"
    code, _, message = run(capsys, "describe", tmp_path / "data", "--picture", inside)
    assert (code, "would replace" in message) == (2, True)
    assert run(capsys, "validate", tmp_path / "data")[0] == 0


def test_a_file_called_interactions_is_named_after_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "beauty"
    folder.mkdir()
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [1]})
    frame.write_parquet(folder / "interactions.parquet")
    run(capsys, "import", folder / "interactions.parquet", "--out", tmp_path / "data")
    assert InteractionDataset.load(tmp_path / "data").name == "beauty"


def test_a_tab_may_be_written_as_two_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.txt").write_text("user_id\titem_id\ttimestamp\nu,v\ta\t1\n")
    code, printed, _ = run(capsys, "validate", tmp_path / "log.txt", "--separator", "\\t")
    assert (code, "no problems in 1 of 1 rows" in printed) == (0, True)


READING = {
    "no header": (
        "log.dat",
        "u::a::1\nu::b::2\n",
        ["--no-header", "--columns", "user_id, item_id,timestamp"],
    ),
    "a header by other names": (
        "log.csv",
        "1,2,3\nu,a,1\nu,b,2\n",
        ["--columns", "user_id,item_id,timestamp"],
    ),
    "quotes as characters": (
        "log.tsv",
        'user_id\titem_id\ttimestamp\tt\nu\ta\t1\t"x\nu\tb\t2\ty"\n',
        ["--quote", "none"],
    ),
    "lists": (
        "log.jsonl",
        '{"user_id": "u", "item_id": ["a", "b"], "timestamp": [1, 2]}\n',
        ["--explode", "item_id,timestamp"],
    ),
    "nested names": (
        "log.json",
        '[{"user_id": "u", "p": {"id": "a"}, "timestamp": 1},'
        ' {"user_id": "u", "p": {"id": "b"}, "timestamp": 2}]',
        ["--item", "p.id"],
    ),
    "unreadable rows": (
        "log.csv",
        "user_id,item_id,timestamp\nu,a,1\nbroken\nu,b,2\n",
        ["--drop", "unreadable-row"],
    ),
}


@pytest.mark.parametrize("case", READING)
def test_the_options_of_reading_give_the_log_that_is_meant(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, options = READING[case]
    (tmp_path / name).write_text(content)
    out = tmp_path / "data"
    assert run(capsys, "import", tmp_path / name, "--out", out)[0] != 0
    code, printed, _ = run(capsys, "import", tmp_path / name, "--out", out, *options)
    assert code == 0
    dataset = InteractionDataset.load(out)
    assert dataset.catalogue.ids(dataset.histories.items_of(0)) == ["a", "b"]
    if case == "unreadable rows":
        assert "2 events of 3 rows" in printed
        assert "dropped 1 row(s) with unreadable-row" in printed
    code, printed, _ = run(capsys, "validate", tmp_path / name, *options)
    assert code == 0
    assert "no problems in 2 of" in printed


def test_an_encoding_is_of_the_log_and_its_items(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\nu,é,1\n", "latin-1")
    (tmp_path / "items.csv").write_text("item_id,title\né,Café\n", "latin-1")
    words = ["import", tmp_path / "log.csv", "--items", tmp_path / "items.csv"]
    words += ["--out", tmp_path / "data"]
    code, _, failed = run(capsys, *words)
    assert code != 0
    assert "--encoding cp1252" in " ".join(failed.split())
    assert run(capsys, *words, "--encoding", "cp1252")[0] == 0
    assert InteractionDataset.load(tmp_path / "data").catalogue.titles([0]) == ["Café"]


def test_a_folder_of_files_is_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for day in (1, 2):
        (folder / f"{day}.csv").write_text(f"user_id,item_id,timestamp\nu,i{day},{day}\n")
    code, printed, _ = run(capsys, "validate", folder)
    assert (code, "no problems in 2 of 2 rows" in printed) == (0, True)
    code, printed, _ = run(capsys, "import", folder, "--out", tmp_path / "data")
    assert (code, "logs: 1 users, 2 items" in printed) == (0, True)


def test_columns_are_chosen_that_describe_an_item_and_stay_chosen(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("import", files[0], "--items", files[1], "--out", tmp_path / "data", *OPTIONS)
    code, printed, _ = run(capsys, *words, "--text-columns", "name")
    assert code == 0
    assert "x: Xylophone\n" in printed
    assert sorted(InteractionDataset.load(tmp_path / "data").catalogue.texts()) == [
        *("Xylophone", "Yellow", "Zebra")
    ]
    code, _, message = run(capsys, *words, "--text-columns", "name,colour")
    assert (code, "no column 'colour'" in message, "--text-columns" in message) == (2, True, True)


def test_an_items_table_without_names_in_another_encoding_is_read(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = tmp_path / "movies.dat"
    items.write_bytes("x::Café::Drama\ny::Été::Comedy\nz::Z::Drama\n".encode("latin-1"))
    words = ["import", files[0], "--items", items, "--out", tmp_path / "data", *OPTIONS[:6]]
    code, _, message = run(capsys, *words)
    assert (code, "--items-encoding cp1252" in message) == (2, True)
    words += ["--items-encoding", "latin-1"]
    code, _, message = run(capsys, *words)
    assert (code, "--no-items-header" in message, "--items-columns" in message) == (2, True, True)
    code, printed, _ = run(
        capsys, *words, "--no-items-header", "--items-columns", "item_id,title,genres"
    )
    assert (code, "x: Café. genres: Drama" in printed) == (0, True)


def test_a_log_is_described_before_it_is_imported(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    code, printed, _ = run(capsys, "describe", files[0], *OPTIONS[:6], "--json")
    assert (code, json.loads(printed)["num_events"]) == (0, 4)
    assert run(capsys, "describe", files[0], *OPTIONS[:6])[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    page = tmp_path / "page.html"
    assert run(capsys, "describe", files[0], *OPTIONS[:6], "--picture", page)[0] == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("out", ["shop.csv", "items.csv", "."])
def test_what_is_read_is_never_written(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    words = ("import", files[0], "--items", files[1], "--out", tmp_path / out, *OPTIONS)
    code, _, message = run(capsys, *words, "--force")
    assert (code, "would replace" in message) == (2, True)
    assert files[0].read_text() == CSV
    assert files[1].read_text() == ITEMS


def test_a_column_of_the_wrong_type_is_told_with_its_file_and_a_way_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pl.DataFrame({"user_id": ["u"], "item_id": [["a", "b"]], "timestamp": [1_700_000_000]})
    table.write_parquet(tmp_path / "log.parquet")
    code, _, message = run(capsys, "validate", tmp_path / "log.parquet")
    assert (code, "log.parquet" in message, "--explode item_id" in message) == (2, True, True)
    assert run(capsys, "validate", tmp_path / "log.parquet", "--explode", "item_id")[0] == 0


def test_times_that_fit_one_format_are_told_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,timestamp\nu,a,30/01/23 09:05\nu,b,08/02/23 14:05\n")
    code, printed, _ = run(capsys, "validate", log)
    assert (code, "%d/%m/%y %H:%M" in printed) == (2, True)
    assert run(capsys, "validate", log, "--time-format", "%d/%m/%y %H:%M")[0] == 0


def test_a_remedy_is_offered_only_where_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("userId,movieId,timestamp\nu,a,1700000000\n")
    code, printed, _ = run(capsys, "validate", log)
    assert (code, "--drop" in printed, "--user userId" in printed) == (2, False, True)
    assert run(capsys, "validate", log, "--user", "userId", "--item", "movieId")[0] == 0
