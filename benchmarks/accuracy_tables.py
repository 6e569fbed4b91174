"""The tables of the accuracy benchmark: means over seeds, intervals over people, differences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.accuracy_rows import MAIN, OTHERS, Row, Rows, Variant, key_of
from benchmarks.markdown import markdown_table
from benchmarks.published import PUBLISHED
from genrec.evaluation import BootstrapConfig, bootstrap_mean, compare_paired, ndcg_at, recall_at
from genrec.interactions import Protocol

__all__ = ["summary", "tables"]

K = 10
METRICS = ("recall@5", "ndcg@5", "recall@10", "ndcg@10")
MODEL_OF = dict.fromkeys(("generative", "dense", "combined"), "generator")
REFERENCE = "combined"
"""Whom every other method is compared with, person by person."""

DATASETS = {"amazon-beauty": "Beauty", "amazon-sports": "Sports", "amazon-toys": "Toys"}
"""Those of the summary."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """The rows of one method under one protocol, one a seed."""

    method: str
    rows: Sequence[Row]
    ranks: Mapping[str, npt.NDArray[np.uint8]]

    def mean(self, metric: str) -> float:
        """Over the seeds."""
        return float(np.mean([row[metric] for row in self.rows]))

    def values(self, measure: Any) -> npt.NDArray[np.float64]:
        """float64 [B]: each person's mean over the seeds."""
        places = [self.ranks[key_of(row)][:, None].astype(np.int64) for row in self.rows]
        return np.asarray(np.mean([measure(each, K) for each in places], axis=0))


def tables(rows: Rows) -> str:
    """Markdown: for every data set and split a table, then other variants and segments."""
    by_task: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows.rows:
        by_task[row["dataset"], row["split"]].append(row)
    return "\n\n".join(
        _table(title, found, rows)
        + _variants(found)
        + (_segments(found) if title[1] == Protocol.GLOBAL_TEMPORAL else "")
        + _costs(found)
        for title, found in by_task.items()
    )


def summary(rows: Rows) -> str:
    """Markdown: one table of all data sets, leave-last-out, what others reported beneath."""
    asked = {
        dataset: _groups(
            [
                row
                for row in rows.rows
                if (row["dataset"], row["split"]) == (dataset, Protocol.LEAVE_LAST_OUT)
            ],
            rows,
            "test",
            MAIN,
        )
        for dataset in DATASETS
    }
    methods = dict.fromkeys(name for groups in asked.values() for name in groups)
    lines = [
        [f"`{name}`", *(_brief(groups.get(name)) for groups in asked.values())] for name in methods
    ]
    others: dict[str, dict[str, str]] = defaultdict(dict)
    for dataset in DATASETS:
        for name, _, _, recall, gain in PUBLISHED[dataset]:
            others[name][dataset] = f"{recall} / {gain}"
    lines += [
        [f"*{name}*", *(found.get(dataset, "") for dataset in DATASETS)]
        for name, found in others.items()
    ]
    return markdown_table(["R@10 (95 % interval) / N@10", *DATASETS.values()], lines)


def _brief(group: Group | None) -> str:
    if group is None:
        return "–"
    interval = bootstrap_mean(group.values(recall_at), BootstrapConfig())
    seeds = f", {len(group.rows)} seeds" if len(group.rows) > 1 else ""
    return (
        f"{interval.mean:.4f} ({interval.low:.4f}–{interval.high:.4f}) / "
        f"{group.values(ndcg_at).mean():.4f}{seeds}"
    )


def _groups(rows: Sequence[Row], ranks: Rows, part: str, variant: Variant) -> dict[str, Group]:
    by_method: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["part"] == part and variant.includes(row):
            by_method[row["method"]].append(row)
    groups = {
        name: Group(method=name, rows=found, ranks=ranks.ranks) for name, found in by_method.items()
    }
    return dict(sorted(groups.items(), key=lambda entry: -entry[1].mean("recall@10")))


