"""Writes what was measured of decoding into docs/decoding.md and the README.

`python -m benchmarks.decoding_page` reads the files in docs/results that these made:
`benchmarks.decoding`, `benchmarks.decoding_floor`, `benchmarks.beam_recall`,
`benchmarks.user_state` and `benchmarks.live_catalogue`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.decoding_figures import ENGINES, table
from benchmarks.decoding_subjects import Point
from benchmarks.markdown import markdown_table, put_between_marks
from genrec import console

app = console.program(__doc__)

RESULTS = Path("docs/results")
PAGE, README = Path("docs/decoding.md"), Path("README.md")
SUMMARISED = (
    Point(),
    Point(beam=10),
    Point(beam=200),
    Point(history=100),
    Point(batch=16),
    Point(items=1_000_000),
)
"""The points of the README's table."""

Json = dict[str, Any]


@app.command()
def write() -> None:
    """Writes all tables."""
    for (path, name), text in texts().items():
        put_between_marks(path, name, text)
    console.say(f"wrote {PAGE} and {README}")


def texts() -> dict[tuple[Path, str], str]:
    """What belongs into which document, between which marks."""
    decoding = _read("decoding")
    return {
        (README, "decoding summary"): summary(decoding["rows"]),
        (PAGE, "engines"): f"{_machine(decoding)}\n\n{table(decoding['rows']).strip()}",
        (PAGE, "floor"): floor(_read("decoding_floor")),
        (PAGE, "beam recall"): beam_recall(_read("beam_recall")),
        (PAGE, "user state"): user_state(_read("user_state")),
        (PAGE, "live catalogue"): live_catalogue(_read("live_catalogue")),
    }


def summary(rows: list[Json]) -> str:
    """Milliseconds of the engines at some points, as a table."""
    lines = []
    for point in SUMMARISED:
        cells = [f"{point.items:,}", *(str(n) for n in (point.beam, point.batch, point.history))]
        for part, engines in (("same_weights", ENGINES), ("defaults", ENGINES[:1])):
            found = {
                row["engine"]: row["p50_ms"]
                for row in rows
                if row.get("part") == part and row["point"] == point.label
            }
            cells += [f"{found[each]:.1f}" if each in found else "–" for each in engines]
        lines.append(cells)
    head = ["items", "beams", "requests", "history", *(f"T5: {name}" for name in ENGINES)]
    return markdown_table([*head, "our generator"], lines)


def floor(report: Json) -> str:
    """Where the time of a request goes."""
    whole, products = report["request_p50_ms"], report["products_p50_ms"]
    return markdown_table(
        ["a request", "its products", "all else", "the products at best"],
        [
            [
                *(f"{each:.1f} ms" for each in (whole, products, whole - products)),
                f"{report['floor_ms']:.1f} ms ({report['gigaflop']:.2f} GFLOP at "
                f"{report['gigaflop_a_second_of_a_large_product']:.0f} a second)",
            ]
        ],
    )


def beam_recall(report: Json) -> str:
    """The curve over widths."""
    lines = [
        [
            ", ".join(map(str, row["beams"])),
            f"{row['beam_recall@10']['mean']:.2%}",
            f"{row['beam_recall@10']['complete']:.1%}",
            f"{row['p50_ms']:.1f}",
        ]
        for row in report["widths"]
    ]
    head = ["beams (one number, or one a level)", "of the exact top 10", "all ten", "p50 ms"]
    return markdown_table(head, lines)


def user_state(report: Json) -> str:
    """What a new event costs, and what a slate costs."""
    appended = [
        [
            str(row["history"]),
            f"{row['anew_p50_ms']:.2f}",
            f"{row['append_p50_ms']:.2f}",
            f"{row['ratio']:.1f}",
        ]
        for row in report["append"]
    ]
    agreement = {group["mode"]: group["by_beams"] for group in report.get("agreement", ())}
    slates = []
    for group in report["slates"]:
        for beams, row in group["by_beams"].items():
            same = agreement.get(group["mode"], {}).get(beams)
            cells = [f"`{group['mode']}`", beams, f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}"]
            slates.append([*cells, "–" if same is None else f"{same['items_in_both']:.1%}"])
    head = ["slates of", "beams", "p50 ms", "p99 ms", "items that 50 beams choose too"]
    return "\n\n".join(
        [
            markdown_table(["history", "anew ms", "one more event ms", "times"], appended),
            markdown_table(head, slates),
        ]
    )


def live_catalogue(report: Json) -> str:
    """What changes cost while requests are answered."""
    quiet, busy = (report["request_ms"][name] for name in ("quiet", "while_items_come"))
    named = {
        f"a request, nothing changes ({report['items']:,} items)": quiet,
        f"a request while {report['added_a_second']:.0f} items a second come": busy,
        "adding an item": report["add_ms"],
        "removing an item": report["remove_ms"],
    }
    lines = [[name, f"{row['p50']:.1f}", f"{row['p99']:.1f}"] for name, row in named.items()]
    lines += [
        ["p99 with changes, to that without", "", f"{report['p99_ratio']:.2f}"],
        ["compacting", f"{1e3 * report['compact_seconds']:,.0f}", ""],
        ["found of what was added", "", f"{report['found_of_added']:.0%}"],
    ]
    return markdown_table(["", "p50 ms", "p99 ms"], lines)


def _machine(report: Json) -> str:
    """What it was measured on, and by which command."""
    facts = report["environment"]
    return (
        f"One thread of {facts['num_cores']} cores, {facts['processor']}, torch "
        f"{facts['versions']['torch']}, transformers {facts['versions']['transformers']}: "
        f"`{facts['command']}`."
    )


def _read(name: str) -> Json:
    report: Json = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
