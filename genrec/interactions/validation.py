"""What is wrong with a log and its catalogue: everything at once, and dropped only on purpose."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import polars as pl

from genrec.errors import InputError, Problem
from genrec.interactions.choice import choose_rows, find_unparsable_values
from genrec.interactions.columns import nulls, read_columns
from genrec.interactions.defects import (
    Defect,
    ProblemKind,
    missing_column,
    no_rows,
    parse_policies,
)
from genrec.interactions.ids import find_odd_ids, read_ids, strip_ids, tell_fractions
from genrec.interactions.mapping import CatalogueMapping, ColumnMapping
from genrec.interactions.ordering import tell_order
from genrec.interactions.reading import list_paths, select_paths
from genrec.interactions.usual_names import suggest_column

__all__ = ["CheckedLog", "check_log"]

NAMES_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class CheckedLog:
    """A log after the checks. Where `problems` is empty, its tables keep every promise."""

    events: pl.DataFrame
    """Rows that are left, in the order of the file: `user_id`, `item_id` (text), `microseconds`
    and `position` (Int64, null where not known)."""
    extra: pl.DataFrame
    """What the mapping keeps beside these, for the same rows; without columns if that is nothing.
    """
    items: pl.DataFrame | None
    """The catalogue: `item_id` (text), `title` where there is one, attributes."""
    problems: tuple[Problem, ...]
    """What was found and not dropped."""
    dropped: dict[str, int]
    """Rows that had each kind that was to be dropped; a row may have several."""
    num_dropped_rows: int
    """Rows of the log that were left out for a defect."""
    time_reading: str
    """How times were understood, in words; empty where there are none."""
    left_out: dict[str, int]
    """Rows that were left out by choice: why, and how many. They are no defects."""
    notes: tuple[str, ...]
    """What is no defect, and may be meant otherwise: sentences for a person."""


def check_log(
    frame: pl.DataFrame,
    mapping: ColumnMapping,
    items: pl.DataFrame | None = None,
    item_mapping: CatalogueMapping | None = None,
    drop: Collection[str] = (),
    keep: Collection[str] = (),
    strip: bool = False,
) -> CheckedLog:
    """Looks for every kind of defect in a log and its catalogue.

    Rows that the mapping does not choose are left out before anything is looked for. A row is
    asked for its own defects first; `duplicate` looks at the rows without any, and
    `conflicting-position` at those that are left then, so that one cause is told once. A null
    time is a defect only where no position gives the order.

    Args:
        frame: the log as it was read.
        mapping: what its columns mean.
        items: the items table as it was read; None where there is none.
        item_mapping: what its columns mean.
        drop: kinds of defects whose rows are left out.
        keep: kinds of defects whose rows stay, for they are meant so.
        strip: takes the blanks around ids off, in both tables.

    Raises:
        InputError: `drop` or `keep` names an unknown kind, or both name one, or two columns would
            get one name.
    """
    kinds, kept_kinds = parse_policies(drop, keep)
    item_mapping = item_mapping or CatalogueMapping()
    asked, mapping = mapping, mapping.completed(frame.columns)
    frame, notes = select_paths(frame, _names_of(mapping)), list[str]()
    if strip:
        frame, items, notes = _strip_both(frame, mapping, items, item_mapping)
    num_rows, choice = frame.height, choose_rows(frame, mapping)
    frame, numbers = frame.filter(choice.rows), choice.rows.arg_true()
    catalogue, item_defects, problems = _check_items(items, item_mapping, kinds)
    problems = _missing_columns(frame, mapping) + problems
    events, defects, reading = _find_defects(frame, mapping, catalogue)
    kept = _clean(frame, [defect for defect in defects if defect.kind in kinds], optional=True)
    if not kept.any():
        problems.insert(0, no_rows(_why_empty(num_rows, frame.height, choice.notes)))
    settled, shown = (*kinds, *kept_kinds), _identify_rows(frame, mapping)
    problems += _tell_defects(defects, settled, shown, numbers)
    problems += _tell_defects(item_defects, settled, pl.DataFrame() if items is None else items)
    events, frame = events.filter(kept), frame.filter(kept)
    notes += [*choice.notes, *_tell_columns(frame, events, asked, mapping)]
    every = defects + item_defects
    return CheckedLog(
        events=events,
        extra=_extra(frame, mapping) if mapping.kept else pl.DataFrame(),
        items=catalogue,
        problems=tuple(problems),
        dropped={str(kind): sum(d.count for d in every if d.kind is kind) for kind in kinds},
        num_dropped_rows=int((~kept).sum()),
        time_reading=reading,
        left_out=choice.left_out,
        notes=tuple(notes),
    )


def _find_defects(
    frame: pl.DataFrame, mapping: ColumnMapping, catalogue: pl.DataFrame | None
) -> tuple[pl.DataFrame, list[Defect], str]:
    """The columns as they are stored, every defect of the rows, and how times were read."""
    events, defects, reading = read_columns(frame, mapping)
    defects += find_unparsable_values(frame, mapping)
    if catalogue is not None:
        defects.append(_unknown_items(events, catalogue))
    defects.append(_duplicates(frame, _clean(frame, defects)))
    defects.append(_position_conflicts(events, _clean(frame, defects)))
    return events, defects, reading


def _strip_both(
    frame: pl.DataFrame,
    mapping: ColumnMapping,
    items: pl.DataFrame | None,
    item_mapping: CatalogueMapping,
) -> tuple[pl.DataFrame, pl.DataFrame | None, list[str]]:
    """Both tables without blanks around ids, and what was done in words."""
    frame, num = strip_ids(frame, (mapping.user, mapping.item))
    if items is not None:
        items, num_of_items = strip_ids(items, (item_mapping.item_id,))
        num += num_of_items
    return frame, items, [f"{num:,} id(s) had blanks around them, which were taken off"]


def _tell_columns(
    frame: pl.DataFrame, events: pl.DataFrame, asked: ColumnMapping, mapping: ColumnMapping
) -> list[str]:
    """What a person should know of how ids and the order were read, of the rows that are left."""
    notes = tell_fractions(frame, mapping.user, events["user_id"])
    notes += tell_fractions(frame, mapping.item, events["item_id"])
    if mapping.time in frame.columns and frame[str(mapping.time)].dtype == pl.Float32:
        notes.append(
            f"column {mapping.time!r} holds floats of 32 bits, which tell today's times apart only "
            "by two minutes; write 64 bits or whole numbers"
        )
    has_position = "position" in frame.columns
    return notes + tell_order(events, asked, mapping, has_position=has_position)


def _tell_defects(
    defects: Sequence[Defect],
    settled: Collection[ProblemKind],
    frame: pl.DataFrame,
    numbers: pl.Series | None = None,
) -> list[Problem]:
    """The defects about which nothing was said, as a person is told of them."""
    told = [d for d in defects if d.kind not in settled and d.is_problem and d.count]
    return [defect.problem(frame, numbers) for defect in told]


def _identify_rows(frame: pl.DataFrame, mapping: ColumnMapping) -> pl.DataFrame:
    """The columns by which a person knows a row again."""
    names = dict.fromkeys(name for name in _names_of(mapping) if name in frame.columns)
    return frame.select(*names) if names else frame


def _why_empty(num_rows: int, num_chosen: int, notes: Sequence[str]) -> str:
    if not num_rows:
        return "the log has no rows; check the file"
    if not num_chosen:
        return "; ".join(["no row is chosen by --event-in and --min-value", *notes])
    return "no row is left after what was dropped; check the file"


def _names_of(mapping: ColumnMapping) -> list[str]:
    order = [name for name in (mapping.time, mapping.position) if name is not None]
    return [mapping.user, mapping.item, *order, *mapping.kept.values()]


def _missing_columns(frame: pl.DataFrame, mapping: ColumnMapping) -> list[Problem]:
    if not frame.width:
        return []
    wanted: dict[str, str] = {"--user": mapping.user, "--item": mapping.item}
    optional = {
        "--time": mapping.time,
        "--position": mapping.position,
        "--event": mapping.event,
        "--value": mapping.value,
    }
    wanted |= {option: name for option, name in optional.items() if name is not None}
    pairs = [*wanted.items(), *(("--context", name) for name in mapping.context)]
    there = list_paths(frame)[:NAMES_SHOWN]
    problems = [
        missing_column(
            frame,
            f"the log has no column {name!r}, it has {there}; set {option}"
            f"{suggest_column(option, there)}",
        )
        for option, name in pairs
        if name not in frame.columns
    ]
    if mapping.time is None and mapping.position is None:
        such = suggest_column("--time", there)
        detail = f"nothing orders the events; set --time or --position{such}; there are {there}"
        problems.append(missing_column(frame, detail))
    return problems


def _extra(frame: pl.DataFrame, mapping: ColumnMapping) -> pl.DataFrame:
    present = {name: column for name, column in mapping.kept.items() if column in frame.columns}
    columns = [frame[column].alias(name) for name, column in present.items()]
    return pl.DataFrame(columns or [nulls(frame, pl.Null())])


def _unknown_items(events: pl.DataFrame, catalogue: pl.DataFrame) -> Defect:
    unknown = ~events["item_id"].is_in(catalogue["item_id"].implode())
    return Defect(
        kind=ProblemKind.UNKNOWN_ITEM,
        rows=unknown.fill_null(False),
        detail="the items table has no such item; add it, or import without --items",
        values=events["item_id"],
    )


def _duplicates(frame: pl.DataFrame, clean: pl.Series) -> Defect:
    """Rows that repeat an earlier one in every column of the file."""
    repeated = nulls(frame, pl.Boolean()).fill_null(False)
    if frame.width and frame.height:
        repeated = ~frame.select(pl.struct(pl.all()).is_first_distinct()).to_series()
    return Defect(
        kind=ProblemKind.DUPLICATE,
        rows=repeated & clean,
        detail="the row repeats an earlier one in every column",
    )


def _position_conflicts(events: pl.DataFrame, clean: pl.Series) -> Defect:
    rows = nulls(events, pl.Boolean()).fill_null(False)
    placed = events.select("user_id", "position").with_row_index("row")
    is_known = events["user_id"].is_not_null() & events["position"].is_not_null()
    placed = placed.filter(clean & is_known)
    repeated = placed.filter(~pl.struct("user_id", "position").is_first_distinct())
    rows = rows.scatter(repeated["row"], True)
    return Defect(
        kind=ProblemKind.CONFLICTING_POSITION,
        rows=rows,
        detail="the user has an earlier row with the same position",
    )


def _check_items(
    items: pl.DataFrame | None, mapping: CatalogueMapping, drop: Collection[ProblemKind]
) -> tuple[pl.DataFrame | None, list[Defect], list[Problem]]:
    """The catalogue with each known id once, and what was wrong with the items table."""
    if items is None:
        return None, [], []
    columns = dict.fromkeys(mapping.text_columns or (), "--text-columns")
    columns |= {mapping.item_id: "--item-id"} | (
        {mapping.title: "--title"} if mapping.title else {}
    )
    problems = [
        missing_column(
            items, f"the items table has no column {name!r}, it has {items.columns}; set {by}"
        )
        for name, by in columns.items()
        if name not in items.columns
    ]
    if not items.height:
        problems.insert(0, no_rows("the items table has no rows; check the file"))
    if problems:
        return None, [], problems
    ids = read_ids(items, mapping.item_id)
    repeated = ~ids.is_first_distinct() & ids.is_not_null()
    defects = [
        *_of_items_table(find_odd_ids(items, mapping.item_id, ids, "item")),
        Defect(
            kind=ProblemKind.NULL_CATALOGUE,
            rows=ids.is_null(),
            detail="the id is empty in the items table (rows of that table)",
        ),
        Defect(
            kind=ProblemKind.DUPLICATE_CATALOGUE,
            rows=repeated,
            detail="the items table has the id in an earlier row (rows of that table)",
            values=ids,
        ),
    ]
    table = _named(items, mapping).with_columns(ids.alias("item_id"))
    wanted = _clean(items, [defect for defect in defects if defect.kind in drop])
    return table.filter(ids.is_not_null() & ~repeated & wanted), defects, problems


def _of_items_table(defects: Sequence[Defect]) -> list[Defect]:
    """The same, saying whose rows they are."""
    return [replace(each, detail=f"{each.detail} (rows of the items table)") for each in defects]


def _named(items: pl.DataFrame, mapping: CatalogueMapping) -> pl.DataFrame:
    """The items table with the catalogue's own column names, `item_id` and `title` first."""
    if mapping.item_id == mapping.title:
        raise InputError(f"column {mapping.item_id!r} cannot be both item id and title")
    names = mapping.stored_names
    for column, name in names.items():
        if column != name and name in items.columns and name not in names:
            raise InputError(
                f"column {column!r} of the items table shall be its {name!r}, but it has a column "
                f"of that name already; rename or remove one of them"
            )
    table = items.rename(names)
    if "title" not in table.columns:
        return table.select("item_id", pl.exclude("item_id"))
    if table["title"].dtype.is_nested():
        raise InputError(f"the title column has type {table['title'].dtype}; it must hold text")
    title = pl.col("title").cast(pl.String)
    return table.select("item_id", title, pl.exclude("item_id", "title"))


def _clean(frame: pl.DataFrame, defects: Sequence[Defect], *, optional: bool = False) -> pl.Series:
    """Boolean: the rows that have none of these defects."""
    clean = nulls(frame, pl.Boolean()).fill_null(True)
    for defect in defects:
        if defect.is_problem or optional:
            clean &= ~defect.rows
    return clean
