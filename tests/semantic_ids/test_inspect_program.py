"""`genrec tokenize inspect`: finds the data beside the ids, and says what it could not measure."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec.__main__ import main
from genrec.artifacts import read
from genrec.embeddings import ItemEmbeddings
from genrec.interactions import Catalogue, Histories, InteractionDataset, Repeats
from tests.semantic_ids.planted import (
    NUM_ITEMS,
    histories_within_kinds,
    planted_catalogue,
    planted_ids,
    planted_vectors,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with data, embeddings and Semantic IDs of content alone."""
    run = tmp_path / "run"
    save_data(run / "data", planted_catalogue(), histories_within_kinds())
    data = read(run / "data", kind="data")
    vectors = ItemEmbeddings(vectors=planted_vectors(), model="planted")
    vectors.save(run / "embeddings", parents={"data": data})
    parents = {"data": data, "embeddings": read(run / "embeddings", kind="embeddings")}
    planted_ids().save(run / "semantic_ids", parents=parents)
    return run


def save_data(path: Path, catalogue: Catalogue, histories: Histories) -> None:
    InteractionDataset(
        name="planted",
        catalogue=catalogue,
        user_ids=[f"u{user}" for user in range(len(histories))],
        histories=histories,
        repeats=Repeats.MASK,
        extra=pl.DataFrame(),
    ).save(path, source="planted")


def printed(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    main(["tokenize", "inspect", *(str(word) for word in words)])
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    tree = json.loads(printed(capsys, *words, "--json"))
    assert isinstance(tree, dict)
    return tree


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    with pytest.raises(SystemExit, match="2"):
        printed(capsys, *words)
    return capsys.readouterr().err


def test_what_stands_beside_the_ids_is_taken_and_everything_is_shown(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = printed(capsys, run / "semantic_ids")
    for told in (
        "8 of 8", "0.00% native collisions", "which lead to 100.0% of the codes again",
        "same category", "follow each other", "nearest neighbours of 160 items",
        "shares its first 2 codes with 3 others", "of kind 1 in group", "no alarm",
    ):  # fmt: skip
        assert told in page, told
    assert "not measured" not in page


def test_json_is_all_that_is_printed_with_the_promised_keys(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tree = as_json(capsys, run / "semantic_ids", "--picture", tmp_path / "tree.html")
    assert {"native_collision_rate", "collisions", "levels", "alarms"} <= set(tree)
    assert {"use", "perplexity", "dead"} <= set(tree["levels"][0])
    assert tree["not_measured"] == []
    assert "semantic-id-tree" in (tmp_path / "tree.html").read_text("utf-8")


def test_without_a_run_folder_the_codes_are_shown_and_what_to_give_is_said(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    alone = Path(shutil.copytree(run / "semantic_ids", tmp_path / "elsewhere" / "ids"))
    page = printed(capsys, alone, "--picture", tmp_path / "tree.html")
    assert "8 of 8" in page
    assert page.count("not measured:") == 3
    assert f"wrote {tmp_path / 'tree.html'}" in page
    given = as_json(capsys, alone, "--data", run / "data", "--embeddings", run / "embeddings")
    assert given["not_measured"] == []
    assert given == as_json(capsys, run / "semantic_ids")


def test_other_data_beside_the_ids_is_left_alone_and_refused_where_it_is_given(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run / "data")
    other = Catalogue(planted_catalogue().table.with_columns(title=pl.lit("another")))
    save_data(run / "data", other, histories_within_kinds())
    tree = as_json(capsys, run / "semantic_ids")
    assert tree["examples"] is None
    assert tree["vectors"]["reproduced"] == 1.0
    message = refused(capsys, run / "semantic_ids", "--data", run / "data")
    assert "was made from other data" in message


def test_embeddings_of_other_data_are_refused_and_other_embeddings_not_believed(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    drawn = np.random.default_rng(0).normal(size=planted_vectors().shape).astype(np.float32)
    noise = ItemEmbeddings(vectors=drawn, model="noise")
    noise.save(tmp_path / "noise", parents={"data": read(run / "data", kind="data")})
    tree = as_json(capsys, run / "semantic_ids", "--embeddings", tmp_path / "noise")
    assert tree["errors"] is None
    assert "do not lead to these codes" in tree["not_measured"][0]
    noise.save(tmp_path / "stray")
    message = refused(capsys, run / "semantic_ids", "--embeddings", tmp_path / "stray")
    assert "vectors of other data" in message


def test_ids_that_record_no_parents_take_what_is_given_and_nothing_by_themselves(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run / "semantic_ids")
    planted_ids().save(run / "semantic_ids")
    assert len(as_json(capsys, run / "semantic_ids")["not_measured"]) == 3
    words: list[str | Path] = ["--data", run / "data", "--embeddings", run / "embeddings"]
    assert as_json(capsys, run / "semantic_ids", *words)["not_measured"] == []


def test_embeddings_made_beside_ids_that_encoded_their_texts_are_taken(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run / "semantic_ids")
    planted_ids().save(run / "semantic_ids", parents={"data": read(run / "data", kind="data")})
    assert as_json(capsys, run / "semantic_ids")["vectors"]["reproduced"] == 1.0


def test_the_column_of_categories_can_be_named(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ids = run / "semantic_ids"
    assert as_json(capsys, ids)["categories"]["column"] == "categories"
    assert "no column 'year' of texts" in refused(capsys, ids, "--category", "year")
    alone = Path(shutil.copytree(ids, tmp_path / "elsewhere" / "ids"))
    assert "needs the data" in refused(capsys, alone, "--category", "brand")


def test_a_picture_needs_a_folder_that_is_there(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, run / "semantic_ids", "--picture", run / "nowhere" / "tree.html")
    assert "there is no folder" in message


def test_histories_that_cannot_be_divided_leave_co_occurrence_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = Histories.from_lists([[item, item + 1] for item in range(0, NUM_ITEMS, 2)])
    save_data(tmp_path / "data", planted_catalogue(), short)
    planted_ids().save(
        tmp_path / "semantic_ids", parents={"data": read(tmp_path / "data", kind="data")}
    )
    assert as_json(capsys, tmp_path / "semantic_ids")["co_occurrence"] is None
