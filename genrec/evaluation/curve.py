"""How a training went, as a table for a terminal: a line an epoch, a bar, the best one marked."""

from __future__ import annotations

from datetime import timedelta

from rich.table import Table

from genrec.training import FitResult

__all__ = ["curve_table"]

BAR_WIDTH = 16
EIGHTHS = " ▏▎▍▌▋▊▉"


def curve_table(result: FitResult, metric: str) -> Table:
    """Every figure of every epoch; the bar is the metric that decided, the longest is the best.

    Args:
        result: of a training.
        metric: what chose the epoch; a training without validation has none, and no bars.
    """
    names = list(dict.fromkeys(name for entry in result.curve for name in entry))
    best = max((entry.get(metric, 0.0) for entry in result.curve), default=0.0)
    table = Table(title="validation curve" if best else "training curve", title_justify="left")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    if best:
        table.add_column(f"by {metric}", no_wrap=True, min_width=BAR_WIDTH)
    for entry in result.curve:
        chosen = int(entry["epoch"]) == result.best_epoch
        figures = [_figure(name, entry.get(name)) for name in names]
        bar = [_bar(entry.get(metric, 0.0) / best) + (" best" if chosen else "")] if best else []
        table.add_row(*figures, *bar, style="bold" if chosen else None)
    return table


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name == "seconds":
        return str(timedelta(seconds=round(value)))
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _bar(share: float) -> str:
    """`share` of BAR_WIDTH places, to an eighth of one."""
    whole, part = divmod(round(8 * BAR_WIDTH * min(max(share, 0.0), 1.0)), 8)
    return "█" * whole + (EIGHTHS[part] if part else "")
