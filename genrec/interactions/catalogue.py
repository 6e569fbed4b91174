"""The items: the one place that translates between the user's item ids and item_index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from genrec.errors import InputError, UnknownItemError
from genrec.interactions.item_texts import is_index_column, join_words

__all__ = ["Catalogue"]


class Catalogue:
    """N items in a fixed order; `item_index` is the row.

    Args:
        table: one row an item: `item_id` (string, unique, not null), optional `title` (string)
            and any further columns as attributes.
        text_columns: what describes an item to a text encoder; None takes the title and all
            attributes. Columns that the table lacks are passed over.
    """

    def __init__(self, table: pl.DataFrame, text_columns: Sequence[str] | None = None) -> None:
        if "item_id" not in table.columns:
            raise InputError(f"a catalogue needs a column item_id, it has {table.columns}")
        if table.height == 0:
            raise InputError("a catalogue needs at least one item, this one is empty")
        ids = table["item_id"].cast(pl.String)
        if ids.null_count() or ids.n_unique() != table.height:
            raise InputError("item_id must be unique and not null in a catalogue")
        self.table = table.with_columns(ids)
        self.text_columns = None if text_columns is None else tuple(text_columns)
        self._ids: list[str] = ids.to_list()
        self._index_of = {item_id: index for index, item_id in enumerate(self._ids)}

    @classmethod
    def number(cls, table: pl.DataFrame, text_columns: Sequence[str] | None = None) -> Catalogue:
        """The items of a table, numbered by a hash of their ids.

        Whatever order the table has, first appearance or the alphabet, a model that sees numbers
        could learn from it. The numbers of equal sets of ids are equal.
        """
        ids = table["item_id"].cast(pl.String).to_list()
        digests = [hashlib.blake2b(str(item_id).encode()).digest() for item_id in ids]
        return cls(table[sorted(range(len(ids)), key=digests.__getitem__)], text_columns)

    def with_table(self, table: pl.DataFrame) -> Catalogue:
        """Other items, which the same columns describe."""
        return Catalogue(table, self.text_columns)

    def __len__(self) -> int:
        return self.table.height

    @property
    def item_ids(self) -> list[str]:
        """The user's id of every item, in the order of item_index."""
        return list(self._ids)

    @property
    def attributes(self) -> list[str]:
        """The names of the columns beside `item_id` and `title`."""
        return [name for name in self.table.columns if name not in ("item_id", "title")]

    def titles(self, item_index: npt.NDArray[np.int64] | Sequence[int]) -> list[str | None]:
        """The title of each of these items; None where the catalogue has none."""
        if "title" not in self.table.columns:
            return [None] * len(item_index)
        titles = self._titles
        return [None if i < 0 else titles[i] for i in item_index]

    def index(self, item_ids: Iterable[str], *, missing: str = "error") -> npt.NDArray[np.int64]:
        """int64 [n]: the item_index of each id.

        Args:
            item_ids: the user's ids.
            missing: `error`, or `mark` to give -1 for ids that are not in the catalogue.

        Raises:
            UnknownItemError: an id is not in the catalogue and `missing` is `error`.
        """
        ids = [str(item_id) for item_id in item_ids]
        index = np.array([self._index_of.get(item_id, -1) for item_id in ids], dtype=np.int64)
        if missing == "error" and (index < 0).any():
            unknown = [item_id for item_id, i in zip(ids, index, strict=True) if i < 0]
            raise UnknownItemError(
                f"{len(unknown)} item id(s) are not in the catalogue, the first: {unknown[:5]}"
            )
        return index

    def ids(self, item_index: npt.NDArray[np.int64] | Sequence[int]) -> list[str]:
        """The user's ids of these items."""
        ids = self._ids
        return [ids[i] for i in item_index]

    @cached_property
    def _titles(self) -> list[str | None]:
        return self.table["title"].to_list()

    def texts(self) -> list[str]:
        """What a text encoder reads of each item: its title, then `name: value` per attribute.

        Only `text_columns` where these are named. Nested values are told in words, nulls and empty
        values left out, and so are HTML elements and columns that number the rows. An item without
        any text gives its id, so that no text is empty.
        """
        names = [name for name in self.attributes if not is_index_column(name)]
        has_title = True
        if self.text_columns is not None:
            there = [name for name in self.text_columns if name in self.table.columns]
            names, has_title = [name for name in there if name != "title"], "title" in there
        return [
            join_words(
                row["item_id"],
                row.get("title") if has_title else None,
                {name: row[name] for name in names},
            )
            for row in self.table.iter_rows(named=True)
        ]
