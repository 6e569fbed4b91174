"""The methods of the accuracy tables: how each is trained, with settings chosen on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from torch import Tensor, nn

from benchmarks.accuracy_rows import Answer
from benchmarks.tokenizers import SPINE
from genrec import artifacts
from genrec.embeddings import EMBEDDINGS_KIND, ItemEmbeddings
from genrec.evaluation import EvaluationTask, judge
from genrec.generator import (
    GenerativeRecommender,
    GeneratorSource,
    GeneratorTraining,
    Mode,
    choose_combination,
    fit_generator,
)
from genrec.generator.combination import Weights, mix
from genrec.generator.sasrec import SasRecConfig, SasRecSource, fit_sasrec
from genrec.generator.tiger import TigerSource, TigerTraining, fit_tiger
from genrec.interactions import (
    DATA_KIND,
    InteractionDataset,
    Protocol,
    Repeats,
    RequestBatch,
    Source,
    Split,
    split_histories,
)
from genrec.retrieval import (
    ItemItemSource,
    PopularitySource,
    TwoTowerConfig,
    TwoTowerSource,
    count_items,
    ease_weights,
    fit_two_tower,
    followed_by,
    item_cosines,
)
from genrec.semantic_ids import (
    SEMANTIC_IDS_KIND,
    SemanticIds,
    fit_semantic_ids,
    replacing,
    tokenizer_record,
)
from genrec.training import FitResult, Precision

__all__ = [
    "METHODS",
    "TUNED",
    "Fitted",
    "Subject",
    "Trial",
    "best_by",
    "fit_method",
    "listed",
    "three_modes",
]

Settings = TypeVar("Settings", GeneratorTraining, SasRecConfig, TigerTraining, TwoTowerConfig)

K = 10
VALIDATION_QUESTIONS = 6000
TRAINING = "training."
GENERATOR_EPOCHS = 8
"""All of them: a sample of validation, asked every epoch, chose worse."""
TUNED: dict[str, Mapping[str, Any]] = {"two_tower": {"width": 128, "hidden_width": 256}}
"""What `benchmarks.tuning` found better than a method's defaults by far. A retriever with wide
vectors costs every index and every look-up twice as much, so that the defaults are others."""
TIGER_EPOCHS = 5
"""An hour and a half of one core; the paper's 200,000 steps of 256 see 65 times as many targets."""