def _table(title: tuple[str, str], found: Sequence[Row], rows: Rows) -> str:
    test = _groups(found, rows, "test", MAIN)
    validation = _groups(found, rows, "validation", MAIN)
    people = next(iter(test.values())).rows[0]["num_people"]
    columns = (
        *("method", "seeds", "R@5", "N@5", "R@10 (95 % interval)", "N@10"),
        *(f"`{REFERENCE}` has more R@10", "validation R@10", "parameters", "training s"),
    )
    cells = [_cells(group, validation[name], test) for name, group in test.items()]
    if title[1] == Protocol.LEAVE_LAST_OUT:
        published = PUBLISHED.get(title[0], ())
        cells += [[f"*{name}*", "", *figures, "", "", "", ""] for name, *figures in published]
    head = f"**{title[0]}**, {title[1]}: {people:,} people, {MAIN.label}"
    return f"{head}\n\n{markdown_table(columns, cells)}"


def _cells(group: Group, validation: Group, test: Mapping[str, Group]) -> list[str]:
    interval = bootstrap_mean(group.values(recall_at), BootstrapConfig())
    gain = "–"
    if group.method != REFERENCE and REFERENCE in test:
        found = compare_paired(
            test[REFERENCE].values(recall_at), group.values(recall_at), BootstrapConfig()
        ).difference
        gain = f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
    return [
        f"`{group.method}`",
        str(len(group.rows)),
        f"{group.mean('recall@5'):.4f}",
        f"{group.mean('ndcg@5'):.4f}",
        f"{interval.mean:.4f} ({interval.low:.4f}–{interval.high:.4f})",
        f"{group.values(ndcg_at).mean():.4f}",
        gain,
        f"{validation.mean('recall@10'):.4f}",
        f"{group.rows[0]['parameters']:,}",
        f"{np.mean([row['train_seconds'] for row in group.rows]):.0f}",
    ]


def _variants(found: Sequence[Row]) -> str:
    """R@10 / N@10 of the first seed under all variants; nothing where no other one was asked."""
    variants = (MAIN, *OTHERS)
    cells: dict[str, dict[Variant, str]] = defaultdict(dict)
    for row in found:
        variant = next(each for each in variants if each.includes(row))
        if row["part"] == "test" and row["seed"] == 0:
            cells[row["method"]][variant] = f"{row['recall@10']:.4f} / {row['ndcg@10']:.4f}"
    asked = {name: each for name, each in cells.items() if len(each) > 1}
    if not asked:
        return ""
    rows = [
        [f"`{name}`", *(each.get(variant, "–") for variant in variants)]
        for name, each in asked.items()
    ]
    labels = [variant.label for variant in variants]
    return "\n\n" + markdown_table(["R@10 / N@10, seed 0", *labels], rows)


def _segments(found: Sequence[Row]) -> str:
    """R@10 of the first seed by length of history and by what training knew."""
    first = {row["method"]: row for row in found if row["seed"] == 0 and row.get("segments")}
    if not first:
        return ""
    methods = sorted(first, key=lambda name: -first[name]["recall@10"])
    rows = []
    for name, figures in first[methods[0]]["segments"].items():
        cells = [f"{first[method]['segments'][name]['recall@10']:.4f}" for method in methods]
        rows.append([name, f"{figures['num_people']:,}", *cells])
    titles = [f"`{method}`" for method in methods]
    return "\n\n" + markdown_table(["R@10 by segment, seed 0", "people", *titles], rows)


def _costs(found: Sequence[Row]) -> str:
    """What training took, seed by seed; the rows of one model say the same once."""
    trained = {
        (row["command"], row["seed"]): row for row in found if row.get("items_per_second", 0) > 0
    }
    if not trained:
        return ""
    rows = [
        [
            f"`{MODEL_OF.get(row['method'], row['method'])}`",
            str(row["seed"]),
            f"{row['parameters']:,}",
            f"{row['train_seconds']:.0f}",
            f"{row['items_per_second']:,.0f}",
            f"{row['padding_waste']:.1%}",
            f"{row['precision']}, {row['threads']} thread of {row['hardware']}",
        ]
        for row in trained.values()
    ]
    head = ("model", "seed", "parameters", "training s", "items a second", "padding", "with")
    return "\n\n" + markdown_table(head, rows)
