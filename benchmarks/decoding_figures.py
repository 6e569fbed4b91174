"""The figures of the decoding benchmark: do engines agree, how long do they take, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.errors import GenrecError

__all__ = ["Agreement", "Answer", "GateError", "compare", "count_invalid", "table", "times_of"]

TOLERANCE = 1e-4
"""Of scores; sets may differ only this close to the M-th score."""
ENGINES = ("genrec", "transformers", "naive")
PARTS = {
    "same_weights": "The same T5, catalogue and answers",
    "defaults": "Our generator beside a TIGER-shaped T5, each in its default size",
}
COLUMNS = (
    "point",
    "genrec ms (p99)",
    "transformers ms (p99)",
    "naive ms (p99)",
    "transformers / genrec",
    "naive / genrec",
    "max score difference",
)

Row = dict[str, Any]


class GateError(GenrecError):
    """Two engines that must agree do not."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an engine found for B histories."""

    item_index: npt.NDArray[np.int64]
    """int64 [B, M]: best first; negative where the ids are no item's."""
    score: npt.NDArray[np.float32]
    """float32 [B, M]: -inf where fewer than M were found."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far an engine's answers are those of another."""

    overlap: float
    """Share of the other's items that it found too, the mean over histories."""
    max_score_diff: float
    """The largest difference between the scores of the same item."""
    failure: str | None
    """Which history they disagree on, and how; None where they agree as exact searches must."""


def compare(answer: Answer, reference: Answer) -> Agreement:
    """Whether two exact searches agree.

    Their sets may differ only in items within 1e-4 of the reference's M-th score, and the scores of
    the same item by less than 1e-4.
    """
    shares, largest, failure = [], 0.0, None
    for row in range(len(reference.item_index)):
        ours, theirs = _found(answer, row), _found(reference, row)
        common = ours.keys() & theirs.keys()
        shares.append(len(common) / max(len(theirs), 1))
        difference = max((abs(ours[item] - theirs[item]) for item in common), default=0.0)
        largest = max(largest, difference)
        last = min(theirs.values(), default=-np.inf)
        strangers = [
            (item, score)
            for item, score in {**ours, **theirs}.items()
            if item not in common and abs(score - last) > TOLERANCE
        ]
        if failure is None and strangers:
            item, score = strangers[0]
            failure = (
                f"row {row}: only one engine has item {item} with score {score:.6f}, which is not "
                f"within {TOLERANCE:g} of the last score {last:.6f}"
            )
        if failure is None and difference >= TOLERANCE:
            failure = f"row {row}: scores of the same item differ by {difference:.2e}"
    return Agreement(overlap=float(np.mean(shares)), max_score_diff=largest, failure=failure)


def count_invalid(answer: Answer, num_items: int) -> int:
    """Ids that are no item of the catalogue, or stand twice in a list."""
    wrong = 0
    for items, scores in zip(answer.item_index, answer.score, strict=True):
        given = items[scores > -np.inf]
        inside = given[(given >= 0) & (given < num_items)]
        wrong += len(given) - len(np.unique(inside))
    return wrong


def times_of(seconds: list[float]) -> Row:
    """Percentiles in milliseconds."""
    ms = np.array(seconds) * 1e3
    figures = {
        "p50_ms": np.percentile(ms, 50),
        "p99_ms": np.percentile(ms, 99),
        "min_ms": ms.min(),
    }
    return {
        **{name: round(float(value), 3) for name, value in figures.items()},
        "num_repeats": len(ms),
    }


def table(rows: list[Row]) -> str:
    """Markdown: one line a point, the engines side by side."""
    lines = []
    for part, title in PARTS.items():
        of_part = [row for row in rows if row.get("part") == part]
        if of_part:
            lines += [f"**{title}**", "", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
            points = dict.fromkeys(row["point"] for row in of_part)
            lines += [_line(point, of_part) for point in points]
            lines.append("")
    lines += _graph_lines(rows)
    of_index = [row for row in rows if row.get("index")]
    if of_index:
        lines += ["**The index**", "", "| items | build s | bytes a node | select ms |"]
        lines.append("|---|---|---|---|")
        lines += [
            f"| {row['items']:,} | {row['build_s']:.2f} | {row['bytes_per_node']:.2f} | "
            f"{row['select_ms']:.3f} |"
            for row in of_index
        ]
    return "\n".join(lines)


def _graph_lines(rows: list[Row]) -> list[str]:
    """One line a row of what ran as CUDA graphs; none where nothing did."""
    graphs = [row for row in rows if row.get("clock")]
    if not graphs:
        return []
    lines = ["**As CUDA graphs**", "", "| point | part | engine | device | clock | ms (p99) |"]
    lines.append("|---|---|---|---|---|---|")
    for row in graphs:
        cells = [row[name] for name in ("point", "part", "engine", "device", "clock")]
        cells.append(f"{row['p50_ms']:.3f} ({row['p99_ms']:.3f})")
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _found(answer: Answer, row: int) -> dict[int, float]:
    """Scores by item."""
    items, scores = answer.item_index[row].tolist(), answer.score[row].tolist()
    return {item: score for item, score in zip(items, scores, strict=True) if score > -np.inf}


def _line(point: str, rows: list[Row]) -> str:
    by_engine = {row["engine"]: row for row in rows if row["point"] == point}
    cells = [point]
    for engine in ENGINES:
        row = by_engine.get(engine)
        cells.append("–" if row is None else f"{row['p50_ms']:.1f} ({row['p99_ms']:.1f})")
    for engine in ENGINES[1:]:
        both = "genrec" in by_engine and engine in by_engine
        ratio = by_engine[engine]["p50_ms"] / by_engine["genrec"]["p50_ms"] if both else None
        cells.append("–" if ratio is None else f"{ratio:.1f}")
    difference = by_engine.get("genrec", {}).get("max_score_diff")
    cells.append("–" if difference is None else f"{difference:.1e}")
    return f"| {' | '.join(cells)} |"
