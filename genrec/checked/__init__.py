"""What is read from a folder that may come from a stranger: bounded and checked before it is used.

Checksums say that a file is as it was written, not that whoever wrote it meant well. Everything
here raises an `ArtifactError` that names the file and what is wrong in it.
"""

from genrec.checked.arrays import ArraySpec, read_array, read_arrays, require_array
from genrec.checked.files import open_regular, read_regular
from genrec.checked.json_text import parse_json, read_json
from genrec.checked.records import get_value, make_record
from genrec.checked.tables import read_parquet

__all__ = [
    "ArraySpec",
    "get_value",
    "make_record",
    "open_regular",
    "parse_json",
    "read_array",
    "read_arrays",
    "read_json",
    "read_parquet",
    "read_regular",
    "require_array",
]
