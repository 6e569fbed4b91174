"""Codes and histories in, the next items out: encoder, decoder over Semantic IDs, dense head."""

from genrec.generator.batches import window_start
from genrec.generator.config import GeneratorConfig
from genrec.generator.fitting import (
    GeneratorTraining,
    choose_combination_weight,
    fit_generator,
)
from genrec.generator.model import GenerativeRecommender
from genrec.generator.saved import (
    GENERATOR_KIND,
    load_fit_result,
    load_generator,
    save_generator,
)
from genrec.generator.source import DEFAULT_BEAMS, GeneratorSource, Mode

__all__ = [
    "DEFAULT_BEAMS",
    "GENERATOR_KIND",
    "GenerativeRecommender",
    "GeneratorConfig",
    "GeneratorSource",
    "GeneratorTraining",
    "Mode",
    "choose_combination_weight",
    "fit_generator",
    "load_fit_result",
    "load_generator",
    "save_generator",
    "window_start",
]
