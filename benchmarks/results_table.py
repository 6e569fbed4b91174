"""Prints comparison reports as Markdown tables, and keeps them in docs/results.

`python -m benchmarks.results_table runs/demo runs/beauty` made the tables of the README.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "docs" / "results"
COLUMNS = ("method", "R@5", "N@5", "R@10 (95 % interval)", "N@10", "p50 ms", "p99 ms")


def main(argv: list[str] | None = None) -> None:
    """One table a run folder; its report.json is copied to docs/results/NAME.json."""
    for run in sys.argv[1:] if argv is None else argv:
        text = (Path(run) / "report" / "report.json").read_text(encoding="utf-8")
        report = json.loads(text)
        (RESULTS / f"{report['dataset']}.json").write_text(text, encoding="utf-8")
        print(table(report), end="\n\n")


def table(report: dict[str, Any]) -> str:
    """A Markdown table with one row a method."""
    title = (
        f"**{report['dataset']}**: {report['num_users']:,} people, {report['split']}, seen items "
        f"{'left out' if report['repeats'] == 'mask' else 'allowed'}, history {report['history']}"
    )
    rows = [row(name, method) for name, method in report["methods"].items()]
    in_budget = f"R@10 in {report['budget_ms']:g} ms ({report['deadline_users']:,} people)"
    columns = [*COLUMNS, in_budget]
    head = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join([title, "", *head, *rows])


def row(name: str, method: dict[str, Any]) -> str:
    """One method's line."""
    low, high = method["recall@10_ci95"]
    latency = method["latency_ms"]
    cells = [
        f"`{name}`",
        f"{method['recall@5']:.4f}",
        f"{method['ndcg@5']:.4f}",
        f"{method['recall@10']:.4f} ({low:.4f}–{high:.4f})",
        f"{method['ndcg@10']:.4f}",
        number(latency["p50"], 1),
        number(latency["p99"], 1),
        number(method["recall@10_in_budget"], 4),
    ]
    return f"| {' | '.join(cells)} |"


def number(value: float | None, digits: int) -> str:
    """A figure, or a dash where it was not measured."""
    return "–" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
