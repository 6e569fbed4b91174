"""Fitting recovers planted categories, gives every item its own id, and saves what it made."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from genrec.errors import ArtifactError, InputError
from genrec.semantic_ids import (
    CodebookUpdate,
    ProductConfig,
    ResidualKMeansConfig,
    RqVaeConfig,
    SemanticIds,
    TokenizerConfig,
    Whitening,
    fit_semantic_ids,
    supported_num_codes,
)

Floats = npt.NDArray[np.float32]

NUM_GROUPS, NUM_KINDS, ITEMS_EACH, WIDTH = 6, 6, 8, 24
QUICK = RqVaeConfig(num_levels=3, num_codes=8, latent_width=8, hidden_width=32, num_epochs=1)
rqvae = partial(RqVaeConfig, num_levels=4, num_codes=6, latent_width=16, hidden_width=64)
rkmeans = partial(ResidualKMeansConfig, num_levels=4, num_codes=6)
CONFIGS: dict[str, TokenizerConfig] = {
    "rqvae": rqvae(),
    "rqvae standardised": rqvae(whitening=Whitening.STANDARDISE),
    "rqvae gradient": rqvae(codebook_update=CodebookUpdate.GRADIENT),
    "rqvae rotation": rqvae(rotation_trick=True),
    "rqvae sinkhorn": rqvae(sinkhorn_last_level=True),
    "rkmeans": rkmeans(),
    "rkmeans balanced": rkmeans(balanced=True),
    "rkmeans zca": rkmeans(whitening=Whitening.ZCA),
}


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
    return fit_semantic_ids(planted(), CONFIGS["rqvae"])


@pytest.mark.parametrize("name", CONFIGS)
def test_first_codes_are_the_groups_and_ids_are_unique_and_sound(name: str) -> None:
    ids = fit_semantic_ids(planted(), CONFIGS[name])
    by_group = ids.native_codes[:, 0].reshape(NUM_GROUPS, -1)
    if name != "rkmeans zca":  # equal variance for every direction hides which of them are groups
        kept = [np.bincount(codes).max() / len(codes) for codes in by_group]
        # k-means may end with one group cut in two and two others in one.
        assert np.mean(kept) > 0.85
        assert len({int(np.bincount(codes).argmax()) for codes in by_group}) >= NUM_GROUPS - 1
        assert ids.health.explained_variance > 0.8
    assert ids.codes.dtype == np.uint16
    assert len(np.unique(ids.codes, axis=0)) == len(ids.codes)
    assert ids.health.collisions == 0
    assert ids.health.levels[0].use == 1.0
    assert ids.notes == ()


def test_second_codes_tell_the_kinds(fitted: SemanticIds) -> None:
    by_kind = fitted.native_codes[:, 1].reshape(NUM_GROUPS * NUM_KINDS, ITEMS_EACH)
    assert (by_kind == by_kind[:, :1]).mean() > 0.9
    kinds_told = [len(np.unique(kinds)) for kinds in by_kind[:, 0].reshape(NUM_GROUPS, NUM_KINDS)]
    assert np.mean(kinds_told) > 0.8 * NUM_KINDS


def test_the_parts_of_a_product_quantiser_describe_parts_of_the_vector() -> None:
    ids = fit_semantic_ids(planted(), ProductConfig(num_levels=3, num_codes=8))
    codebooks = ids.quantizer.codebooks  # [L, K, W]
    assert torch.equal((codebooks != 0).any(dim=1).sum(dim=0), torch.ones(WIDTH, dtype=torch.int64))
    assert ids.health.explained_variance > 0.7
    assert len(np.unique(ids.codes, axis=0)) == len(ids.codes)


def test_balanced_codes_have_nearly_equal_shares_where_plain_ones_have_not() -> None:
    generator = np.random.default_rng(1)
    dense, sparse = generator.normal(size=(900, 4)), 8.0 + generator.normal(size=(100, 4))
    vectors = np.concatenate([dense, sparse]).astype(np.float32)
    shares = {}
    for balanced in (False, True):
        config = ResidualKMeansConfig(num_levels=2, num_codes=50, balanced=balanced)
        ids = fit_semantic_ids(vectors, config)
        shares[balanced] = np.bincount(ids.native_codes[:, 0], minlength=50)
    assert shares[True].max() <= 1.5 * 20
    assert shares[True].min() >= 0.5 * 20
    assert shares[False].std() > 2 * shares[True].std()


def test_what_is_loaded_is_what_was_saved(fitted: SemanticIds, tmp_path: Path) -> None:
    fitted.save(tmp_path / "ids")
    loaded = SemanticIds.load(tmp_path / "ids")
    np.testing.assert_array_equal(loaded.codes, fitted.codes)
    assert loaded.codebook_sizes == fitted.codebook_sizes == (6, 6, 6, 6)
    assert loaded.health == fitted.health
    assert loaded.config == fitted.config
    encoded = loaded.encode_content(torch.from_numpy(planted()))
    np.testing.assert_array_equal(loaded.quantizer.assign(encoded).numpy(), fitted.native_codes)


@pytest.mark.parametrize("name", ["rqvae sinkhorn", "rkmeans balanced", "rkmeans zca"])
def test_every_method_assigns_the_same_codes_after_loading(name: str, tmp_path: Path) -> None:
    ids = fit_semantic_ids(planted(), CONFIGS[name])
    ids.save(tmp_path / "ids")
    loaded = SemanticIds.load(tmp_path / "ids")
    np.testing.assert_array_equal(loaded.quantizer.assign_array(planted()), ids.native_codes)
    assert loaded.config == ids.config


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
    ("config", "name", "value"),
    [
        (RqVaeConfig, "num_levels", 0),
        (RqVaeConfig, "num_codes", 70_000),
        (RqVaeConfig, "ema_decay", 1.0),
        (RqVaeConfig, "reconstruction_weight", 0.0),
        (RqVaeConfig, "alignment_weight", -1.0),
        (ResidualKMeansConfig, "num_codes", 0),
        (ResidualKMeansConfig, "components", 0),
        (ProductConfig, "components", 0),
    ],
)
def test_a_setting_out_of_range_is_named(
    config: type[TokenizerConfig], name: str, value: float
) -> None:
    with pytest.raises(InputError, match=name):
        config(**{name: value})  # type: ignore[arg-type]


def test_ids_that_are_not_unique_cannot_be_made(fitted: SemanticIds) -> None:
    with pytest.raises(InputError, match="two items have the same codes"):
        SemanticIds(
            codes=np.zeros((2, 4), np.uint16),
            native_codes=np.zeros((2, 4), np.uint16),
            config=fitted.config,
            quantizer=fitted.quantizer,
            explained_variance=1.0,
        )
