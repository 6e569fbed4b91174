"""`genrec tokenize add` and `compact`: new items from vectors or texts, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from genrec.__main__ import main
from genrec.artifacts import read
from genrec.embeddings import ItemEmbeddings
from genrec.interactions import Catalogue, Histories, InteractionDataset, Repeats
from genrec.semantic_ids.store import SemanticIdStore

Floats = npt.NDArray[np.float32]

NUM_ITEMS, WIDTH = 40, 8
COLOURS = ["red", "green", "blue", "black", "white"]


@pytest.fixture(autouse=True)
def quick_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text's vector is drawn from the text itself."""

    def encode(
        _: object, texts: Mapping[bytes, str], advance: Callable[[int], None]
    ) -> dict[bytes, Floats]:
        return {key: drawn_from(text) for key, text in texts.items()}

    monkeypatch.setattr("genrec.embeddings.encoder._Encoder.__init__", lambda *_, **__: None)
    monkeypatch.setattr("genrec.embeddings.encoder._Encoder.encode", encode)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose ids describe its items' texts."""
    run = tmp_path / "run"
    save_data(run / "data", described(range(NUM_ITEMS)))
    cache = ["--cache", str(tmp_path / "cache")]
    main(["embed", *options(run, "data"), "--out", str(run / "embeddings"), *cache])
    tokenize(run, "--embeddings", str(run / "embeddings"))
    return run


def drawn_from(text: str) -> Floats:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    return np.random.default_rng(seed).normal(size=WIDTH).astype(np.float32)


def described(items: range) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in items],
            "title": [f"thing {item}" for item in items],
            "colour": [COLOURS[item % 5] for item in items],
        }
    )


def save_data(path: Path, items: pl.DataFrame, text_columns: list[str] | None = None) -> None:
    InteractionDataset(
        name="things",
        catalogue=Catalogue(items, text_columns),
        user_ids=["u", "v"],
        histories=Histories.from_lists([[0, 1, 2, 3, 4, 5], [3, 2, 1, 6, 7]]),
        repeats=Repeats.MASK,
        extra=pl.DataFrame(),
    ).save(path, source="made here")


def options(run: Path, *names: str) -> list[str]:
    return [word for name in names for word in (f"--{name}", str(run / name))]


def tokenize(run: Path, *words: str) -> None:
    small = ["--method", "rkmeans", "--inputs", "text", "--levels", "2", "--codes", "9"]
    out = ["--out", str(run / "semantic_ids")]
    main(["tokenize", *options(run, "data"), *out, *small, *words])


def add(run: Path, *words: str) -> None:
    cache = ["--cache", str(run.parent / "cache")]
    main(["tokenize", "add", str(run / "semantic_ids"), *words, *cache])


def refused(run: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="2"):
        add(run, *words)
    return capsys.readouterr().err


def write_vectors(path: Path, item_ids: list[str], vectors: Floats) -> list[str]:
    pl.DataFrame({"item_id": item_ids, "vector": vectors.tolist()}).write_parquet(path)
    return ["--vectors", str(path)]


