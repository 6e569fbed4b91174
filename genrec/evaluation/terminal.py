"""The comparison as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

__all__ = ["comparison_table"]


def comparison_table(report: Mapping[str, Any]) -> Table:
    """One row a method: accuracy with its interval, latency, and what is left in the budget."""
    budget = f"{report['budget_ms']:g} ms"
    table = Table(
        title=f"{report['dataset']}: {report['num_users']:,} people, "
        f"{report['num_items']:,} items, {report['split']}, repeats {report['repeats']}, "
        f"history {report['history']}",
        title_justify="left",
    )
    table.add_column("method", no_wrap=True)
    for name in ("R@5", "N@5", "R@10", "95 %", "N@10", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in (f"in {budget}", f"R@10 in {budget}", "its own"):
        table.add_column(name, justify="right")
    for name, row in report["methods"].items():
        low, high = row["recall@10_ci95"]
        table.add_row(
            name,
            *(f"{row[metric]:.4f}" for metric in ("recall@5", "ndcg@5", "recall@10")),
            f"{low:.4f}–{high:.4f}",
            f"{row['ndcg@10']:.4f}",
            *(_ms(row["latency_ms"][quantile]) for quantile in ("p50", "p99")),
            _share(row["within_budget"]),
            "–" if row["recall@10_in_budget"] is None else f"{row['recall@10_in_budget']:.4f}",
            _share(row["served_by"].get(name, 0.0) if row["served_by"] else None),
            style="bold" if name == report["best"] else None,
        )
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100.0 * value:.1f} %"
