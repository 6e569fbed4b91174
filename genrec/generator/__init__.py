"""Codes and histories in, the next items out: encoder, decoder over Semantic IDs, dense head."""

from genrec.generator.batches import window_start
from genrec.generator.buckets import GraphConfig
from genrec.generator.card import TrainingFacts
from genrec.generator.config import GeneratorConfig
from genrec.generator.fitting import (
    GeneratorTraining,
    fit_generator,
)
from genrec.generator.graphed import GraphedSource, Ungraphed
from genrec.generator.live import LiveCatalogue
from genrec.generator.model import GenerativeRecommender
from genrec.generator.saved import (
    GENERATOR_KIND,
    load_fit_result,
    load_generator,
    save_generator,
)
from genrec.generator.slates import PrefixLimit, SlateConfig, SlateSource
from genrec.generator.source import DEFAULT_BEAMS, GeneratorSource, Mode, choose_combination
from genrec.generator.state import HistoryEncoder, HistoryState
from genrec.generator.user_states import UserStates

__all__ = [
    "DEFAULT_BEAMS",
    "GENERATOR_KIND",
    "GenerativeRecommender",
    "GeneratorConfig",
    "GeneratorSource",
    "GeneratorTraining",
    "GraphConfig",
    "GraphedSource",
    "HistoryEncoder",
    "HistoryState",
    "LiveCatalogue",
    "Mode",
    "PrefixLimit",
    "SlateConfig",
    "SlateSource",
    "TrainingFacts",
    "Ungraphed",
    "UserStates",
    "choose_combination",
    "fit_generator",
    "load_fit_result",
    "load_generator",
    "save_generator",
    "window_start",
]
