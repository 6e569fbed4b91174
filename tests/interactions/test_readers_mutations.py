"""A file that was altered anywhere gives a table or an error of genrec, never another's error."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from genrec.errors import GenrecError
from genrec.interactions import TableFormat, read_table

LOG = pl.DataFrame(
    {
        "user_id": [f"u{row % 5}" for row in range(40)],
        "item_id": range(40),
        "timestamp": range(1_700_000_000, 1_700_000_040),
        "title": [f'A "quoted", title {row}\nof two lines' for row in range(40)],
    }
)
NUM_MUTATIONS = 1000
PIECES = (b'"', b"\n", b"\r", b"\0", b",", b"[", b"{", b"}", b"\xff", b"NaN", b"1e999", b"\\ud800")


def write(frame: pl.DataFrame, method: str) -> bytes:
    stream = io.BytesIO()
    getattr(frame, method)(stream)
    return stream.getvalue()


def zip_of(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log.csv", content)
    return stream.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "log.csv": lambda: LOG.write_csv().encode(),
    "log.tsv": lambda: LOG.write_csv(separator="\t", quote_style="always").encode(),
    "log.dat": lambda: LOG.drop("title").write_csv().replace(",", "::").encode(),
    "log.jsonl": lambda: LOG.write_ndjson().encode(),
    "log.json": lambda: LOG.write_json().encode(),
    "log.parquet": lambda: write(LOG, "write_parquet"),
    "log.arrow": lambda: write(LOG, "write_ipc"),
    "log.feather": lambda: write(LOG, "write_ipc_stream"),
    "log.csv.gz": lambda: gzip.compress(LOG.write_csv().encode()),
    "log.csv.bz2": lambda: bz2.compress(LOG.write_csv().encode()),
    "log.csv.zst": lambda: pa.Codec("zstd").compress(LOG.write_csv().encode(), asbytes=True),
    "log.csv.zip": lambda: zip_of(LOG.write_csv().encode()),
}


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Bytes changed, taken out, put in, cut off or doubled, at up to five places."""
    altered = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place, other = rng.randrange(len(altered) + 1), rng.randrange(len(altered) + 1)
        match rng.randrange(5):
            case 0:
                altered[place : place + 1] = rng.randbytes(1)
            case 1:
                del altered[place : place + rng.randrange(1, 50)]
            case 2:
                altered[place:place] = rng.choice(PIECES)
            case 3:
                del altered[place:]
            case _:
                altered[place:place] = altered[other : other + rng.randrange(1, 80)]
    return bytes(altered)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_thousand_mutations_of_a_file_give_a_table_or_an_error_of_ours(
    name: str, tmp_path: Path
) -> None:
    content = FILES[name]()
    rng = random.Random(name)
    (tmp_path / name).write_bytes(content)
    assert read_table(tmp_path / name).height == LOG.height
    messages = []
    for _ in range(NUM_MUTATIONS):
        (tmp_path / name).write_bytes(mutate(content, rng))
        drop = TableFormat(drop_unreadable=rng.random() < 0.5)
        try:
            read_table(tmp_path / name, text_columns=("user_id", "item_id"), table_format=drop)
        except GenrecError as error:
            messages.append(str(error))
    assert messages
    assert all(name in message and len(message) < 2000 for message in messages)
