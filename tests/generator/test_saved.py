"""A saved generator answers as before, from an index that is mapped and not sorted anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from genrec.decoding import PrefixIndex
from genrec.errors import ArtifactError
from genrec.generator import (
    GenerativeRecommender,
    GeneratorSource,
    Mode,
    load_generator,
    save_generator,
)
from genrec.interactions import Histories, InteractionDataset, RequestBatch
from tests.generator.facts import RESULT, facts_of


@pytest.fixture
def saved(model: GenerativeRecommender, planted_data: InteractionDataset, tmp_path: Path) -> Path:
    """The folder of a saved generator."""
    path = tmp_path / "generator"
    save_generator(path, model, RESULT, facts=facts_of(planted_data), config={}, seed=0, parents={})
    return path


def test_a_loaded_generator_answers_as_the_saved_one(
    model: GenerativeRecommender, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = RequestBatch.from_histories(Histories.from_lists([[1, 2, 3], []]))
    expected = GeneratorSource(model, Mode.GENERATIVE).recommend(requests, 10)
    monkeypatch.setattr(PrefixIndex, "__init__", lambda *_: pytest.fail("sorted anew"))
    found = GeneratorSource(load_generator(saved), Mode.GENERATIVE).recommend(requests, 10)
    assert torch.equal(found.item_index, expected.item_index)
    assert torch.equal(found.score, expected.score)


@pytest.mark.parametrize("name", ["index/leaf_item.npy", "README.md"])
def test_an_altered_index_or_card_is_refused_before_it_is_read(saved: Path, name: str) -> None:
    file = saved / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=re.escape(name)):
        load_generator(saved)


def test_an_index_of_other_codes_is_refused(model: GenerativeRecommender) -> None:
    with pytest.raises(ArtifactError, match="saved index has 59 items with 3 codes"):
        model.use_index(PrefixIndex(model.codes[:59].numpy()))
