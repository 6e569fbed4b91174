"""An inspection measures what it can, says what is missing, and tells broken ids from sound."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch

from genrec.embeddings import CoOccurrenceConfig, collaborative_vectors
from genrec.errors import InputError
from genrec.interactions import Catalogue, Histories
from genrec.semantic_ids import (
    Modality,
    ResidualKMeansConfig,
    RqVaeConfig,
    SemanticIds,
    described,
    fit_semantic_ids,
)
from genrec.semantic_ids.categories import Categories, categories_of
from genrec.semantic_ids.described import find_described
from genrec.semantic_ids.inspection import Inspection, inspect_ids
from tests.semantic_ids.planted import (
    NUM_ITEMS,
    WIDTH,
    histories_within_kinds,
    ids_of,
    planted_catalogue,
    planted_codebooks,
    planted_codes,
    planted_ids,
    planted_vectors,
)

Floats = npt.NDArray[np.float32]

SOUND = RqVaeConfig(num_levels=3, num_codes=32, hidden_width=64)
KMEANS = ResidualKMeansConfig(num_levels=3, num_codes=8)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Small products are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def text_like() -> Floats:
    """float32 [600, 64]: directions whose variances fall slowly, as those of text embeddings do."""
    generator = np.random.default_rng(0)
    spread = np.arange(1, 65) ** -0.5
    return (generator.normal(size=(600, 64)) * spread).astype(np.float32)


def reduced_to_the_mean(vectors: Floats) -> dict[str, Any]:
    """Settings under which the pull towards the codes outweighs the reconstruction."""
    return {"reconstruction_weight": 1.0 / vectors.shape[1], "learning_rate": 1e-2}


def categories() -> Categories:
    found = categories_of(planted_catalogue())
    assert found is not None
    return found


def inspected(ids: SemanticIds) -> Inspection:
    return inspect_ids(
        ids,
        catalogue=planted_catalogue(),
        categories=categories(),
        content=planted_vectors(),
        train=histories_within_kinds(),
    )


def test_sound_ids_are_measured_in_full_and_raise_no_alarm() -> None:
    found = inspected(planted_ids())
    assert found.alarms == found.not_measured == found.notes == ()
    assert found.health.latents is None
    assert found.vectors is not None
    assert found.vectors.reproduced == 1.0
    assert found.errors is not None
    assert found.neighbours is not None
    assert found.categories is not None
    assert found.co_occurrence is not None
    assert found.examples is not None
    assert (len(found.prefixes), len(found.errors), len(found.examples)) == (3, 3, 10)


def test_json_is_valid_and_keeps_the_fields_of_the_health_on_top() -> None:
    found = inspected(planted_ids())
    tree = found.to_json()
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert tree["native_collision_rate"] == tree["collisions"] == 0
    assert [set(level) for level in tree["levels"]] == [
        {"size", "used", "use", "dead", "perplexity"}
    ] * 3
    assert tree["levels"][1]["use"] == 5 / 8
    assert set(tree) > {"prefixes", "errors", "neighbours", "categories", "examples", "alarms"}


def test_without_data_and_vectors_the_codes_alone_are_measured_and_the_rest_is_named() -> None:
    found = inspect_ids(planted_ids())
    assert found.health == planted_ids().health
    assert len(found.prefixes) == 3
    measured = (
        found.vectors, found.errors, found.neighbours,
        found.categories, found.co_occurrence, found.examples,
    )  # fmt: skip
    assert measured == (None,) * 6
    told = " ".join(found.not_measured)
    assert "--embeddings" in told
    assert told.count("--data") == 2


def test_a_catalogue_without_categories_names_the_columns_there_are() -> None:
    catalogue = Catalogue(planted_catalogue().table.drop("categories"))
    found = inspect_ids(planted_ids(), catalogue=catalogue)
    assert found.examples is not None
    assert "--category" in found.not_measured[1]
    assert "it has year" in found.not_measured[1]


def test_vectors_of_other_items_or_numbers_are_not_believed() -> None:
    shuffled = np.random.default_rng(0).permutation(planted_vectors())
    found = inspect_ids(planted_ids(), content=shuffled)
    assert found.vectors is None
    assert "do not lead to these codes" in found.not_measured[0]
    with pytest.raises(InputError, match=r"content has 7 items, the Semantic IDs 160"):
        inspect_ids(planted_ids(), content=shuffled[:7])


def test_codes_that_mean_nothing_raise_an_alarm_for_each_thing_they_do_not_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes = np.random.default_rng(1).permutation(planted_codes())
    vectors = np.random.default_rng(2).normal(size=(NUM_ITEMS, WIDTH)).astype(np.float32)
    monkeypatch.setattr(described, "REPRODUCED", 0.0)
    table = planted_catalogue().table.with_columns(pl.col("categories").list.head(2))
    found = inspect_ids(
        ids_of(codes, planted_codebooks()),
        categories=categories_of(Catalogue(table)),
        content=vectors,
        train=Histories.from_lists(
            [row.tolist() for row in np.random.default_rng(3).integers(NUM_ITEMS, size=(300, 6))]
        ),
    )
    told = " | ".join(found.alarms)
    assert "principal components" in told
    assert "nearest neighbours share its first code" in told
    assert "codes do not follow the categories" in told
    assert "codes do not follow what people do" in told
    assert len(found.alarms) == 4


def test_a_collapsed_level_is_named_with_its_codes() -> None:
    ids = planted_ids()
    native = ids.native_codes.copy()
    native[:, 1] = 0
    collapsed = replace(ids, native_codes=native)
    (first, *_) = inspect_ids(collapsed).alarms
    assert first.startswith("level 2 uses 1 of 8 codes: collapsed; try")


def test_product_quantisation_is_noted_to_have_no_order() -> None:
    ids = ids_of(planted_codes(), planted_codebooks(), parts=True)
    assert "parts without an order" in inspect_ids(ids).notes[0]


@pytest.mark.parametrize("broken", [False, True])
def test_a_loss_reduced_to_the_mean_with_a_high_rate_is_flagged_and_the_default_is_not(
    broken: bool,
) -> None:
    vectors = text_like()
    config = replace(SOUND, **reduced_to_the_mean(vectors)) if broken else SOUND
    found = inspect_ids(fit_semantic_ids(vectors, config), content=vectors)
    assert [level.dead for level in found.health.levels] == [0, 0, 0]
    assert any("collapsed" in alarm for alarm in found.alarms) == broken
    assert bool(found.alarms) == broken


def test_without_moved_codes_the_same_loss_leaves_most_codes_dead() -> None:
    vectors = text_like()
    config = replace(SOUND, **reduced_to_the_mean(vectors), dead_code_share=0.0)
    found = inspect_ids(fit_semantic_ids(vectors, config))
    assert any("codes: collapsed" in alarm for alarm in found.alarms)


def collaborative() -> Modality:
    learnt = collaborative_vectors(walks(), NUM_ITEMS, CoOccurrenceConfig(seed=KMEANS.seed))
    return Modality(vectors=learnt.vectors, weight=1.0, confidence=learnt.confidence)


def walks() -> Histories:
    generator = np.random.default_rng(4)
    return Histories.from_lists(
        [((np.arange(8) + generator.integers(NUM_ITEMS)) % NUM_ITEMS).tolist() for _ in range(90)]
    )


def test_fused_ids_are_measured_on_collaborative_vectors_that_are_learnt_again() -> None:
    content = planted_vectors()
    ids = fit_semantic_ids(content, KMEANS, modalities={"collaborative": collaborative()})
    found = find_described(ids, content, walks())
    assert found is not None
    assert "fused with collaborative ones" in found.what
    assert found.reproduced == 1.0
    assert found.vectors.shape == (NUM_ITEMS, WIDTH + 64)


def test_fused_ids_whose_other_part_cannot_be_had_are_measured_on_its_prediction() -> None:
    content = planted_vectors()
    ids = fit_semantic_ids(content, KMEANS, modalities={"collaborative": collaborative()})
    for train in (None, histories_within_kinds(), Histories.from_lists([[0]])):
        found = find_described(ids, content, train)
        assert found is not None
        assert "collaborative predicted from them" in found.what
        assert found.reproduced < 0.95
    assert find_described(ids, None, walks()) is None


def test_ids_of_collaborative_vectors_alone_need_no_content() -> None:
    ids = fit_semantic_ids(collaborative().vectors, KMEANS)
    found = find_described(ids, planted_vectors(), walks())
    assert found is not None
    assert found.what == "collaborative vectors"
    assert find_described(ids, planted_vectors(), None) is None
