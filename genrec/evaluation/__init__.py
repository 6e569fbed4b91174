"""How good, how sure, how fast: metrics, paired statistics, latency, the comparison report."""

from genrec.evaluation.comparison import CompareConfig, compare
from genrec.evaluation.curve import curve_table
from genrec.evaluation.environment import describe_environment
from genrec.evaluation.findings import headline
from genrec.evaluation.judge import judge
from genrec.evaluation.latency import (
    DeadlineRun,
    Latency,
    measure_deadline,
    measure_latency,
    one_thread,
)
from genrec.evaluation.metrics import (
    NO_TARGET,
    NOT_FOUND,
    ndcg_at,
    recall_at,
    reciprocal_rank_at,
    target_ranks,
)
from genrec.evaluation.no_history import no_history_lists, no_history_ranks
from genrec.evaluation.offline import (
    EvaluationTask,
    Faults,
    RankedLists,
    count_faults,
    evaluate_source,
)
from genrec.evaluation.order import (
    OrderExample,
    choose_example,
    num_changed,
    num_shared,
    shuffled_task,
)
from genrec.evaluation.predictions import PredictedLists, PredictionReading, load_predictions
from genrec.evaluation.report import REPORT_KIND, render_report, save_report
from genrec.evaluation.segments import (
    FEW_PEOPLE,
    SEGMENT_METRICS,
    segment_rows,
    segments_of,
)
from genrec.evaluation.statistics import (
    BootstrapConfig,
    Estimate,
    PairedDifference,
    bootstrap_mean,
    compare_paired,
    holm,
)
from genrec.evaluation.terminal import comparison_table

__all__ = [
    "FEW_PEOPLE",
    "NOT_FOUND",
    "NO_TARGET",
    "REPORT_KIND",
    "SEGMENT_METRICS",
    "BootstrapConfig",
    "CompareConfig",
    "DeadlineRun",
    "Estimate",
    "EvaluationTask",
    "Faults",
    "Latency",
    "OrderExample",
    "PairedDifference",
    "PredictedLists",
    "PredictionReading",
    "RankedLists",
    "bootstrap_mean",
    "choose_example",
    "compare",
    "compare_paired",
    "comparison_table",
    "count_faults",
    "curve_table",
    "describe_environment",
    "evaluate_source",
    "headline",
    "holm",
    "judge",
    "load_predictions",
    "measure_deadline",
    "measure_latency",
    "ndcg_at",
    "no_history_lists",
    "no_history_ranks",
    "num_changed",
    "num_shared",
    "one_thread",
    "recall_at",
    "reciprocal_rank_at",
    "render_report",
    "save_report",
    "segment_rows",
    "segments_of",
    "shuffled_task",
    "target_ranks",
]
