"""The report's charts, as HTML that needs nothing but the plotly.js standing in the same file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["accuracy_chart", "method_colours", "plotly_js", "trade_off_chart"]

COLOURS = {
    "generative": "#7b4fc4",
    "dense": "#0072b2",
    "combined": "#00805a",
    "two_tower": "#d79000",
    "two_tower_ranked": "#c9510c",
    "popularity": "#7a7f87",
}
OTHER_COLOURS = ("#b8478a", "#3a9bd1", "#8c6d31", "#a33b3b")
MUTED = "#aab0b8"
INK = "#1f2933"
GRID = "#e6e9ed"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
ROW_HEIGHT = 44
LABEL_HEIGHT = 0.06
"""Of a name in the trade-off chart, as a share of the largest recall."""
LABEL_WIDTH = 0.45
"""Of a name in the trade-off chart, in decades of milliseconds."""


def method_colours(report: Mapping[str, Any]) -> dict[str, str]:
    """One colour a method, the same in every chart and table; the order control is grey."""
    colours = {}
    others = 0
    for name in report["methods"]:
        if name == report["order_control"]["row"]:
            colours[name] = MUTED
        elif name in COLOURS:
            colours[name] = COLOURS[name]
        else:
            colours[name] = OTHER_COLOURS[others % len(OTHER_COLOURS)]
            others += 1
    return colours


def plotly_js() -> str:
    """The whole library, so that the file loads nothing."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def accuracy_chart(report: Mapping[str, Any]) -> str:
    """recall@10 with its interval, one row a method, the best on top."""
    from plotly import graph_objects as go

    colours, methods = method_colours(report), report["methods"]
    names = sorted(methods, key=lambda name: methods[name]["recall@10"])
    figure = go.Figure()
    for name in names:
        value, (low, high) = methods[name]["recall@10"], methods[name]["recall@10_ci95"]
        figure.add_scatter(
            x=[value],
            y=[name],
            mode="markers",
            marker={"size": 11, "color": colours[name]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - value],
                "arrayminus": [value - low],
                "thickness": 2,
                "width": 6,
                "color": colours[name],
            },
            hovertemplate=f"%{{y}}<br>%{{x:.4f}} ({low:.4f} to {high:.4f})<extra></extra>",
        )
    best_low, best_high = methods[report["best"]]["recall@10_ci95"]
    figure.add_vrect(x0=best_low, x1=best_high, fillcolor="#00805a", opacity=0.07, line_width=0)
    figure.update_xaxes(
        title="recall@10, 95 % interval over people", rangemode="tozero", tickformat=".2f"
    )
    figure.update_yaxes(categoryorder="array", categoryarray=names, showgrid=False, ticksuffix="  ")
    return _html(figure, "accuracy-chart", 90 + ROW_HEIGHT * len(names))


def trade_off_chart(report: Mapping[str, Any]) -> str:
    """Accuracy against the p99 of a single request, with the budget; empty if nothing was timed."""
    from plotly import graph_objects as go

    colours = method_colours(report)
    timed = {
        name: row for name, row in report["methods"].items() if row["latency_ms"]["p99"] is not None
    }
    if not timed:
        return ""
    figure = go.Figure()
    for name, row in timed.items():
        latency, (low, high) = row["latency_ms"], row["recall@10_ci95"]
        figure.add_scatter(
            x=[latency["p50"], latency["p99"]],
            y=[row["recall@10"]] * 2,
            mode="lines",
            line={"color": colours[name], "width": 2, "dash": "dot"},
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=[latency["p99"]],
            y=[row["recall@10"]],
            mode="markers",
            marker={"size": 13, "color": colours[name]},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - row["recall@10"]],
                "arrayminus": [row["recall@10"] - low],
                "thickness": 1.5,
                "width": 4,
                "color": colours[name],
            },
            hovertemplate=f"{name}<br>recall@10 %{{y:.4f}}<br>p99 %{{x:.1f}} ms<extra></extra>",
        )
    for label in _labels(timed, colours):
        figure.add_annotation(**label)
    _draw_budget(figure, report["budget_ms"])
    times = [ms for row in timed.values() for ms in row["latency_ms"].values()]
    times.append(report["budget_ms"])
    figure.update_xaxes(
        title="ms per request on one thread, p50 ··· p99",
        type="log",
        range=[math.log10(max(min(times), 0.001)) - 0.1, math.log10(max(times)) + 0.45],
        dtick="D2",
        tickformat="~r",
    )
    figure.update_yaxes(title="recall@10", rangemode="tozero", tickformat=".2f")
    return _html(figure, "trade-off-chart", 440)


def _labels(timed: Mapping[str, Any], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """The names beside the points, moved up where they would stand on another name."""
    height = max(row["recall@10"] for row in timed.values()) * LABEL_HEIGHT
    placed: list[dict[str, Any]] = []
    for name, row in sorted(timed.items(), key=lambda each: float(each[1]["recall@10"])):
        x, y = math.log10(row["latency_ms"]["p99"]), row["recall@10"]
        for other in placed:  # from the lowest up
            if abs(other["x"] - x) < LABEL_WIDTH and abs(other["y"] - y) < height:
                y = other["y"] + height
        placed.append(
            {
                "x": x,
                "y": y,
                "text": name,
                "showarrow": False,
                "xanchor": "left",
                "xshift": 6,
                "yshift": 12,
                "font": {"color": colours[name], "size": 13},
            }
        )
    return placed


def _draw_budget(figure: Figure, budget_ms: float) -> None:
    figure.add_vline(x=budget_ms, line={"color": "#b42318", "width": 1.5, "dash": "dash"})
    figure.add_annotation(
        x=math.log10(budget_ms),
        y=0.0,
        yref="paper",
        yanchor="bottom",
        xanchor="right",
        xshift=-6,
        text=f"budget {budget_ms:g} ms",
        showarrow=False,
        font={"color": "#b42318", "size": 12},
    )


def _html(figure: Figure, name: str, height: int) -> str:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 10, "r": 30, "t": 20, "b": 50},
        font={"family": FONT, "size": 13, "color": INK},
        showlegend=False,
    )
    figure.update_xaxes(gridcolor=GRID, automargin=True, zeroline=False)
    figure.update_yaxes(automargin=True, zeroline=False)
    return str(
        figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=name,
            config={"displayModeBar": False, "responsive": True},
        )
    )