def test_items_are_added_by_vectors_shown_and_compacted(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = np.array(ItemEmbeddings.load(run / "embeddings").vectors[[3, 4]])
    add(run, *write_vectors(run / "new.parquet", ["new", "i4"], vectors))
    printed = capsys.readouterr().out
    assert "1 item(s) added, 1 had an id before" in printed
    assert "now has 41 items" in printed.replace("\n", " ")
    assert "thing" in printed
    store = SemanticIdStore.open(run / "semantic_ids")
    assert store.item_ids == ["new"]
    assert store.codes[40, 0] == store.ids.native_codes[3, 0]
    main(["tokenize", "compact", str(run / "semantic_ids")])
    assert "1 item(s) taken over" in capsys.readouterr().out
    assert SemanticIdStore.open(run / "semantic_ids").item_ids == ["new"]
    tokenize(run, "--embeddings", str(run / "embeddings"))
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize("with_embeddings", [True, False])
def test_texts_of_new_items_are_built_and_encoded_as_those_of_the_run(
    run: Path, with_embeddings: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if not with_embeddings:  # then the texts of the data are encoded while the ids are made
        tokenize(run, "--cache", str(run.parent / "cache"))
    twins = described(range(3)).with_columns(item_id="new " + pl.col("item_id"), price=pl.lit(1))
    twins.select("price", "colour", "title", "item_id").write_csv(run / "new.csv")
    add(run, "--items", str(run / "new.csv"))
    assert "columns that the run's items lack, not read: ['price']" in capsys.readouterr().out
    store = SemanticIdStore.open(run / "semantic_ids")
    assert store.item_ids == ["new i0", "new i1", "new i2"]
    nearest = store.native_codes
    np.testing.assert_array_equal(nearest[NUM_ITEMS:], nearest[:3])


def test_without_the_data_texts_are_built_from_the_columns_as_they_stand(run: Path) -> None:
    (run / "data").rename(run / "elsewhere")
    described(range(3)).with_columns(item_id="new " + pl.col("item_id")).write_csv(run / "new.csv")
    add(run, "--items", str(run / "new.csv"))
    store = SemanticIdStore.open(run / "semantic_ids")
    np.testing.assert_array_equal(store.native_codes[40:], store.native_codes[:3])


def test_what_new_items_come_from_must_be_named_once(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ["--items", "a.csv", "--vectors", "a.parquet"]
    for words in ([], both):
        assert "either with --vectors FILE or with --items" in refused(run, words, capsys)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pl.DataFrame({"name": ["a"]}), "has no column 'item_id'"),
        (pl.DataFrame({"item_id": ["a", None], "title": ["x", "y"]}), "1 row(s) without item_id"),
        (pl.DataFrame({"item_id": ["a", "a"], "title": ["x", "y"]}), "must be unique"),
        (pl.DataFrame({"item_id": ["a"], "weight": [1]}), "rename the columns"),
    ],
)
def test_an_items_table_that_does_not_fit_is_refused(
    run: Path, table: pl.DataFrame, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_parquet(run / "new.parquet")
    assert message in refused(run, ["--items", str(run / "new.parquet")], capsys)


def test_vectors_that_do_not_fit_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    narrow = write_vectors(run / "new.parquet", ["a"], np.zeros((1, 3), np.float32))
    assert "content must be [n, 8]" in refused(run, narrow, capsys)
    assert ".parquet file" in refused(run, ["--vectors", str(run / "new.npy")], capsys)
    twice = write_vectors(run / "new.parquet", ["a", "a"], np.zeros((2, 8), np.float32))
    assert "more than once" in refused(run, twice, capsys)


def test_data_and_embeddings_of_another_run_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = run.parent / "other"
    save_data(other / "data", described(range(30)))
    vectors = np.ones((30, WIDTH), np.float32)
    parents = {"data": read(other / "data", kind="data")}
    ItemEmbeddings(vectors=vectors, model="given").save(other / "embeddings", parents=parents)
    described(range(3)).write_csv(run / "new.csv")
    items = ["--items", str(run / "new.csv")]
    assert "made from other data" in refused(run, [*items, *options(other, "data")], capsys)
    wrong = [*items, *options(other, "embeddings")]
    assert "made from other embeddings" in refused(run, wrong, capsys)
    tokenize(other, *options(other, "embeddings"))
    assert "does not say which text encoder" in refused(other, items, capsys)


def test_an_encoder_that_is_not_the_runs_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    described(range(3)).write_csv(run / "new.csv")
    monkeypatch.setattr("tokenizer.additions.model_digest", lambda _: "another")
    assert "its files differ" in refused(run, ["--items", str(run / "new.csv")], capsys)


def test_ids_and_titles_that_look_like_numbers_are_text(run: Path) -> None:
    (run / "new.csv").write_text("item_id,title\n101,1917\n102,007\n")
    add(run, "--items", str(run / "new.csv"))
    floats = pl.DataFrame({"item_id": [101.0, 103.0], "title": [1917, 3]})
    floats.write_parquet(run / "new.parquet")
    add(run, "--items", str(run / "new.parquet"))
    store = SemanticIdStore.open(run / "semantic_ids")
    assert store.item_ids == ["101", "102", "103"]
    assert store.titles == ["1917", "007", "3"]


def test_texts_cannot_be_added_to_ids_that_describe_how_items_are_used(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenize(run, "--inputs", "collaborative")
    described(range(3)).write_csv(run / "new.csv")
    message = refused(run, ["--items", str(run / "new.csv")], capsys)
    assert "describes how items are used" in message


def test_ids_with_added_items_are_made_anew_only_by_force(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(run, *write_vectors(run / "new.parquet", ["new"], drawn_from("new")[None]))
    embeddings = ["--embeddings", str(run / "embeddings")]
    with pytest.raises(SystemExit, match="2"):
        tokenize(run, *embeddings, "--seed", "1")
    assert "has 1 item(s) that were added after the fit" in capsys.readouterr().err
    assert SemanticIdStore.open(run / "semantic_ids").item_ids == ["new"]
    tokenize(run, *embeddings, "--seed", "1", "--force")
    assert SemanticIdStore.open(run / "semantic_ids").item_ids == []


def change(run: Path, *words: str) -> None:
    cache = ["--cache", str(run.parent / "cache")]
    main(["tokenize", "change", str(run / "semantic_ids"), *words, *cache])


def grow(run: Path) -> Path:
    """Adds items i40 and i41; the table that they were added from."""
    table = run / "new.parquet"
    described(range(NUM_ITEMS, NUM_ITEMS + 2)).write_parquet(table)
    add(run, "--items", str(table))
    return table


def test_one_title_is_changed_by_its_item(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grow(run)
    change(run, "i41", "--new-title", "[b] another")
    assert SemanticIdStore.open(run / "semantic_ids").titles == ["thing 40", "[b] another"]
    assert "1 item(s) changed, 0 of them have other codes" in capsys.readouterr().out


def test_changed_texts_are_encoded_as_new_ones_are(run: Path) -> None:
    table = grow(run)
    pl.DataFrame({"item_id": ["i40"], "title": ["a lamp"], "colour": ["red"]}).write_parquet(table)
    change(run, "--items", str(table))
    store = SemanticIdStore.open(run / "semantic_ids")
    assert store.titles == ["a lamp", "thing 41"]
    np.testing.assert_array_equal(store.content[0], drawn_from("a lamp. colour: red"))


def test_changed_vectors_leave_the_titles(run: Path) -> None:
    grow(run)
    vector = np.arange(WIDTH, dtype=np.float32)
    table = pl.DataFrame({"item_id": ["i41"], "vector": [vector.tolist()]})
    table.write_parquet(run / "vectors.parquet")
    change(run, "--vectors", str(run / "vectors.parquet"))
    store = SemanticIdStore.open(run / "semantic_ids")
    assert store.titles == ["thing 40", "thing 41"]
    np.testing.assert_array_equal(store.content[1], vector)


@pytest.mark.parametrize(
    "words", [[], ["i40"], ["--title", "x"], ["i40", "--title", "x", "--items", "new.parquet"]]
)
def test_a_change_that_says_nothing_or_two_things_is_refused(
    run: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    grow(run)
    with pytest.raises(SystemExit):
        change(run, *words)
    assert "say what changes in one way" in " ".join(capsys.readouterr().err.split())


def test_items_are_removed_by_name_and_by_file(run: Path) -> None:
    table = grow(run)
    ids = str(run / "semantic_ids")
    main(["tokenize", "remove", ids, "i41"])
    assert SemanticIdStore.open(ids).removed.tolist() == [False, True]
    pl.read_parquet(table).head(1).write_csv(run / "gone.csv")
    main(["tokenize", "remove", ids, "--items", str(run / "gone.csv")])
    assert SemanticIdStore.open(ids).removed.all()


def test_an_item_of_the_fit_is_not_removed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tokenize", "remove", str(run / "semantic_ids"), "i3"])
    assert "only items that were added can be changed or removed" in " ".join(
        capsys.readouterr().err.split()
    )
    with pytest.raises(SystemExit):
        main(["tokenize", "remove", str(run / "semantic_ids")])
    assert "say what to remove" in capsys.readouterr().err


def test_a_table_of_new_items_is_read_as_it_is_said(run: Path) -> None:
    table = run / "new.csv"
    table.write_text("sku;name;colour\ni40;thing 40;red\n")
    words = ["--items", str(table), "--separator", ";", "--item-id", "sku", "--title", "name"]
    main(["tokenize", "add", str(run / "semantic_ids"), *words, "--cache", str(run / "cache")])
    store = SemanticIdStore.open(run / "semantic_ids")
    assert (store.item_ids, store.titles) == (["i40"], ["thing 40"])
    np.testing.assert_array_equal(store.content[0], drawn_from("thing 40. colour: red"))
    words = ["--items", str(table), "--separator", ";", "--item-id", "sku"]
    main(["tokenize", "remove", str(run / "semantic_ids"), *words])
    assert SemanticIdStore.open(run / "semantic_ids").removed.all()


def test_columns_that_describe_the_run_s_items_describe_new_ones(tmp_path: Path) -> None:
    run = tmp_path / "run"
    save_data(run / "data", described(range(NUM_ITEMS)), text_columns=["colour"])
    cache = ["--cache", str(tmp_path / "cache")]
    main(["embed", *options(run, "data"), "--out", str(run / "embeddings"), *cache])
    tokenize(run, "--embeddings", str(run / "embeddings"))
    described(range(40, 42)).write_parquet(run / "new.parquet")
    words = ["--items", str(run / "new.parquet"), *cache]
    main(["tokenize", "add", str(run / "semantic_ids"), *words])
    content = SemanticIdStore.open(run / "semantic_ids").content
    np.testing.assert_array_equal(content[0], drawn_from("colour: red"))