@dataclass(frozen=True)
class Subject:
    """A run folder, read as far as it is needed."""

    run: Path

    @cached_property
    def dataset(self) -> InteractionDataset:
        """Catalogue and histories."""
        return InteractionDataset.load(self.run / "data")

    @cached_property
    def protocol(self) -> Protocol:
        """The split whose training part the Semantic IDs learnt from."""
        ids = artifacts.read(self.run / "semantic_ids", kind=SEMANTIC_IDS_KIND)
        return Protocol(ids.config["split"])

    @cached_property
    def split(self) -> Split:
        """Training, validation, test."""
        return split_histories(self.dataset.histories, self.protocol)

    @cached_property
    def ids(self) -> SemanticIds:
        """The codes."""
        return SemanticIds.load(self.run / "semantic_ids")

    @cached_property
    def content(self) -> npt.NDArray[np.float32]:
        """float32 [N, Dc]."""
        return ItemEmbeddings.load(self.run / "embeddings").vectors

    @property
    def masks(self) -> bool:
        """Whether the data's own policy leaves seen items out."""
        return self.dataset.repeats is Repeats.MASK

    @property
    def num_items(self) -> int:
        """N."""
        return self.dataset.num_items

    @cached_property
    def selection(self) -> EvaluationTask:
        """A sample of the validation questions, drawn from all people; it chooses epochs."""
        whole = self.task("validation")
        return replace(whole, questions=whole.questions.sample(VALIDATION_QUESTIONS, 0))

    def task(self, part: str) -> EvaluationTask:
        """All questions of validation or test."""
        return EvaluationTask(
            questions=getattr(self.split, part),
            num_items=self.num_items,
            repeats=self.dataset.repeats,
        )

    @property
    def digests(self) -> dict[str, str]:
        """What names the very content that is trained on."""
        kinds = {
            "data": DATA_KIND,
            "embeddings": EMBEDDINGS_KIND,
            "semantic_ids": SEMANTIC_IDS_KIND,
        }
        return {name: artifacts.read(self.run / name, kind=kinds[name]).digest for name in kinds}


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained method."""

    answer: Answer
    num_parameters: int = 0
    train_seconds: float = 0.0
    items_per_second: float = 0.0
    """Events read a second in training; 0 where nothing is trained."""
    padding_waste: float = 0.0
    """Share of the computed inputs that were padding."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained with, and what validation chose while it was."""

    @classmethod
    def of(cls, answer: Answer, model: nn.Module, result: FitResult, **settings: Any) -> Fitted:
        """A model behind its training."""
        return cls(
            answer=answer,
            num_parameters=num_parameters(model),
            train_seconds=result.train_seconds,
            items_per_second=result.items_per_second,
            padding_waste=result.padding_waste,
            settings=settings,
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training."""

    seed: int
    """Of everything that is drawn."""
    home: Path
    """Checkpoints; an interrupted training found there is continued."""
    precision: Precision
    """What the products of a step are computed in."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the method that are not its usual ones; `training.x` is x of its training."""
    is_judged: bool = True
    """Whether validation chooses the epoch; if not, the last one's weights are taken."""

    def settings(self, usual: Settings, **training: Any) -> Settings:
        """The settings of a method, with this seed, this precision and the changes."""
        for name, value in self.changes.items():
            if name.startswith(TRAINING):
                training[name.removeprefix(TRAINING)] = value
        own = {k: value for k, value in self.changes.items() if not k.startswith(TRAINING)}
        training |= {"seed": self.seed, "precision": self.precision}
        return replace(usual, training=replace(usual.training, **training), **own)


def fit_method(subject: Subject, method: str, trial: Trial) -> Fitted:
    """One of METHODS, trained."""
    if method in COUNTED:
        return COUNTED[method](subject)
    return TRAINED[method](subject, trial)


def _generator(subject: Subject, trial: Trial) -> Fitted:
    settings = trial.settings(GeneratorTraining(), num_epochs=GENERATOR_EPOCHS)
    model, result = fit_generator(
        subject.split.train,
        subject.ids.codes,
        subject.ids.codebook_sizes,
        subject.content,
        settings,
        judge=None,
        work_dir=trial.home,
        identity={"settings": asdict(settings), **subject.digests},
    )
    choose_combination(model, subject.selection.questions, mask_seen=subject.masks)
    weights = asdict(Weights.of(model.config))
    return Fitted.of(three_modes(model), model, result, **asdict(settings), combination=weights)


def _sasrec(subject: Subject, trial: Trial) -> Fitted:
    settings = trial.settings(SasRecConfig())
    model, result = fit_sasrec(
        subject.split.train,
        subject.num_items,
        settings,
        judge=partial(judge, task=subject.selection) if trial.is_judged else None,
        work_dir=trial.home,
        identity={"settings": asdict(settings), "data": subject.digests[DATA_KIND]},
    )
    answer, best = listed(SasRecSource(model)), result.best_epoch
    return Fitted.of(answer, model, result, **asdict(settings), best_epoch=best)


def _tiger(subject: Subject, trial: Trial) -> Fitted:
    settings = trial.settings(TigerTraining(), num_epochs=TIGER_EPOCHS)
    ids = _text_ids(subject, trial)
    model, result = fit_tiger(
        subject.split.train,
        ids.codes,
        ids.codebook_sizes,
        settings,
        work_dir=trial.home,
        identity={"settings": asdict(settings), **subject.digests},
    )
    return Fitted.of(listed(TigerSource(model)), model, result, **asdict(settings))


def _text_ids(subject: Subject, trial: Trial) -> SemanticIds:
    """Codes of the texts alone, as TIGER has them; kept beside the checkpoints."""
    config = replace(SPINE, seed=trial.seed)
    made_of = {"embeddings": subject.digests["embeddings"], **tokenizer_record(config)}
    return ids_at(
        trial.home / "semantic_ids",
        made_of,
        trial.seed,
        lambda: fit_semantic_ids(subject.content, config),
    )


def ids_at(
    folder: Path, made_of: Mapping[str, object], seed: int, make: Callable[[], SemanticIds]
) -> SemanticIds:
    """The ids in a folder if they were made of just this, else new ones, which are put there."""
    if not artifacts.is_current(folder, kind=SEMANTIC_IDS_KIND, config=made_of, seed=seed):
        ids = make()
        with replacing(folder, discard=True):
            ids.save(folder, config=made_of)
    return SemanticIds.load(folder)


def _two_tower(subject: Subject, trial: Trial) -> Fitted:
    settings = trial.settings(TwoTowerConfig())
    two_tower = fit_two_tower(
        subject.split.train,
        subject.content,
        settings,
        validation=subject.selection.questions if trial.is_judged else None,
        mask_seen=subject.masks,
        work_dir=trial.home,
    )
    answer, result = listed(TwoTowerSource(two_tower)), two_tower.result
    return Fitted.of(
        answer, two_tower.model, result, **asdict(settings), best_epoch=result.best_epoch
    )


def _ease(subject: Subject) -> Fitted:
    def source(l2: float) -> Source:
        return ItemItemSource("ease", ease_weights(subject.split.train, subject.num_items, l2))

    return _chosen(subject, "l2", (30.0, 100.0, 300.0, 1000.0), source, subject.num_items**2)


def _item_item(subject: Subject) -> Fitted:
    cosines = item_cosines(subject.split.train, subject.num_items)
    return _chosen(
        subject, "fading", (0.4, 0.6, 0.8, 1.0), partial(_faded, "item_item", cosines), cosines.nnz
    )


def _transitions(subject: Subject) -> Fitted:
    followed = followed_by(subject.split.train, subject.num_items)
    return _chosen(
        subject,
        "fading",
        (0.4, 0.6, 0.8, 1.0),
        partial(_faded, "transitions", followed),
        followed.nnz,
    )


def _popularity(subject: Subject) -> Fitted:
    counts = count_items(subject.split.train, subject.num_items)
    return Fitted(answer=listed(PopularitySource(counts)), num_parameters=subject.num_items)


TRAINED: dict[str, Callable[[Subject, Trial], Fitted]] = {
    "generator": _generator,
    "sasrec": _sasrec,
    "tiger": _tiger,
    "two_tower": _two_tower,
}
"""`generator` makes three rows: `generative`, `dense` and `combined`."""
COUNTED: dict[str, Callable[[Subject], Fitted]] = {
    "ease": _ease,
    "item_item": _item_item,
    "transitions": _transitions,
    "popularity": _popularity,
}
"""What draws nothing: one seed is all."""
METHODS = (*TRAINED, *COUNTED)


def _faded(name: str, weights: sparse.csr_array, fading: float) -> Source:
    return ItemItemSource(name, weights, fading=fading)


def _chosen(
    subject: Subject,
    setting: str,
    values: Sequence[float],
    make: Callable[[float], Source],
    num_parameters: int,
) -> Fitted:
    """The source with the value of its one setting that is best on validation."""
    started = time.perf_counter()
    best, gains = best_by(values, make, subject.selection)
    return Fitted(
        answer=listed(make(best)),
        num_parameters=num_parameters,
        train_seconds=time.perf_counter() - started,
        settings={setting: best, "validation": {str(value): gains[value] for value in values}},
    )


def best_by(
    values: Sequence[float], make: Callable[[float], Source], task: EvaluationTask
) -> tuple[float, dict[float, float]]:
    """The value whose source has the highest ndcg@10, and that of every value."""
    gains = {value: judge(make(value), task)["ndcg@10"] for value in values}
    return max(gains, key=lambda value: gains[value]), gains


def three_modes(model: GenerativeRecommender) -> Answer:
    """What a generator gives in each of its modes."""
    source, weights = GeneratorSource(model, Mode.COMBINED), Weights.of(model.config)

    def answer(requests: RequestBatch) -> dict[str, Tensor]:
        """All three from one search: the beams stand first in the union, best first."""
        union = source.scored_union(requests)
        return {
            "generative": union.item_index[:, :K],
            "dense": mix(union, Weights(generative=0.0, followed=0.0), K).item_index,
            "combined": mix(union, weights, K).item_index,
        }

    return answer


def listed(source: Source) -> Answer:
    """A source's own lists."""
    return lambda requests: {source.name: source.recommend(requests, K).item_index.cpu()}


def num_parameters(model: nn.Module) -> int:
    """Numbers that are learnt."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)
