"""A data set on one page: a self-contained HTML file with its figures and four charts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import jinja2
import numpy as np
import plotly.graph_objects as go
import plotly.io
import plotly.offline
import polars as pl

from genrec.interactions.dataset import InteractionDataset
from genrec.interactions.describe import Description, cumulative_share, item_counts
from genrec.interactions.histories import UNKNOWN_TIME

__all__ = ["picture_html"]

INK, MUTED, GRID, BLUE, AMBER = "#1c2333", "#5b6478", "#e6e9f0", "#2f5fd0", "#d9822b"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
NUM_LENGTH_BINS = 12
NUM_CURVE_POINTS = 400
PERIODS = (
    ("day", "1d", "%Y-%m-%d", 150),
    ("week", "1w", "the one from %Y-%m-%d", 900),
    ("month", "1mo", "%Y-%m", 7500),
    ("year", "1y", "%Y", np.inf),
)
"""Name, polars' name, how one is written, and up to how many days of span it is used."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ d.name }}: the data</title>
<style>
 body { margin: 0; background: #f5f6fa; color: {{ ink }}; font: 15px/1.45 {{ font | safe }}; }
 main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 48px; }
 h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 0; }
 p { margin: 2px 0 0; color: {{ muted }}; }
 .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px;
          margin: 22px 0; }
 .charts { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
 .charts .box { min-width: 0; }
 @media (max-width: 820px) { .charts { grid-template-columns: 1fr; } }
 .box { background: #fff; border: 1px solid {{ grid }}; border-radius: 10px; padding: 16px 18px; }
 .cards .box { padding: 12px 16px; } .number { font-size: 23px; font-weight: 600; }
 .plot { height: 300px; margin-top: 6px; }
 table { border-collapse: collapse; width: 100%; margin-top: 10px; }
 th, td { text-align: right; padding: 7px 10px; border-top: 1px solid {{ grid }};
          font-variant-numeric: tabular-nums; }
 th:first-child, td:first-child { text-align: left; } th { color: {{ muted }}; font-weight: 500; }
 td.wide { text-align: left; color: {{ muted }}; } .below { margin-top: 16px; }
</style><script>{{ script | safe }}</script></head><body><main>
<h1>{{ d.name }}</h1><p>{{ lead }}</p>
<div class="cards">{% for label, number in cards %}
 <div class="box"><div class="number">{{ number }}</div><p>{{ label }}</p></div>{% endfor %}
</div>
<div class="charts">{% for chart in charts %}
 <div class="box"><h2>{{ chart.title }}</h2><p>{{ chart.finding }}</p>{% if chart.html %}
  <div class="plot">{{ chart.html | safe }}</div>{% endif %}</div>{% endfor %}
</div>
<div class="box below"><h2>How cold the tests are</h2>
<p>What a test asks for that training has not seen.</p>
<table><tr><th>split</th><th>training events</th><th>validation users</th><th>test users</th>
<th>users left out</th><th>targets not in training</th><th>users not in training</th></tr>
{% for protocol, s in d.splits.items() %}<tr><td>{{ protocol }}</td>
{% if s.impossible %}<td class="wide" colspan="6">{{ s.impossible }}</td>{% else %}
<td>{{ "{:,}".format(s.num_training_events) }}</td>
<td>{{ "{:,}".format(s.num_validation_users) }}</td><td>{{ "{:,}".format(s.num_test_users) }}</td>
<td>{{ "{:,}".format(s.num_excluded_users) }}</td>
<td>{{ "{:.2%}".format(s.cold_item_share) }}</td><td>{{ "{:.2%}".format(s.cold_user_share) }}</td>
{% endif %}</tr>{% endfor %}</table></div>
<div class="box below"><h2>What is known of the items</h2>
<table><tr><th>column</th><th>items that have it</th></tr>
{% for name, share in d.catalogue.items() %}<tr><td>{{ name }}</td>
<td>{{ "{:.1%}".format(share) }}</td></tr>{% endfor %}</table></div>
</main></body></html>
"""


@dataclass(frozen=True, kw_only=True)
class _Chart:
    title: str
    finding: str
    """What the chart shows, in a sentence."""
    figure: go.Figure | None
    """None where there is nothing to draw."""


def picture_html(dataset: InteractionDataset, description: Description) -> str:
    """A page that needs no network.

    Args:
        dataset: what to show.
        description: its figures, from `describe`.
    """
    charts = [
        _lengths(dataset, description),
        _popularity(dataset, description),
        _over_time(dataset, description),
        _concentration(dataset, description),
    ]
    environment = jinja2.Environment(autoescape=True)
    return environment.from_string(PAGE).render(
        d=description,
        lead=_lead(description),
        cards=_cards(description),
        charts=_drawn(charts),
        ink=INK,
        muted=MUTED,
        grid=GRID,
        font=FONT,
        script=plotly.offline.get_plotlyjs(),
    )


def _drawn(charts: list[_Chart]) -> list[dict[str, str]]:
    """Title, finding and HTML of each chart; the page brings plotly's script itself."""
    return [
        {
            "title": chart.title,
            "finding": chart.finding,
            "html": "" if chart.figure is None else _html(chart.figure, f"chart-{number}"),
        }
        for number, chart in enumerate(charts)
    ]


def _html(figure: go.Figure, name: str) -> str:
    html: str = plotly.io.to_html(
        figure,
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        default_height="100%",
        config={"displayModeBar": False, "responsive": True},
    )
    return html


def _lead(description: Description) -> str:
    time = description["time"]
    if time["first"] is None:
        return "The log has no times; histories follow the given positions."
    unknown = time["num_events_without_time"]
    text = f"{time['first'][:10]} to {time['last'][:10]}"
    text += f"; {unknown:,} events have no time" if unknown else ""
    tied = time["last_two_tied_share"]
    return f"{text}; the last two events of {tied:.0%} of the users have one and the same time."


def _cards(description: Description) -> list[tuple[str, str]]:
    repeats, head = description["repeats"], description["popularity"]["top_10_percent"]
    return [
        ("users", f"{description['num_users']:,}"),
        ("items", f"{description['num_items']:,}"),
        ("events", f"{description['num_events']:,}"),
        ("of all user-item pairs occur", f"{description['density']:.3%}"),
        (f"repeat events (policy: {repeats['policy']})", f"{repeats['share']:.1%}"),
        ("of events on the top 10% of items", f"{head:.0%}"),
    ]


def _lengths(dataset: InteractionDataset, description: Description) -> _Chart:
    facts = description["history_length"]
    lengths = dataset.histories.lengths
    edges = np.geomspace(max(facts["min"], 1), facts["max"] + 1, NUM_LENGTH_BINS + 1)
    edges = np.unique(edges.round().astype(np.int64))
    counts, _ = np.histogram(lengths, edges)
    labels = [f"{a}" if b - a == 1 else f"{a}–{b - 1}" for a, b in pairwise(edges.tolist())]
    bars = go.Bar(
        x=labels,
        y=counts,
        marker_color=BLUE,
        hovertemplate="%{x} events: %{y:,} users<extra></extra>",
    )
    figure = _styled(go.Figure(bars), "events of a user", "users")
    figure.update_xaxes(type="category", tickangle=-35)
    figure.update_layout(bargap=0.12)
    middle, high = facts["median"], facts["p90"]
    return _Chart(
        title="History lengths",
        finding=f"Half of the users have at most {middle:.0f} events, 90% at most {high:.0f}.",
        figure=figure,
    )


def _popularity(dataset: InteractionDataset, description: Description) -> _Chart:
    facts = description["popularity"]
    counts = item_counts(dataset)
    counts = counts[counts > 0]
    rank = _curve_points(counts.size)
    line = go.Scatter(
        x=rank,
        y=counts[rank - 1],
        mode="lines",
        line={"color": BLUE, "width": 2.5},
        hovertemplate="item number %{x:,}: %{y:,} events<extra></extra>",
    )
    figure = _styled(go.Figure(line), "item, by rank", "events")
    figure.update_xaxes(type="log", dtick=1)
    figure.update_yaxes(type="log", dtick=1)
    most, middle = facts["most_events_of_an_item"], facts["median_events_of_an_item"]
    return _Chart(
        title="Item popularity",
        finding=f"The most frequent item has {most:,} events, the middle one {middle:g}.",
        figure=figure,
    )


def _curve_points(size: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Ranks 1…size, evenly spaced on a log scale, both ends among them."""
    points = np.geomspace(1, size, min(size, NUM_CURVE_POINTS)).round().astype(np.int64)
    return np.unique(points)


def _over_time(dataset: InteractionDataset, description: Description) -> _Chart:
    times = dataset.histories.event_time
    known = times[times != UNKNOWN_TIME]
    span = description["time"]["span_days"]
    if span is None:
        return _Chart(title="Events over time", finding="The log has no times.", figure=None)
    name, every, written, _ = next(period for period in PERIODS if span <= period[-1])
    dates = pl.from_epoch(pl.Series("start", known), time_unit="s")
    counts = dates.dt.truncate(every).value_counts().sort("start").upsample("start", every=every)
    bars = go.Bar(
        x=counts["start"].to_list(),
        y=counts["count"].fill_null(0).to_list(),
        marker={"color": BLUE, "line_width": 0},
        hovertemplate=f"{name} of %{{x|%Y-%m-%d}}: %{{y:,}} events<extra></extra>",
    )
    figure = _styled(go.Figure(bars), "", f"events per {name}")
    figure.update_layout(bargap=0.08)
    peak = counts.sort("count", descending=True, nulls_last=True)
    busiest = peak["start"][0].strftime(written)
    finding = f"The busiest {name} is {busiest}, with {peak['count'][0]:,} events."
    return _Chart(title="Events over time", finding=finding, figure=figure)


def _concentration(dataset: InteractionDataset, description: Description) -> _Chart:
    counts = item_counts(dataset)
    share = cumulative_share(counts)
    points = np.unique(np.linspace(0, counts.size - 1, NUM_CURVE_POINTS).round().astype(np.int64))
    line = go.Scatter(
        x=np.concatenate([[0.0], (points + 1) / counts.size]),
        y=np.concatenate([[0.0], share[points]]),
        mode="lines",
        fill="tozeroy",
        fillcolor="rgba(47, 95, 208, 0.12)",
        line={"color": BLUE, "width": 2.5},
        hovertemplate="the top %{x:.1%} of items: %{y:.1%} of events<extra></extra>",
    )
    even = go.Scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": AMBER, "dash": "dot"}, hoverinfo="skip"
    )
    figure = _styled(go.Figure([line, even]), "items, most frequent first", "events")
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    figure.add_annotation(x=0.78, y=0.62, text="all items equal", showarrow=False, font_color=AMBER)
    facts = description["popularity"]
    finding = (
        f"The top 1% of items have {facts['top_1_percent']:.0%} of the events, "
        f"the top 10% have {facts['top_10_percent']:.0%}."
    )
    return _Chart(title="Concentration", finding=finding, figure=figure)


def _styled(figure: go.Figure, x_title: str, y_title: str) -> go.Figure:
    figure.update_layout(
        template="none",
        font={"family": FONT, "size": 13, "color": MUTED},
        margin={"l": 66, "r": 14, "t": 12, "b": 48 if x_title else 34},
        showlegend=False,
        paper_bgcolor="white",
        plot_bgcolor="white",
        hoverlabel={"bgcolor": INK, "font_color": "white"},
    )
    axis = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True}
    figure.update_xaxes(title_text=x_title, showgrid=False, **axis)
    figure.update_yaxes(title_text=y_title, rangemode="tozero", **axis)
    return figure
