"""A run folder becomes the sources that every table and every answer is made of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from genrec import artifacts
from genrec.artifacts import Artifact
from genrec.errors import ArtifactError, ArtifactMissingError, InputError
from genrec.funnel.added_items import grown_catalogue
from genrec.funnel.deadline import DeadlineFunnel
from genrec.funnel.last_resort import LastResort
from genrec.funnel.latency import LatencyPredictor
from genrec.funnel.ranked import RankedSource
from genrec.interactions import Protocol, Source
from genrec.semantic_ids import SemanticIdStore

if TYPE_CHECKING:
    from genrec.generator import (
        GenerativeRecommender,
        GeneratorSource,
        LiveCatalogue,
        SlateConfig,
    )

__all__ = [
    "FALLBACKS",
    "METHODS",
    "MODELS",
    "digests",
    "has_refit",
    "load_sources",
    "make_funnel",
    "make_slates",
    "trained_split",
]

log = logging.getLogger(__name__)

METHODS = ("generative", "dense", "combined", "two_tower", "two_tower_ranked", "popularity")
"""Everything in a run that recommends, in the order of the tables."""
FALLBACKS = ("two_tower_ranked", "two_tower")
"""Who answers for a method that cannot, best first; the last resort is behind them."""
MODELS = ("generator", "two_tower", "ranker")
"""What is trained, and can be trained again on all data."""
COMMANDS = {
    "data": "genrec data import FILE --out {run}/data",
    "embeddings": "genrec embed --data {run}/data --out {run}/embeddings",
    "semantic_ids": "genrec tokenize --data {run}/data --out {run}/semantic_ids",
    "generator": "genrec train generator --run {run}",
    "two_tower": "genrec train two-tower --run {run}",
    "ranker": "genrec train ranker --run {run}",
}
"""What makes each part of a run folder."""


def load_sources(
    run: Path | str,
    *,
    refit: bool = False,
    device: str = "cpu",
    added: SemanticIdStore | None = None,
) -> dict[str, Source]:
    """Every recommender of a run, by name, in the order of METHODS.

    Args:
        run: the run folder.
        refit: take the models that were trained on all data (`RUN/refit`). They have seen the
            test events: serve them, never measure them.
        device: where the generator answers: `cpu`, or a CUDA device, where a whole request is one
            CUDA graph. The other methods answer on the CPU.
        added: Semantic IDs with items that came after the training (`find_added_items`). The
            generator recommends them and reads them in histories; to the others they are unknown.

    Raises:
        InputError: there is no such device here, or the generator cannot read what was added.
        ArtifactMissingError: a part is missing; the message names the command that makes it.
        ArtifactError: a part was altered, or made from another state of the run than it has now.
    """
    # transformers, FAISS and LightGBM are brought in with the models that need them.
    from genrec.funnel.ranker_training import ranking_sources
    from genrec.generator import load_generator
    from genrec.ranking import Ranker
    from genrec.retrieval import TwoTower

    run, where = Path(run), _present(device)
    models = _verified_models(run, refit)
    generator = load_generator(models["generator"].path)
    torch.nn.Module.to(generator, where)
    nearest, popular = ranking_sources(TwoTower.load(models["two_tower"].path))
    ranker = Ranker.load(models["ranker"].path)
    ranked = RankedSource(
        "two_tower_ranked", [nearest, popular], ranker, num_candidates=ranker.num_candidates
    )
    tables = None if added is None else grown_catalogue(generator, added)
    sources: tuple[Source, ...] = (*_generator_sources(generator, tables), nearest, ranked, popular)
    by_name = {source.name: source for source in sources}
    return {name: by_name[name] for name in METHODS}


def _generator_sources(
    generator: GenerativeRecommender, catalogue: LiveCatalogue | None
) -> list[GeneratorSource]:
    """Every mode of the generator, by CUDA graphs where it is on a GPU; they share their tables."""
    from genrec.generator import GeneratorSource, GraphedSource, Mode

    is_graphed = generator.device.type == "cuda"
    make = GraphedSource if is_graphed else GeneratorSource
    generative = make(generator, Mode.GENERATIVE, tables=catalogue)
    shared = catalogue or generative.tables
    sources = [
        generative,
        *(make(generator, mode, tables=shared) for mode in (Mode.DENSE, Mode.COMBINED)),
    ]
    for source in sources:
        if isinstance(source, GraphedSource):
            source.prepare()
    graphs = ", a CUDA graph a request" if is_graphed else ""
    log.info("the generator decodes on %s by %s%s", generator.device, generative.backend, graphs)
    return sources


def _present(device: str) -> torch.device:
    """The device of this name; raises an `InputError` where there is none."""
    try:
        named = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"there is no device {device!r}; use cpu or cuda") from error
    present = {"cpu": 1, "cuda": torch.cuda.device_count()}.get(named.type, 0)
    if (named.index or 0) >= present:
        raise InputError(f"device {device!r} is not available here; use device='cpu'")
    return named


def trained_split(models: Mapping[str, Artifact]) -> Protocol:
    """The split that the models of a run were trained with.

    Args:
        models: by name, those of MODELS at least. One that names no split is of a program that
            knows only leave-last-out.

    Raises:
        ArtifactError: they were trained with different ones, or on all data.
    """
    configs = {name: models[name].config for name in MODELS}
    refitted = [name for name, config in configs.items() if config.get("refit")]
    if refitted:
        raise ArtifactError(
            f"{', '.join(refitted)} learned from all data, the test events too, and cannot be "
            "measured; train without --refit"
        )
    found = {name: config.get("split", Protocol.LEAVE_LAST_OUT) for name, config in configs.items()}
    if len(set(found.values())) > 1:
        raise ArtifactError(
            f"the models of this run were not trained with one split: {found}; train them again"
        )
    return Protocol(found[MODELS[0]])


def digests(run: Path | str, *, refit: bool = False) -> dict[str, str]:
    """What names the very content that a run serves from: the digest of each part that is there.

    Nothing is verified; whoever loads a part does that.
    """
    home = Path(run) / "refit" if refit else Path(run)
    parts = {"data": Path(run) / "data", **{name: home / name for name in MODELS}}
    return {
        name: artifacts.sha256(path / artifacts.MANIFEST_NAME)
        for name, path in parts.items()
        if (path / artifacts.MANIFEST_NAME).is_file()
    }


def make_funnel(
    sources: Mapping[str, Source],
    method: str,
    last_resort: LastResort,
    predictor: LatencyPredictor | None = None,
) -> DeadlineFunnel:
    """One method under a deadline; those behind it in FALLBACKS that there are answer for it."""
    behind = FALLBACKS[FALLBACKS.index(method) + 1 :] if method in FALLBACKS else FALLBACKS
    if method == last_resort.name:
        behind = ()
    fallbacks = [sources[name] for name in behind if name in sources]
    return DeadlineFunnel(sources[method], fallbacks, last_resort, predictor=predictor)


def make_slates(source: Source, config: SlateConfig) -> Source:
    """A source that chooses its items one after another, made of one that gives lists.

    Raises:
        InputError: it is no generator, or the configuration does not fit its codes.
    """
    from genrec.generator import GeneratorSource, Mode, SlateSource

    if not isinstance(source, GeneratorSource):
        raise InputError(f"{source.name} makes no slates; choose from {', '.join(Mode)}")
    return SlateSource(source, config)


def has_refit(run: Path | str) -> bool:
    """Whether all models of the run were trained again on all data; a part of them is logged."""
    folder = Path(run) / "refit"
    there = [name for name in MODELS if (folder / name / artifacts.MANIFEST_NAME).is_file()]
    if there and len(there) < len(MODELS):
        log.warning(
            "%s has only %s of %s and is not used; run the training programs with --refit",
            folder,
            ", ".join(there),
            ", ".join(MODELS),
        )
    return len(there) == len(MODELS)


def _verified_models(run: Path, refit: bool) -> dict[str, Artifact]:
    """The three models' artefacts, verified, made from what the run holds now."""
    if not run.is_dir():
        raise ArtifactMissingError(f"there is no run folder at {run}; `genrec demo` makes one")
    flag = " --refit" if refit else ""
    home = run / "refit" if refit else run
    _read_part(run / "data", "data", COMMANDS["data"].format(run=run))
    models = {
        name: _read_part(home / name, name, COMMANDS[name].format(run=run) + flag)
        for name in MODELS
    }
    for name, model in models.items():
        for parent, digest in model.parents.items():
            _check_parent(run, home, model, parent, digest, COMMANDS[name].format(run=run) + flag)
    return models


def _read_part(path: Path, kind: str, command: str) -> Artifact:
    try:
        return artifacts.read(path, kind=kind)
    except ArtifactMissingError as error:
        raise ArtifactMissingError(f"{path} is missing; make it with `{command}`") from error


def _check_parent(
    run: Path, home: Path, model: Artifact, parent: str, digest: str, command: str
) -> None:
    """A parent that is no longer in the run cannot contradict; one of other content does."""
    folder = (home if parent in MODELS else run) / parent
    if parent not in COMMANDS or not folder.is_dir():
        return
    if artifacts.read(folder, kind=parent).digest != digest:
        raise ArtifactError(
            f"{model.path} was made from another {parent} than {folder} holds now; "
            f"make it again with `{command}`"
        )
