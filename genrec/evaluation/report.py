"""A comparison as a saved report: report.json for programs, report.html for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from genrec import artifacts
from genrec.evaluation.charts import accuracy_chart, method_colours, plotly_js, trade_off_chart
from genrec.evaluation.findings import headline
from genrec.evaluation.segments import FEW_PEOPLE

__all__ = ["REPORT_KIND", "render_report", "save_report"]

REPORT_KIND = "report"
TEMPLATE = "report.html"


def save_report(
    path: Path | str,
    report: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    seed: int,
    parents: Mapping[str, artifacts.Artifact],
    ids_picture: str | None = None,
) -> None:
    """Writes the artefact: report.json and report.html.

    Args:
        path: where it shall stand.
        report: what `compare` gave, with `environment` and `semantic_ids` added.
        config: what `artifacts.is_current` compares.
        seed: of the comparison.
        parents: the artefacts that were compared.
        ids_picture: of the Semantic IDs, as `genrec.semantic_ids` draws it.

    Raises:
        ValueError: a figure is NaN or infinite.
    """
    text = json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False)
    html = render_report(report, ids_picture)
    with artifacts.writing(
        path, kind=REPORT_KIND, config=config, seed=seed, parents=parents
    ) as folder:
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")
        (folder / "report.html").write_text(html, encoding="utf-8")


def render_report(report: Mapping[str, Any], ids_picture: str | None = None) -> str:
    """A page that loads nothing: style, charts and their library stand in it.

    The tables carry every figure and need no JavaScript; the charts do.

    Args:
        report: what `compare` gave, with `environment` and `semantic_ids` added.
        ids_picture: HTML that needs plotly.js alone, or None.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("genrec.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=_figure, signed=_signed, ms=_ms, share=_share, p=_p_value)
    return environment.get_template(TEMPLATE).render(
        report=report,
        headline=headline(report),
        colours=method_colours(report),
        accuracy_chart=accuracy_chart(report),
        trade_off_chart=trade_off_chart(report),
        few_people=FEW_PEOPLE,
        plotly_js=plotly_js(),
        ids_picture=ids_picture,
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _signed(value: float) -> str:
    rounded = round(value, 4) + 0.0  # no negative zero
    return f"{rounded:+.4f}".replace("-", "−")


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
