"""The generator as an artefact: what `save_pretrained` writes, card, prefix index, a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from genrec import artifacts
from genrec.artifacts import Artifact
from genrec.checked import make_record, read_json
from genrec.decoding import PrefixIndex
from genrec.generator.admitted import require_catalogue, require_generator, require_index
from genrec.generator.card import TrainingFacts, render_card
from genrec.generator.hub import CARD_NAME
from genrec.generator.model import GenerativeRecommender
from genrec.training import FitResult

__all__ = ["GENERATOR_KIND", "load_fit_result", "load_generator", "save_generator"]

GENERATOR_KIND = "generator"
INDEX_FOLDER = "index"


def save_generator(
    path: Path,
    model: GenerativeRecommender,
    result: FitResult,
    *,
    facts: TrainingFacts,
    config: Mapping[str, Any],
    seed: int,
    parents: Mapping[str, Artifact],
) -> None:
    """Writes weights, configuration, card, prefix index and the training's curve as one artefact.

    Args:
        path: where it shall stand.
        model: what is saved; it takes the card that is written.
        result: how its training went.
        facts: what the card says beside.
        config: what `artifacts.is_current` compares.
        seed: of the training.
        parents: the artefacts that the model was made from.
    """
    with artifacts.writing(
        path, kind=GENERATOR_KIND, config=config, seed=seed, parents=parents
    ) as folder:
        model.card = None
        with _no_progress_bars():
            model.save_pretrained(folder)
        model.card = render_card(
            model,
            result,
            facts,
            parents={name: parent.digest for name, parent in parents.items()},
            files={file.name: artifacts.sha256(file) for file in sorted(folder.iterdir())},
        )
        (folder / CARD_NAME).write_bytes(model.card.encode())
        model.index.save(folder / INDEX_FOLDER)
        (folder / "training.json").write_text(json.dumps(asdict(result), indent=1))


def load_generator(path: Path | str) -> GenerativeRecommender:
    """The generator at `path`, verified, in eval mode.

    Raises:
        ArtifactError: it is missing, altered or not a generator.
    """
    artifact = artifacts.read(path, kind=GENERATOR_KIND)
    config = require_generator(artifact.path)
    with _no_progress_bars():
        model: GenerativeRecommender = GenerativeRecommender.from_pretrained(
            artifact.path, config=config, use_safetensors=True, local_files_only=True
        )
    require_catalogue(model, artifact.path)
    index = PrefixIndex.load(artifact.path / INDEX_FOLDER)
    model.use_index(index)
    require_index(index, model, artifact.path / INDEX_FOLDER)
    model.train(False)
    return model


def load_fit_result(path: Path | str) -> FitResult:
    """How the training of the generator at `path` went.

    Raises:
        ArtifactError: as `load_generator`.
    """
    artifact = artifacts.read(path, kind=GENERATOR_KIND)
    return make_record(
        FitResult, read_json(artifact.file("training.json")), f"{path}/training.json"
    )


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Files that are read in a blink need no bar."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
