"""Few items or very many, in memory or in a file: every tokenizer takes them."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from genrec.embeddings import ItemEmbeddings
from genrec.errors import ArtifactError, InputError, TrainingError
from genrec.semantic_ids import (
    COLLABORATIVE,
    CodebookUpdate,
    Modality,
    Preparation,
    ProductConfig,
    ResidualKMeansConfig,
    RqVae,
    RqVaeConfig,
    SemanticIds,
    TokenizerConfig,
    Whitening,
    fit_semantic_ids,
)
from genrec.semantic_ids.kmeans import _Costs, _equal_shares, balanced_codebook
from genrec.semantic_ids.rqvae_fitting import Alignment, fit_rqvae
from genrec.semantic_ids.vectors import ITEMS_AT_ONCE, LazyVectors, Rows, blocks_of

Floats = npt.NDArray[np.float32]

RQVAE = RqVaeConfig(num_levels=3, num_codes=8, hidden_width=16, latent_width=8, num_epochs=2)
GRADIENT_RQVAE = replace(RQVAE, codebook_update=CodebookUpdate.GRADIENT, sinkhorn_last_level=True)
RKMEANS = ResidualKMeansConfig(num_levels=3, num_codes=8)
each_method = pytest.mark.parametrize(
    "config",
    [
        pytest.param(RQVAE, id="rqvae"),
        pytest.param(GRADIENT_RQVAE, id="rqvae-gradient", marks=pytest.mark.slow),
        pytest.param(RKMEANS, id="rkmeans"),
        pytest.param(replace(RKMEANS, balanced=True), id="rkmeans-balanced"),
        pytest.param(ProductConfig(num_levels=3, num_codes=8), id="opq"),
    ],
)


def vectors_of(num_items: int, width: int = 6, seed: int = 0) -> Floats:
    """Items around a few centres."""
    generator = np.random.default_rng(seed)
    centres = 3.0 * generator.normal(size=(12, width))
    noise = generator.normal(size=(num_items, width))
    return (centres[generator.integers(0, 12, num_items)] + noise).astype(np.float32)


def mapped(folder: Path, vectors: Floats) -> Floats:
    """The same vectors, in a file that nobody may write."""
    file = folder / "vectors.npy"
    np.save(file, vectors)
    file.chmod(0o444)
    array: Floats = np.load(file, mmap_mode="r")
    return array


def assert_sound(ids: SemanticIds, num_items: int) -> None:
    assert len(np.unique(ids.codes, axis=0)) == len(ids.codes) == num_items
    assert np.isfinite(ids.explained_variance)
    weights = ids.quantizer.state_dict()
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())


EDGES = {
    "one item": vectors_of(1),
    "two items": vectors_of(2),
    "two equal items": np.ones((2, 3), dtype=np.float32),
    "fewer items than codes": vectors_of(7),
    "all equal": np.full((60, 5), 0.3, dtype=np.float32),
    "all zero": np.zeros((60, 5), dtype=np.float32),
    "a tenth twice": np.concatenate([vectors_of(90), vectors_of(90)[:10]]),
    "constant dimensions": np.pad(vectors_of(80), ((0, 0), (0, 3)), constant_values=7.0),
    "one dimension": vectors_of(80, width=1),
    "huge and tiny": vectors_of(80) * np.float32(10.0) ** np.arange(-12, 18, 5, dtype=np.float32),
}


@each_method
@pytest.mark.parametrize("vectors", EDGES.values(), ids=EDGES)
def test_every_catalogue_gets_unique_ids(config: TokenizerConfig, vectors: Floats) -> None:
    assert_sound(fit_semantic_ids(vectors, config), len(vectors))


@pytest.mark.parametrize("whitening", Whitening)
@pytest.mark.parametrize("method", [ResidualKMeansConfig, ProductConfig])
@pytest.mark.parametrize("case", EDGES)
def test_every_preparation_takes_every_catalogue(
    whitening: Whitening, method: type[TokenizerConfig], case: str
) -> None:
    config = method(num_levels=2, num_codes=16, whitening=whitening, components=3)
    assert_sound(fit_semantic_ids(EDGES[case], config), len(EDGES[case]))


@pytest.mark.parametrize("whitening", Whitening)
def test_an_rqvae_takes_every_preparation(whitening: Whitening) -> None:
    config = replace(RQVAE, whitening=whitening, components=3)
    assert_sound(fit_semantic_ids(EDGES["constant dimensions"], config), 80)


@pytest.mark.parametrize("whitening", Whitening)
@pytest.mark.parametrize("case", ["one item", "all equal", "constant dimensions", "a tenth twice"])
def test_what_is_prepared_can_be_brought_back(whitening: Whitening, case: str) -> None:
    vectors = EDGES[case]
    preparation = Preparation.fit(vectors, whitening, len(vectors[0]), seed=0)
    back = preparation.back(preparation(torch.from_numpy(vectors)))
    np.testing.assert_allclose(back.numpy(), vectors, atol=1e-4)


@each_method
def test_vectors_from_a_file_give_the_ids_of_vectors_in_memory(
    config: TokenizerConfig, tmp_path: Path
) -> None:
    content, learnt = vectors_of(300), vectors_of(300, width=4, seed=1)
    confidence = np.linspace(0, 1, 300, dtype=np.float32)
    modality = Modality(vectors=learnt, weight=0.5, confidence=confidence)
    (tmp_path / "learnt").mkdir()
    stored = Modality(
        vectors=mapped(tmp_path / "learnt", learnt), weight=0.5, confidence=confidence
    )
    in_memory = fit_semantic_ids(content, config, modalities={COLLABORATIVE: modality})
    from_file = fit_semantic_ids(
        mapped(tmp_path, content), config, modalities={COLLABORATIVE: stored}
    )
    np.testing.assert_array_equal(from_file.codes, in_memory.codes)
    np.testing.assert_array_equal(from_file.native_codes, in_memory.native_codes)
    assert from_file.explained_variance == in_memory.explained_variance


def test_saved_embeddings_are_read_from_their_file_and_cannot_be_written(tmp_path: Path) -> None:
    ItemEmbeddings(vectors=vectors_of(50), model="m").save(tmp_path / "embeddings")
    vectors = ItemEmbeddings.load(tmp_path / "embeddings").vectors
    assert isinstance(vectors, np.memmap)
    assert not vectors.flags.writeable
    assert_sound(fit_semantic_ids(vectors, RKMEANS), 50)


@pytest.mark.parametrize("more", [1 - ITEMS_AT_ONCE, -1, 0, 1, ITEMS_AT_ONCE, ITEMS_AT_ONCE + 1])
def test_blocks_cover_every_item_once(more: int, tmp_path: Path) -> None:
    num_items = ITEMS_AT_ONCE + more
    blocks = list(blocks_of(num_items))
    assert len(blocks) == math.ceil(num_items / ITEMS_AT_ONCE)
    rows = np.concatenate([np.arange(num_items)[block] for block in blocks])
    np.testing.assert_array_equal(rows, np.arange(num_items))
    vectors = mapped(tmp_path, vectors_of(num_items, width=2))
    ids = fit_semantic_ids(vectors, ResidualKMeansConfig(num_levels=3, num_codes=40))
    assert_sound(ids, num_items)
    np.testing.assert_array_equal(ids.quantizer.assign_array(vectors), ids.native_codes)


def test_lazy_vectors_are_made_for_the_rows_that_are_read() -> None:
    vectors = vectors_of(20)
    doubled = LazyVectors((20, 6), lambda rows: 2 * vectors[rows])
    assert (len(doubled), doubled.shape) == (20, (20, 6))
    np.testing.assert_array_equal(doubled[slice(3, 5)], 2 * vectors[3:5])
    np.testing.assert_array_equal(doubled[np.array([7, 1])], 2 * vectors[[7, 1]])


@pytest.mark.parametrize("row", [0, ITEMS_AT_ONCE - 1, ITEMS_AT_ONCE])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_named_in_whichever_block_it_is(row: int, value: float) -> None:
    vectors = np.zeros((ITEMS_AT_ONCE + 1, 2), dtype=np.float32)
    vectors[row, 1] = value
    vectors[5] = np.inf, -np.inf  # their sum is NaN, which NumPy warns of
    with pytest.raises(InputError, match=rf"2 item\(s\).*\b{row}\b"):
        fit_semantic_ids(vectors, RKMEANS)


def test_finite_vectors_whose_sum_is_not_are_taken() -> None:
    ItemEmbeddings(vectors=np.full((9, 2), 3e38, dtype=np.float32), model="m")


def test_codes_that_are_balanced_have_about_equal_shares() -> None:
    points = vectors_of(512, width=2)
    codes, surcharge = balanced_codebook(points, points[:16] + np.float32(0.01), seed=0)
    costs = ((points[:, None] - codes[None]) ** 2).sum(axis=2) + surcharge
    counts = np.bincount(costs.argmin(axis=1), minlength=16)
    assert counts.min() > 512 / 16 / 2
    assert counts.max() < 2 * 512 / 16


@pytest.mark.parametrize("rows", [1, 100, 299, 300])
def test_points_are_balanced_block_by_block_as_all_at_once(rows: int) -> None:
    points = torch.from_numpy(vectors_of(300, width=2))
    codes = points[:8] + 0.01
    whole = _Costs([points], codes)
    parts = _Costs(points.split(rows), codes)
    assert (whole.num_points, len(list(whole))) == (300, 1)
    assert (parts.num_points, len(list(parts))) == (300, math.ceil(300 / rows))
    torch.testing.assert_close(parts.mean(), whole.mean())
    start = torch.zeros(8)
    torch.testing.assert_close(
        _equal_shares(parts, start, 0.02), _equal_shares(whole, start, 0.02), rtol=1e-3, atol=1e-3
    )


class KilledError(Exception):
    """Stands for a kill."""


def readable(vectors: Floats, times: int) -> LazyVectors:
    """Vectors that can be read so many times; then everything ends."""
    left = iter(range(times))

    def make(rows: Rows) -> Floats:
        if next(left, None) is None:
            raise KilledError
        return vectors[rows]

    return LazyVectors((len(vectors), vectors.shape[1]), make)


READS = 304  # of a whole fit of 300 steps: for the preparation, its identity, k-means and the rest
STEADY = replace(RQVAE, num_levels=2, num_epochs=60, batch_size=50)
ALIGNED = replace(STEADY, alignment_weight=1.0)


def fit_250(
    config: RqVaeConfig, source: LazyVectors | None, work_dir: Path | None, seconds: float = 0.0
) -> RqVae:
    """An RQ-VAE of 250 items in 60 epochs of 5 batches; k-means takes place after 9 of them."""
    return fit_rqvae(
        source or vectors_of(250),
        config,
        num_codes=8,
        alignment=Alignment(vectors=vectors_of(250, seed=1), confidence=np.ones(250, np.float32)),
        work_dir=work_dir,
        checkpoint_seconds=seconds,
    )


@cache
def whole_fit(config: RqVaeConfig) -> RqVae:
    return fit_250(config, None, None)


@pytest.mark.parametrize(
    ("config", "reads"),
    [
        (STEADY, 49),
        *(
            pytest.param(config, reads, marks=pytest.mark.slow)
            for config, reads in [(STEADY, 23), (STEADY, 46), (STEADY, 47), (STEADY, 48)]
        ),
        pytest.param(ALIGNED, 60, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_fit_goes_on_to_the_same_model(
    config: RqVaeConfig, reads: int, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        fit_250(config, readable(vectors_of(250), reads), tmp_path)
    # Too few reads for one that begins anew.
    continued = fit_250(
        config, readable(vectors_of(250), READS - reads + 5), tmp_path, seconds=1000.0
    )
    for name, tensor in whole_fit(config).state_dict().items():
        assert torch.equal(tensor, continued.state_dict()[name]), name


def test_a_finished_fit_is_not_trained_again(tmp_path: Path) -> None:
    first = fit_250(STEADY, None, tmp_path, seconds=0.2)
    again = fit_250(STEADY, readable(vectors_of(250), 3), tmp_path, seconds=0.2)
    assert torch.equal(again.codebooks, first.codebooks)


def test_a_checkpoint_of_another_fit_is_not_continued(tmp_path: Path) -> None:
    vectors, others = vectors_of(60), vectors_of(60, seed=1)
    fit_rqvae(others, RQVAE, num_codes=8, work_dir=tmp_path, checkpoint_seconds=0.2)
    fresh = fit_rqvae(vectors, RQVAE, num_codes=8)
    found = fit_rqvae(vectors, RQVAE, num_codes=8, work_dir=tmp_path, checkpoint_seconds=0.2)
    assert torch.equal(found.codebooks, fresh.codebooks)


def test_an_altered_checkpoint_is_refused(tmp_path: Path) -> None:
    vectors = vectors_of(60)
    fit_rqvae(vectors, RQVAE, num_codes=8, work_dir=tmp_path, checkpoint_seconds=0.2)
    file = tmp_path / "checkpoint" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.safetensors was altered"):
        fit_rqvae(vectors, RQVAE, num_codes=8, work_dir=tmp_path, checkpoint_seconds=0.2)


def test_a_fit_of_seconds_keeps_no_checkpoint(tmp_path: Path) -> None:
    fit_semantic_ids(vectors_of(60), RQVAE, work_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_numbers_are_an_error() -> None:
    config = RqVaeConfig(num_levels=2, num_codes=8, hidden_width=16, learning_rate=1e30)
    with pytest.raises(TrainingError, match="lower learning_rate"):
        fit_rqvae(vectors_of(60), config, num_codes=8)
