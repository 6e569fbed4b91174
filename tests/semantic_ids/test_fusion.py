"""Fused vectors weigh what they are told to, and guess what they do not know from the content."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from genrec.errors import InputError
from genrec.semantic_ids import (
    COLLABORATIVE,
    Fusion,
    Modality,
    ResidualKMeansConfig,
    RqVaeConfig,
    fit_semantic_ids,
)

Floats = npt.NDArray[np.float32]

NUM_ITEMS = 400


def drawn(seed: int, width: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(NUM_ITEMS, width)).astype(np.float32)


def fused(content: Floats, **modalities: Modality) -> Floats:
    fusion = Fusion.fit(content, modalities, seed=0)
    return np.asarray(fusion.apply_to(content, modalities)[np.arange(len(content))])


@pytest.mark.parametrize("weight", [0.25, 1.0, 4.0])
def test_each_part_has_the_variance_of_its_weight(weight: float) -> None:
    found = fused(5.0 * drawn(0, 6) + 1.0, image=Modality(vectors=drawn(1, 3), weight=weight))
    assert found.shape == (NUM_ITEMS, 9)
    assert found[:, :6].var(axis=0).sum() == pytest.approx(1.0, rel=1e-4)
    assert found[:, 6:].var(axis=0).sum() == pytest.approx(weight, rel=1e-4)


def test_the_scale_of_a_modality_does_not_matter_and_its_weight_does() -> None:
    content, image = drawn(0, 6), drawn(1, 3)
    one = fused(content, image=Modality(vectors=image, weight=1.0))
    large = fused(content, image=Modality(vectors=1000.0 * image, weight=1.0))
    np.testing.assert_allclose(one, large, atol=1e-5)


def test_rows_without_confidence_are_predicted_from_the_content_and_never_read() -> None:
    content = drawn(0, 6)
    image = (content @ drawn(2, 3)[:6]).astype(np.float32)
    confidence = np.ones(NUM_ITEMS, dtype=np.float32)
    confidence[:50] = 0.0
    hidden = image.copy()
    hidden[:50] = 1e6
    found = fused(content, image=Modality(vectors=hidden, weight=1.0, confidence=confidence))
    complete = fused(content, image=Modality(vectors=image, weight=1.0))
    # Half of a ridge's shrinkage is what the prediction may lack.
    correlation = np.corrcoef(found[:50, 6:].ravel(), complete[:50, 6:].ravel())[0, 1]
    assert correlation > 0.99
    assert np.abs(found[:50]).max() < 10


def test_half_confidence_mixes_what_is_given_with_what_is_predicted() -> None:
    content, image = drawn(0, 6), drawn(1, 3)
    fusion = Fusion.fit(content, {"image": Modality(vectors=image, weight=1.0)}, seed=0)
    parts = [
        fusion(torch.from_numpy(content), {"image": (torch.from_numpy(image), trust)})
        for trust in (torch.zeros(NUM_ITEMS), torch.full((NUM_ITEMS,), 0.5), torch.ones(NUM_ITEMS))
    ]
    torch.testing.assert_close(parts[1], (parts[0] + parts[2]) / 2)
    torch.testing.assert_close(parts[0], fusion(torch.from_numpy(content)))


def test_fused_codes_follow_the_heavier_modality() -> None:
    generator = np.random.default_rng(3)
    content = drawn(4, 8)
    group = generator.integers(0, 5, NUM_ITEMS)
    use = (3.0 * drawn(5, 4)[:5])[group] + 0.1 * drawn(6, 4)
    modalities = {COLLABORATIVE: Modality(vectors=use.astype(np.float32), weight=20.0)}
    config = ResidualKMeansConfig(num_levels=3, num_codes=10)
    codes = fit_semantic_ids(content, config, modalities=modalities).codes[:, 0]
    mixed = [len(np.unique(group[codes == code])) for code in np.unique(codes)]
    assert mixed == [1] * len(mixed)


def test_alignment_draws_codes_towards_collaborative_vectors_without_reading_them_later() -> None:
    generator = np.random.default_rng(3)
    content = drawn(4, 16)
    group = np.argmax(content[:, 3:8], axis=1)  # the content tells it, but says much else
    use = np.eye(5, dtype=np.float32)[group]
    shuffled = use[generator.permutation(NUM_ITEMS)]
    purity = {}
    for name, vectors in (("real", use), ("shuffled", shuffled)):
        modalities = {COLLABORATIVE: Modality(vectors=vectors, weight=1.0)}
        config = RqVaeConfig(
            num_levels=2, num_codes=20, latent_width=8, hidden_width=64, alignment_weight=300.0
        )
        ids = fit_semantic_ids(content, config, modalities=modalities)
        assert ids.fusion is None
        counts = np.zeros((20, 5))
        np.add.at(counts, (ids.native_codes[:, 0], group), 1)
        purity[name] = counts.max(axis=1).sum() / NUM_ITEMS
    assert purity["real"] > purity["shuffled"] + 0.1


def test_alignment_without_collaborative_vectors_is_refused() -> None:
    with pytest.raises(InputError, match="alignment needs collaborative vectors"):
        fit_semantic_ids(drawn(0, 4), RqVaeConfig(num_codes=8, alignment_weight=1.0))


def test_a_modality_of_other_items_is_refused() -> None:
    given = {"image": Modality(vectors=drawn(1, 3)[:7], weight=1.0)}
    with pytest.raises(InputError, match="image has 7 rows, the content 400"):
        fit_semantic_ids(drawn(0, 4), RqVaeConfig(num_codes=8), modalities=given)


def test_a_modality_nobody_can_trust_is_refused() -> None:
    nothing = np.zeros(NUM_ITEMS, dtype=np.float32)
    with pytest.raises(InputError, match="image: no item has a vector that can be trusted"):
        fused(drawn(0, 4), image=Modality(vectors=drawn(1, 3), weight=1.0, confidence=nothing))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": 0.0}, "above 0, got 0.0"),
        ({"vectors": np.zeros((4, 2))}, "must be float32"),
        ({"confidence": np.ones(3, dtype=np.float32)}, "one value an item"),
    ],
)
def test_a_modality_that_makes_no_sense_is_refused(
    changes: dict[str, object], message: str
) -> None:
    sound: dict[str, object] = {"vectors": drawn(0, 2), "weight": 1.0}
    with pytest.raises(InputError, match=message):
        Modality(**{**sound, **changes})  # type: ignore[arg-type]
