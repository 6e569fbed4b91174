"""`genrec tokenize`: what it makes, from which inputs, and what it says when they do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from genrec.__main__ import main
from genrec.artifacts import read
from genrec.embeddings import ItemEmbeddings
from genrec.interactions import Catalogue, Histories, InteractionDataset, Repeats
from genrec.retrieval import read_item_vectors
from genrec.semantic_ids import Method, Modality, SemanticIds

Floats = npt.NDArray[np.float32]

NUM_ITEMS, WIDTH = 80, 12
SMALL = ["--levels", "2", "--codes", "9"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save_data(tmp_path / "run", drawn())


def drawn() -> Floats:
    return np.random.default_rng(0).normal(size=(NUM_ITEMS, WIDTH)).astype(np.float32)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message with which the program refuses these arguments."""
    with pytest.raises(SystemExit, match="2"):
        main(["tokenize", *words])
    return capsys.readouterr().err


def test_the_program_fits_stops_when_nothing_changed_and_inspects(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tokenize", *options(run), *SMALL]
    main(words)
    assert "0 after" in capsys.readouterr().out
    main(words)
    assert "up to date" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--seed", "1"])
    assert "was made with other settings (seed: 0 -> 1;" in capsys.readouterr().err
    main([*words, "--seed", "1", "--force"])
    assert "wrote" in capsys.readouterr().out
    main(["tokenize", "inspect", str(run / "semantic_ids"), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["collisions"] == 0
    assert [level["size"] for level in printed["levels"]] == [9, 9]


@pytest.mark.parametrize("inputs", ["text", "collaborative", "fused", "aligned"])
def test_every_input_gives_unique_ids_and_is_part_of_what_makes_them_current(
    run: Path, inputs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tokenize", *options(run), *SMALL]
    quick = ["--set", "num_epochs=1"] if inputs == "aligned" else []
    main([*words, "--inputs", inputs, *quick])
    ids = SemanticIds.load(run / "semantic_ids")
    assert len(np.unique(ids.codes, axis=0)) == NUM_ITEMS
    assert (ids.fusion is not None) == (inputs == "fused")
    capsys.readouterr()
    if inputs == "fused":
        main([*words, "--inputs", "fused"])
        assert "up to date" in capsys.readouterr().out
    else:
        with pytest.raises(SystemExit, match="2"):
            main([*words, "--inputs", "fused"])
        assert f'inputs: "{inputs}" -> "fused"' in capsys.readouterr().err


@pytest.mark.parametrize("method", Method)
def test_every_method_is_made_by_its_name(run: Path, method: Method) -> None:
    quick = ["--set", "num_epochs=1"] if method is Method.RQVAE else []
    main(["tokenize", *options(run), *SMALL, "--method", method, *quick])
    assert SemanticIds.load(run / "semantic_ids").config.method is method


def test_a_further_modality_is_fused_by_name_and_weight(run: Path) -> None:
    colours = np.random.default_rng(1).normal(size=(NUM_ITEMS, 3)).astype(np.float32)
    np.save(run / "image.npy", colours)
    table = pl.DataFrame({"item_id": ["i5", "i2"], "vector": [[1.0, 0.0], [0.0, 1.0]]})
    table.write_parquet(run / "sound.parquet")
    given = ["--modality", f"image={run / 'image.npy'}", "--weight", "image=0.5"]
    main(
        ["tokenize", *options(run), *SMALL, *given, "--modality", f"sound={run / 'sound.parquet'}"]
    )
    fusion = SemanticIds.load(run / "semantic_ids").fusion
    assert fusion is not None
    assert fusion.widths["image"] == 3
    assert fusion.widths["sound"] == 2
    assert "collaborative" in fusion.widths


def test_a_retriever_gives_the_collaborative_vectors(tiny_run: Path) -> None:
    artifact = read(tiny_run / "semantic_ids", kind="semantic_ids")
    assert artifact.parents["two_tower"] == read(tiny_run / "two_tower", kind="two_tower").digest
    learnt = read_item_vectors(tiny_run / "two_tower").vectors
    fusion = SemanticIds.load(tiny_run / "semantic_ids").fusion
    assert fusion is not None
    assert fusion.widths == {"collaborative": learnt.shape[1]}
    content = ItemEmbeddings.load(tiny_run / "embeddings").vectors
    given = {"collaborative": Modality(vectors=learnt, weight=4.0)}
    fused = fusion.apply_to(content, given)[:]
    share = fused[:, -learnt.shape[1] :].var(axis=0).sum() / fused.var(axis=0).sum()
    assert share == pytest.approx(4 / 5, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "global-temporal"], "has learnt from leave-last-out, but the ids may learn"),
        (["--inputs", "text"], "--inputs text reads no --two-tower"),
        (["--modality", "collaborative=x.npy"], "two sources of the same vectors"),
    ],
)
def test_a_retriever_that_does_not_fit_is_refused(
    tiny_run: Path,
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [f"--data={tiny_run / 'data'}", f"--two-tower={tiny_run / 'two_tower'}"]
    assert message in refused([*given, f"--out={tmp_path / 'ids'}", *words], capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "colour=red"], "no setting 'colour'; it has"),
        (["--set", "components=many"], "'many' is no int"),
        (["--set", "balanced=maybe"], "'maybe' is no bool"),
        (["--set", "num_epochs"], "--set takes NAME=VALUE, got 'num_epochs'"),
        (["--weight", "image=1"], "there is no such modality"),
        (["--weight", "collaborative=heavy"], "'heavy' is no number"),
        (["--weight", "collaborative=0"], "must be above 0, got 0.0"),
        (["--modality", "image=nowhere.npy"], "no vectors at nowhere.npy"),
        (["--method", "rkmeans", "--inputs", "aligned"], "only rqvae can be aligned"),
        (["--levels", "1", "--codes", "5"], "80 codes on each of 1 level"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    run: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused([*options(run), *words], capsys)
    assert not (run / "semantic_ids").exists()


def test_embeddings_of_other_data_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_data(tmp_path / "other", drawn()[:8])
    words = [*options(run), "--embeddings", str(other / "embeddings")]
    assert "was made from other data" in refused(words, capsys)


def test_vectors_of_another_number_of_items_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(run / "image.npy", drawn()[:7])
    words = [*options(run), "--modality", f"image={run / 'image.npy'}"]
    assert "holds 7 vectors, the catalogue 80 items" in refused(words, capsys)


def test_the_program_needs_to_know_where_from_and_where_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "needs --data and --out" in refused(["--seed", "1"], capsys)


def save_data(run: Path, vectors: Floats) -> Path:
    """A run folder with data of len(vectors) items, and these embeddings."""
    num_items = len(vectors)
    drawn_items = np.random.default_rng(2)
    dataset = InteractionDataset(
        name="planted",
        catalogue=Catalogue(pl.DataFrame({"item_id": [f"i{item}" for item in range(num_items)]})),
        user_ids=[f"u{user}" for user in range(20)],
        histories=Histories.from_lists(
            [drawn_items.permutation(num_items)[:6].tolist() for _ in range(20)]
        ),
        repeats=Repeats.MASK,
        extra=pl.DataFrame(),
    )
    dataset.save(run / "data", source="planted")
    parents = {"data": read(run / "data", kind="data")}
    ItemEmbeddings(vectors=vectors, model="planted").save(run / "embeddings", parents=parents)
    return run


def options(run: Path) -> list[str]:
    """Where a program finds the run's parts."""
    names = {"data": "data", "embeddings": "embeddings", "out": "semantic_ids"}
    return [word for name, folder in names.items() for word in (f"--{name}", str(run / folder))]
