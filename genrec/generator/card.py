"""The model card: what a generator is, what it learnt from, how good it is, where its limits are.

Every sentence is made from facts of the training; what was not measured is not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jinja2

from genrec.generator.fitting import GeneratorTraining
from genrec.generator.model import GenerativeRecommender
from genrec.interactions import Protocol
from genrec.training import FitResult

__all__ = ["TrainingFacts", "render_card"]

TEMPLATE = "model_card.md"
MODES = ("generative", "dense")
"""Whose validation figures begin with their name."""


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """What a card says beside what the model and the result of its training know."""

    data: Mapping[str, Any]
    """The data set, as `describe` or `describe_log` of `genrec.interactions` gives it."""
    protocol: Protocol
    """What training, validation and test were."""
    refit: bool
    """Whether the model learnt from all events, those of validation and test included."""
    num_validation_questions: int
    """Questions that chose the epoch; 0 for a refit."""
    settings: GeneratorTraining
    """Sizes, dropout, epochs, seed."""
    environment: Mapping[str, Any]
    """Processor, threads and versions, as `describe_environment` of `genrec.evaluation` gives
    them."""
    num_processes: int
    """Processes that trained together."""


def render_card(
    model: GenerativeRecommender,
    result: FitResult,
    facts: TrainingFacts,
    *,
    parents: Mapping[str, str],
    files: Mapping[str, str],
) -> str:
    """The card as Markdown, with the front matter that model hubs read.

    Args:
        model: trained.
        result: how its training went.
        facts: the rest.
        parents: digest of each artefact that the model was made from.
        files: SHA-256 of configuration and weights, by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("genrec.generator"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(share=_share, number=_number)
    chosen = {name: getattr(model.config, name) for name in ("dense_samples", "taught_share")}
    chosen["node_residuals"] = bool(model.config.residual_nodes)
    settings = {**asdict(facts.settings), **chosen}
    return environment.get_template(TEMPLATE).render(
        data=facts.data,
        split=facts.data["splits"][str(facts.protocol)],
        protocol=str(facts.protocol),
        facts=facts,
        config=model.config,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        num_unused=int((~model.known).sum()),
        result=result,
        metrics={name: value for name, value in result.best_metrics.items() if _of_mode(name)},
        training=settings.pop("training"),
        settings=settings,
        environment=facts.environment,
        parents=parents,
        files=files,
    )


def _of_mode(metric: str) -> bool:
    return metric.startswith(MODES)


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _number(value: int) -> str:
    return f"{value:,}"
