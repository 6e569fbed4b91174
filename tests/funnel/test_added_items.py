"""Items that were added after the training: the generator serves them, others pass them over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.__main__ import main
from genrec.embeddings import ItemEmbeddings
from genrec.errors import ArtifactError, InputError
from genrec.funnel import (
    METHODS,
    Recommender,
    find_added_items,
    grown_catalogue,
    recommend_file,
)
from genrec.generator import load_generator
from genrec.semantic_ids import SemanticIdStore, journal_of

HISTORY = ["i10", "i11", "i12"]
"""Of a chain; i13 is its next item, and new ones are like i13."""


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def add(run: Path, *names: str) -> SemanticIdStore:
    """Adds items whose contents are nearly that of i13."""
    vectors = ItemEmbeddings.load(run / "embeddings").vectors
    noise = np.random.default_rng(len(names)).normal(size=(len(names), vectors.shape[1]))
    content = (vectors[13] + 0.01 * noise).astype(np.float32)
    store = SemanticIdStore.open(run / "semantic_ids")
    store.add(names, content, [f"the {name}" for name in names])
    return store


def loaded(run: Path, method: str = "combined") -> Recommender:
    return Recommender.load(run, method=method, warm_up=False)


@pytest.mark.parametrize("method", ["generative", "dense", "combined"])
@pytest.mark.parametrize("compacted", [True, False])
def test_the_generator_recommends_what_was_added(run: Path, method: str, compacted: bool) -> None:
    store = add(run, "new")
    if compacted:
        store.compact()
    found = loaded(run, method).recommend(HISTORY, k=10)
    titles = {item.item_id: item.title for item in found}
    assert titles["new"] == "the new"
    assert "i13" in titles


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers_histories_that_have_it(run: Path, method: str) -> None:
    add(run, "new", "newer")
    recommender = loaded(run, method)
    with_new = recommender.recommend([*HISTORY, "new"], k=5)
    assert len(with_new) == 5
    assert "new" not in [item.item_id for item in with_new]  # people here do not repeat
    assert recommender.counts["unknown-items"] == 0
    only = recommender.recommend(HISTORY, k=5, only=["newer", "i13"])
    served = {"i13", "newer"} if method in ("generative", "dense", "combined") else {"i13"}
    assert {item.item_id for item in only} == served
    everything = recommender.recommend([], k=1000, exclude=["new"])
    assert len(everything) == len(recommender.dataset.catalogue) - (1 if len(served) == 2 else 2)


def test_to_who_does_not_know_it_a_new_item_never_happened(run: Path) -> None:
    before = loaded(run, "two_tower_ranked").recommend(HISTORY, k=5)
    add(run, "new")
    after = loaded(run, "two_tower_ranked").recommend(["new", *HISTORY], k=5)
    assert after == before


def test_what_nobody_asks_about_changes_no_score(run: Path) -> None:
    """A new item takes its own share of probability and no more than that."""
    before = {item.item_id: item.score for item in loaded(run, "dense").recommend(HISTORY, k=60)}
    add(run, "new")
    after = {item.item_id: item.score for item in loaded(run, "dense").recommend(HISTORY, k=61)}
    shift = {item_id: after[item_id] - score for item_id, score in before.items()}
    assert max(shift.values()) - min(shift.values()) < 1e-4
    assert set(after) - set(before) == {"new"}


def test_a_file_is_answered_anew_after_an_item_came(run: Path, tmp_path: Path) -> None:
    histories, out = tmp_path / "histories.csv", tmp_path / "out.parquet"
    histories.write_text("user_id,item_id,position\na,i10,0\na,i11,1\na,i12,2\n")
    recommend_file(loaded(run), histories, out, k=10)
    assert recommend_file(loaded(run), histories, out, k=10).up_to_date
    add(run, "new")
    assert not recommend_file(loaded(run), histories, out, k=10).up_to_date
    assert "new" in pl.read_parquet(out)["item_id"]


def test_the_command_serves_what_a_command_has_added(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = ItemEmbeddings.load(run / "embeddings").vectors[[13]]
    table = pl.DataFrame({"item_id": ["new"], "vector": vectors.tolist()})
    table.write_parquet(run / "new.parquet")
    main(["tokenize", "add", str(run / "semantic_ids"), "--vectors", str(run / "new.parquet")])
    main(["tokenize", "compact", str(run / "semantic_ids")])
    capsys.readouterr()
    main(["recommend", "--run", str(run), "--history", ",".join(HISTORY), "--json"])
    items = json.loads(capsys.readouterr().out)["items"]
    assert "new" in [item["item_id"] for item in items]


def test_contents_of_another_encoder_are_refused(run: Path) -> None:
    add(run, "new")
    vectors = ItemEmbeddings.load(run / "embeddings").vectors
    ItemEmbeddings(vectors=vectors[:, ::-1].copy(), model="another").save(run / "embeddings")
    with pytest.raises(InputError, match=r"whose contents are others than .*embeddings"):
        find_added_items(run)


def test_nothing_added_is_nothing_to_serve(run: Path) -> None:
    assert find_added_items(run) is None
    store = SemanticIdStore.open(run / "semantic_ids")
    model = load_generator(run / "generator")
    assert grown_catalogue(model, store).tables.num_items == model.config.num_items


def test_many_items_are_served_as_few_are(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(run, *(f"new {item}" for item in range(5)))
    found = loaded(run).recommend(HISTORY, k=20)
    monkeypatch.setattr("genrec.funnel.added_items.MANY", 3)
    compacted = loaded(run).recommend(HISTORY, k=20)
    assert [item.item_id for item in found] == [item.item_id for item in compacted]


def test_what_cannot_be_served_is_refused(run: Path) -> None:
    add(run, "i13")  # it is in the catalogue, and has an id
    assert SemanticIdStore.open(run / "semantic_ids").item_ids == []
    add(run, "new")
    loaded(run)
    journal_of(run / "semantic_ids").write_bytes(b"nonsense\n")
    with pytest.raises(ArtifactError, match="altered"):
        loaded(run)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("compacted", [True, False])
def test_a_removed_item_is_answered_by_nobody_and_may_stand_in_histories(
    run: Path, method: str, compacted: bool
) -> None:
    store = add(run, "new", "newer")
    store.remove(["new"])
    if compacted:
        store.compact()
    recommender = loaded(run, method)
    everything = recommender.recommend(HISTORY, k=1000)
    assert "new" not in [item.item_id for item in everything]
    assert recommender.recommend(HISTORY, only=["new"]) == []
    assert len(recommender.recommend([*HISTORY, "new"], k=5)) == 5
    assert recommender.counts["unknown-items"] == 0
    store.add(["new"], store.content[:1], ["again"])
    titles = {item.item_id: item.title for item in loaded(run, method).recommend(HISTORY, k=1000)}
    served = method in ("generative", "dense", "combined")
    assert titles.get("new") == ("again" if served else None)


@pytest.mark.parametrize("method", ["generative", "dense", "combined"])
def test_a_changed_title_is_shown_and_a_changed_vector_moves_the_item(
    run: Path, method: str
) -> None:
    store = add(run, "new")
    recommender = loaded(run, method)
    before = {item.item_id: item.rank for item in recommender.recommend(HISTORY, k=61)}
    vectors = ItemEmbeddings.load(run / "embeddings").vectors
    store.change(["new"], vectors[[45]], ["now of another chain"])
    changed = loaded(run, method)
    found = changed.recommend(HISTORY, k=61)
    after = {item.item_id: item.rank for item in found}
    assert {item.item_id: item.title for item in found}["new"] == "now of another chain"
    assert after["new"] > before["new"]
    assert changed.digests["added_items"] != recommender.digests["added_items"]


def test_the_example_of_the_document_runs(run: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "semantic_ids.md").read_text()
    [code] = [
        block.partition("```")[0]
        for block in document.split("```python\n")[1:]
        if "grown_catalogue" in block.partition("```")[0]
    ]
    names: dict[str, object] = {}
    exec(code.replace("runs/shop", str(run)), names)
    assert SemanticIdStore.open(run / "semantic_ids").item_ids == ["like the first"]
    found = loaded(run).recommend(HISTORY, k=61)
    assert "like the first" in [item.item_id for item in found]
