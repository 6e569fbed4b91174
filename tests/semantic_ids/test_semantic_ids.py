"""Fitting recovers planted categories, gives every item its own id, and saves what it made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch

from genrec.__main__ import main
from genrec.artifacts import read
from genrec.embeddings import ItemEmbeddings
from genrec.errors import ArtifactError, InputError
from genrec.interactions import Catalogue, Histories, InteractionDataset, Repeats
from genrec.semantic_ids import RqVaeConfig, SemanticIds, fit_semantic_ids, supported_num_codes

Floats = npt.NDArray[np.float32]

NUM_GROUPS, NUM_KINDS, ITEMS_EACH, WIDTH = 6, 6, 8, 24
QUICK = RqVaeConfig(num_levels=3, num_codes=8, latent_width=8, hidden_width=32, num_epochs=1)


def planted() -> Floats:
    """Groups far apart, in each the same six kinds, items of a kind close: [6 * 6 * 8, 24]."""
    generator = np.random.default_rng(0)
    groups = 4.0 * generator.normal(size=(NUM_GROUPS, 1, 1, WIDTH))
    kinds = 1.5 * generator.normal(size=(1, NUM_KINDS, 1, WIDTH))
    items = 0.3 * generator.normal(size=(NUM_GROUPS, NUM_KINDS, ITEMS_EACH, WIDTH))
    return (groups + kinds + items).reshape(-1, WIDTH).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Small products are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def fitted() -> SemanticIds:
    config = RqVaeConfig(num_levels=4, num_codes=6, latent_width=16, hidden_width=64)
    return fit_semantic_ids(planted(), config)


def test_first_codes_are_the_groups_and_second_codes_tell_the_kinds(fitted: SemanticIds) -> None:
    by_group = fitted.codes[:, 0].reshape(NUM_GROUPS, -1)
    assert (by_group == by_group[:, :1]).all()
    assert len(np.unique(by_group[:, 0])) == NUM_GROUPS
    by_kind = fitted.native_codes[:, 1].reshape(NUM_GROUPS * NUM_KINDS, ITEMS_EACH)
    assert (by_kind == by_kind[:, :1]).mean() > 0.9
    kinds_told = [len(np.unique(kinds)) for kinds in by_kind[:, 0].reshape(NUM_GROUPS, NUM_KINDS)]
    assert np.mean(kinds_told) > 0.8 * NUM_KINDS


def test_ids_are_unique_and_their_health_is_good(fitted: SemanticIds) -> None:
    assert fitted.codes.dtype == np.uint16
    assert len(np.unique(fitted.codes, axis=0)) == len(fitted.codes)
    assert fitted.health.collisions == 0
    assert fitted.health.levels[0].use == 1.0
    assert fitted.health.explained_variance > 0.85
    assert fitted.notes == ()


def test_what_is_loaded_is_what_was_saved(fitted: SemanticIds, tmp_path: Path) -> None:
    fitted.save(tmp_path / "ids")
    loaded = SemanticIds.load(tmp_path / "ids")
    np.testing.assert_array_equal(loaded.codes, fitted.codes)
    assert loaded.codebook_sizes == fitted.codebook_sizes == (6, 6, 6, 6)
    assert loaded.health == fitted.health
    assert loaded.quantizer.config == fitted.quantizer.config
    with torch.no_grad():
        latents = loaded.quantizer.encode(torch.from_numpy(planted()))
    native = loaded.quantizer.assign(latents).numpy()
    np.testing.assert_array_equal(native, fitted.native_codes)


def test_an_altered_file_is_not_loaded(fitted: SemanticIds, tmp_path: Path) -> None:
    fitted.save(tmp_path / "ids")
    weights = tmp_path / "ids" / "quantizer.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"quantizer\.safetensors was altered"):
        SemanticIds.load(tmp_path / "ids")


def test_the_same_seed_gives_the_same_ids_and_leaves_global_randomness_alone() -> None:
    vectors = planted()[::3]
    state = torch.random.get_rng_state()
    first, second = fit_semantic_ids(vectors, QUICK), fit_semantic_ids(vectors, QUICK)
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(first.codes, second.codes)
    other = fit_semantic_ids(vectors, RqVaeConfig(**{**vars(QUICK), "seed": 1}))
    assert (other.codes != first.codes).any()


@pytest.mark.parametrize("num_items", [1, 2, 5])
def test_a_catalogue_smaller_than_the_codebook_gets_fewer_codes_and_says_so(num_items: int) -> None:
    ids = fit_semantic_ids(planted()[:num_items], QUICK)
    assert len(np.unique(ids.codes, axis=0)) == num_items
    assert max(ids.codebook_sizes) <= num_items
    assert f"instead of 8: {num_items} items" in ids.notes[0]


def test_equal_and_constant_embeddings_still_get_ids_of_their_own() -> None:
    vectors = planted()[:60].copy()
    vectors[:, 3] = 0.1
    vectors[10:40] = vectors[10]
    ids = fit_semantic_ids(vectors, QUICK)
    assert len(np.unique(ids.codes, axis=0)) == 60
    same = fit_semantic_ids(np.full((40, 3), 0.1, dtype=np.float32), QUICK)
    assert len(np.unique(same.codes, axis=0)) == 40
    assert any("collapsed" in alarm for alarm in same.health.alarms)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_rows_that_are_not_finite_are_named(value: float) -> None:
    vectors = planted()
    vectors[[4, 7], 0] = value
    with pytest.raises(InputError, match=r"2 item\(s\).*rows \[4, 7\]"):
        fit_semantic_ids(vectors, QUICK)


def test_too_few_ids_are_refused_before_anything_is_trained() -> None:
    config = RqVaeConfig(num_levels=2, num_codes=16)
    with pytest.raises(InputError, match=r"256 ids, too few for 288 items; 17 codes"):
        fit_semantic_ids(planted(), config)


@pytest.mark.parametrize(
    ("num_items", "num_levels", "num_codes"),
    [(1, 4, 1), (2, 4, 2), (100, 4, 25), (100, 1, 100), (1024, 4, 256), (12_000, 4, 256)],
)
def test_codes_are_capped_at_four_items_a_code_unless_ids_would_run_out(
    num_items: int, num_levels: int, num_codes: int
) -> None:
    config = RqVaeConfig(num_levels=num_levels)
    assert supported_num_codes(num_items, config) == num_codes


@pytest.mark.parametrize(
    ("name", "value"), [("num_levels", 0), ("num_codes", 70_000), ("ema_decay", 1.0)]
)
def test_a_setting_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        RqVaeConfig(**{name: value})  # type: ignore[arg-type]


def test_ids_that_are_not_unique_cannot_be_made(fitted: SemanticIds) -> None:
    with pytest.raises(InputError, match="two items have the same codes"):
        SemanticIds(
            codes=np.zeros((2, 4), np.uint16),
            native_codes=np.zeros((2, 4), np.uint16),
            codebook_sizes=fitted.codebook_sizes,
            quantizer=fitted.quantizer,
            explained_variance=1.0,
        )


def test_the_program_fits_stops_when_nothing_changed_and_inspects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save_data(tmp_path / "run", planted()[::4])
    words = ["tokenize", *options(run), "--levels", "2", "--codes", "9", "--epochs", "1"]
    main(words)
    assert "0 after" in capsys.readouterr().out
    main(words)
    assert "up to date" in capsys.readouterr().out
    main([*words, "--seed", "1"])
    assert "wrote" in capsys.readouterr().out
    main(["tokenize", "inspect", str(run / "semantic_ids"), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["collisions"] == 0
    assert [level["size"] for level in printed["levels"]] == [9, 9]
    assert printed["alarms"] == list(SemanticIds.load(run / "semantic_ids").health.alarms)


def test_the_program_refuses_embeddings_of_other_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save_data(tmp_path / "run", planted()[:9])
    other = save_data(tmp_path / "other", planted()[:8])
    with pytest.raises(SystemExit, match="2"):
        main(["tokenize", *options(run), "--embeddings", str(other / "embeddings")])
    assert "was made from other data" in capsys.readouterr().err


def test_the_program_needs_to_know_where_from_and_where_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["tokenize", "--seed", "1"])
    assert "needs --data and --out" in capsys.readouterr().err


def save_data(run: Path, vectors: Floats) -> Path:
    """A run folder with data of len(vectors) items, and these embeddings."""
    ids = [f"i{item}" for item in range(len(vectors))]
    dataset = InteractionDataset(
        name="planted",
        catalogue=Catalogue(pl.DataFrame({"item_id": ids})),
        user_ids=["u"],
        histories=Histories.from_lists([[0, 1, 2]]),
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
