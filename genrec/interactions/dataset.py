"""A checked interaction log with its catalogue, as everything behind it reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec import artifacts
from genrec.checked import make_record, read_json, read_parquet
from genrec.errors import ArtifactError, InputError
from genrec.interactions.catalogue import Catalogue
from genrec.interactions.histories import UNKNOWN_TIME, Histories

__all__ = ["DATA_KIND", "InteractionDataset", "Repeats"]

DATA_KIND = "data"
FACTS_NAME = "dataset.json"
INTEGERS = (pl.Int64, pl.Int32, pl.UInt32, pl.UInt64)
EVENT_COLUMNS = {"user_index": INTEGERS, "item_index": INTEGERS, "timestamp": (pl.Int64,)}


class Repeats(StrEnum):
    """Whether an item that a person has had may be recommended to them again."""

    ALLOW = "allow"
    MASK = "mask"


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What the file of facts says."""

    name: str
    repeats: Repeats
    text_columns: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class InteractionDataset:
    """U users, N items and every event between them, in order."""

    name: str
    catalogue: Catalogue
    user_ids: list[str]
    """The user's id of every person, in the order of `histories`."""
    histories: Histories
    """All events of all users."""
    repeats: Repeats
    """The policy of this data set; measured at import, changeable."""
    extra: pl.DataFrame
    """What else the log says of each event (`event`, `value`, context), one row an event [E]."""

    @property
    def num_items(self) -> int:
        """N: items in the catalogue."""
        return len(self.catalogue)

    @property
    def repeat_share(self) -> float:
        """Share of events whose item the same person had before."""
        if not self.histories.item_index.size:
            return 0.0
        users = np.repeat(np.arange(len(self.histories)), self.histories.lengths)
        pairs = users * self.num_items + self.histories.item_index
        return float((pairs.size - np.unique(pairs).size) / pairs.size)

    def save(
        self, path: Path | str, *, source: str, config: Mapping[str, Any] | None = None
    ) -> None:
        """Writes the artefact.

        Args:
            path: where it shall stand.
            source: where the rows came from.
            config: what else they were made with, for `artifacts.is_current`; JSON values.
        """
        ingredients = {"source": source, **(config or {})}
        with artifacts.writing(path, kind=DATA_KIND, config=ingredients) as folder:
            facts = asdict(
                _Facts(
                    name=self.name,
                    repeats=self.repeats,
                    text_columns=self.catalogue.text_columns,
                )
            )
            (folder / FACTS_NAME).write_text(json.dumps(facts))
            self.catalogue.table.write_parquet(folder / "items.parquet")
            pl.DataFrame({"user_id": self.user_ids}, schema={"user_id": pl.String}).write_parquet(
                folder / "users.parquet"
            )
            self._events().write_parquet(folder / "interactions.parquet")

    @classmethod
    def load(cls, path: Path | str) -> InteractionDataset:
        """Reads an artefact of kind `data` after verifying it.

        Raises:
            ArtifactError: it is missing, altered, or not a data folder.
        """
        artifact = artifacts.read(path, kind=DATA_KIND)
        events = read_parquet(artifact.file("interactions.parquet"), EVENT_COLUMNS)
        facts = make_record(_Facts, read_json(artifact.file(FACTS_NAME)), f"{path}/{FACTS_NAME}")
        text = {"user_id": (pl.String,)}
        users = read_parquet(artifact.file("users.parquet"), text)["user_id"].to_list()
        items = read_parquet(artifact.file("items.parquet"), {"item_id": (pl.String,)})
        _require_events(events, len(users), items.height, artifact.path)
        if None in users or len(set(users)) < len(users):
            raise ArtifactError(f"{path}/users.parquet must name each user once; import again")
        counts = np.bincount(events["user_index"].to_numpy(), minlength=len(users))
        times = events["timestamp"].fill_null(UNKNOWN_TIME).to_numpy()
        return cls(
            name=facts.name,
            catalogue=_catalogue_of(items, facts.text_columns, artifact.path),
            user_ids=users,
            histories=Histories(
                item_index=events["item_index"].to_numpy().astype(np.int64),
                event_time=times.astype(np.int64),
                offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
            ),
            repeats=facts.repeats,
            extra=events.drop("user_index", "item_index", "timestamp"),
        )

    def _events(self) -> pl.DataFrame:
        """One row an event: user_index, item_index, timestamp (null where unknown), extras."""
        histories = self.histories
        times = pl.Series("timestamp", histories.event_time)
        columns = pl.DataFrame(
            {
                "user_index": np.repeat(np.arange(len(histories)), histories.lengths),
                "item_index": histories.item_index,
                "timestamp": times,
            }
        ).with_columns(
            pl.when(pl.col("timestamp") == UNKNOWN_TIME)
            .then(None)
            .otherwise(pl.col("timestamp"))
            .alias("timestamp")
        )
        return pl.concat([columns, self.extra], how="horizontal") if self.extra.width else columns


def _require_events(events: pl.DataFrame, num_users: int, num_items: int, path: Path) -> None:
    """Raises an ArtifactError unless every event is of a user and an item, user after user."""
    for name, size in (("user_index", num_users), ("item_index", num_items)):
        index = events[name]
        if index.null_count() or not index.is_between(0, size - 1).all():
            raise ArtifactError(
                f"{path}/interactions.parquet: {name} must be between 0 and {size - 1} everywhere; "
                "import the log again"
            )
    if not events["user_index"].is_sorted():
        raise ArtifactError(f"{path}/interactions.parquet is not sorted by user; import again")


def _catalogue_of(items: pl.DataFrame, text_columns: Sequence[str] | None, path: Path) -> Catalogue:
    try:
        return Catalogue(items, text_columns)
    except InputError as error:
        raise ArtifactError(f"{path}/items.parquet: {error}; import again") from error
