"""Sources, filter, ranker, deadline: how many ways of recommending become one answer in time."""

from genrec.funnel.added_items import find_added_items, grown_catalogue, with_added_items
from genrec.funnel.candidates import Candidates, merge_candidates
from genrec.funnel.deadline import DeadlineConfig, DeadlineFunnel, InterruptibleSource
from genrec.funnel.history_text import format_history, parse_history
from genrec.funnel.last_resort import LastResort
from genrec.funnel.latency import Admission, LatencyConfig, LatencyPredictor, RequestSize, Verdict
from genrec.funnel.offline import FileReport, HistoryReading, check_output, recommend_file
from genrec.funnel.questions import CONTEXT_KEYS, EventTime, Question
from genrec.funnel.ranked import RankedSource, Scorer
from genrec.funnel.recommender import RecommendedItem, RecommendedList, Recommender
from genrec.funnel.sources import (
    FALLBACKS,
    METHODS,
    MODELS,
    has_refit,
    load_sources,
    make_funnel,
    trained_split,
)
from genrec.funnel.stages import Answer, Clock, StageTimes

__all__ = [
    "CONTEXT_KEYS",
    "FALLBACKS",
    "METHODS",
    "MODELS",
    "Admission",
    "Answer",
    "Candidates",
    "Clock",
    "DeadlineConfig",
    "DeadlineFunnel",
    "EventTime",
    "FileReport",
    "HistoryReading",
    "InterruptibleSource",
    "LastResort",
    "LatencyConfig",
    "LatencyPredictor",
    "Question",
    "RankedSource",
    "RecommendedItem",
    "RecommendedList",
    "Recommender",
    "RequestSize",
    "Scorer",
    "StageTimes",
    "Verdict",
    "check_output",
    "find_added_items",
    "format_history",
    "grown_catalogue",
    "has_refit",
    "load_sources",
    "make_funnel",
    "merge_candidates",
    "parse_history",
    "recommend_file",
    "trained_split",
    "with_added_items",
]
