"""From raw logs to checked histories, their catalogue, their splits and the questions they pose."""

from genrec.interactions.catalogue import Catalogue
from genrec.interactions.dataset import DATA_KIND, InteractionDataset, Repeats
from genrec.interactions.describe import describe, describe_log, description_table
from genrec.interactions.histories import UNKNOWN_TIME, Histories
from genrec.interactions.ids import as_id, read_ids
from genrec.interactions.importing import import_interactions
from genrec.interactions.mapping import CatalogueMapping, ColumnMapping
from genrec.interactions.movielens import (
    MOVIELENS_NAME,
    MOVIELENS_TERMS,
    import_movielens,
    movielens_fingerprint,
)
from genrec.interactions.picture import picture_html
from genrec.interactions.reading import (
    TableFormat,
    TableReading,
    is_text_file,
    read_table,
    read_table_counted,
    select_paths,
    table_digest,
)
from genrec.interactions.requests import (
    NO_ITEM,
    Recommendations,
    RequestBatch,
    Source,
    answer_in_parts,
    is_among,
    latest_events,
    select_top_k,
)
from genrec.interactions.shards import EventLog, HistoryShards
from genrec.interactions.splits import (
    EvaluationSet,
    Protocol,
    Split,
    find_shortfalls,
    split_histories,
)
from genrec.interactions.summary import ImportSummary, tell_import
from genrec.interactions.times import TimeUnit
from genrec.interactions.transitions import divided_by_counts, transitions
from genrec.interactions.validation import CheckedLog, check_log

__all__ = [
    "DATA_KIND",
    "MOVIELENS_NAME",
    "MOVIELENS_TERMS",
    "NO_ITEM",
    "UNKNOWN_TIME",
    "Catalogue",
    "CatalogueMapping",
    "CheckedLog",
    "ColumnMapping",
    "EvaluationSet",
    "EventLog",
    "Histories",
    "HistoryShards",
    "ImportSummary",
    "InteractionDataset",
    "Protocol",
    "Recommendations",
    "Repeats",
    "RequestBatch",
    "Source",
    "Split",
    "TableFormat",
    "TableReading",
    "TimeUnit",
    "answer_in_parts",
    "as_id",
    "check_log",
    "describe",
    "describe_log",
    "description_table",
    "divided_by_counts",
    "find_shortfalls",
    "import_interactions",
    "import_movielens",
    "is_among",
    "is_text_file",
    "latest_events",
    "movielens_fingerprint",
    "picture_html",
    "read_ids",
    "read_table",
    "read_table_counted",
    "select_paths",
    "select_top_k",
    "split_histories",
    "table_digest",
    "tell_import",
    "transitions",
]
