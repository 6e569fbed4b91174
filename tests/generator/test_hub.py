"""The saved folder is what `transformers` wants, and a hub gets the very same files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from genrec.errors import InputError
from genrec.generator import (
    GenerativeRecommender,
    GeneratorSource,
    Mode,
    load_generator,
    save_generator,
)
from genrec.interactions import Histories, InteractionDataset, RequestBatch
from tests.generator.facts import RESULT, facts_of
from tests.generator.hub_stub import HubStub, running_hub

ROOT = Path(__file__).parents[2]
REPOSITORY = "somebody/planted-chains"
PUBLISHED = ("README.md", "config.json", "model.safetensors")
HISTORIES = [[1, 2, 3], [], [40, 7]]
SCRIPT = """
import json, sys
from genrec.generator import GenerativeRecommender, GeneratorSource, Mode
from genrec.interactions import Histories, RequestBatch

folder, repository, histories = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
GenerativeRecommender.from_pretrained(folder).push_to_hub(repository)
model = GenerativeRecommender.from_pretrained(repository)
requests = RequestBatch.from_histories(Histories.from_lists(histories))
answer = GeneratorSource(model, Mode.COMBINED).recommend(requests, 10)
print(json.dumps({"items": answer.item_index.tolist(), "scores": answer.score.tolist(),
                  "card": model.card}))
"""


@pytest.fixture
def saved(model: GenerativeRecommender, planted_data: InteractionDataset, tmp_path: Path) -> Path:
    """The folder of a saved generator."""
    path = tmp_path / "generator"
    save_generator(path, model, RESULT, facts=facts_of(planted_data), config={}, seed=0, parents={})
    return path


@pytest.fixture
def hub() -> Iterator[HubStub]:
    with running_hub() as running:
        yield running


@pytest.mark.parametrize("mode", Mode)
def test_from_pretrained_answers_as_load_generator_and_asks_nobody(
    saved: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = RequestBatch.from_histories(Histories.from_lists(HISTORIES)).without_seen()
    expected = GeneratorSource(load_generator(saved), mode).recommend(requests, 10)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
    model = GenerativeRecommender.from_pretrained(saved)
    assert not model.training
    found = GeneratorSource(model, mode).recommend(requests, 10)
    assert torch.equal(found.item_index, expected.item_index)
    assert torch.equal(found.score, expected.score)


def test_a_model_that_is_loaded_and_saved_again_is_the_same_byte_for_byte(
    saved: Path, tmp_path: Path
) -> None:
    GenerativeRecommender.from_pretrained(saved).save_pretrained(tmp_path / "again")
    assert sorted(file.name for file in (tmp_path / "again").iterdir()) == sorted(PUBLISHED)
    for name in PUBLISHED:
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_a_hub_holds_the_very_files_and_gives_back_the_same_model(
    saved: Path, hub: HubStub, tmp_path: Path
) -> None:
    environment = os.environ | {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "cache"),
        "HF_TOKEN": "hf_of_the_stand_in",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
    }
    words = [sys.executable, "-c", SCRIPT, str(saved), REPOSITORY, json.dumps(HISTORIES)]
    finished = subprocess.run(
        words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, f"{finished.stderr}\nnot understood: {hub.unknown}"
    assert hub.commits == [sorted(PUBLISHED)]
    assert hub.files == {name: (saved / name).read_bytes() for name in PUBLISHED}
    assert len(hub.large) == 1  # the weights
    there = json.loads(finished.stdout.splitlines()[-1])
    assert there["card"] == (saved / "README.md").read_text(encoding="utf-8")
    requests = RequestBatch.from_histories(Histories.from_lists(HISTORIES))
    here = GeneratorSource(load_generator(saved), Mode.COMBINED).recommend(requests, 10)
    assert there["items"] == here.item_index.tolist()
    np.testing.assert_allclose(there["scores"], here.score.numpy(), rtol=1e-5)


def test_tags_beside_a_card_are_refused(saved: Path) -> None:
    model = GenerativeRecommender.from_pretrained(saved)
    with pytest.raises(InputError, match=r"write them into model\.card"):
        model.push_to_hub(REPOSITORY, tags=["mine"])


def test_a_model_without_a_card_is_saved_without_one(
    model: GenerativeRecommender, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "README.md").exists()
    assert GenerativeRecommender.from_pretrained(tmp_path).card is None
