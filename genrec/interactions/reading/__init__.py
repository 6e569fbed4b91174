"""From a file, a folder or a table in memory to one polars frame, read right or refused."""

from genrec.interactions.reading.files import is_text_file, table_digest
from genrec.interactions.reading.nested import list_paths, select_paths
from genrec.interactions.reading.table_format import TableFormat, TableReading
from genrec.interactions.reading.tables import read_table, read_table_counted

__all__ = [
    "TableFormat",
    "TableReading",
    "is_text_file",
    "list_paths",
    "read_table",
    "read_table_counted",
    "select_paths",
    "table_digest",
]
