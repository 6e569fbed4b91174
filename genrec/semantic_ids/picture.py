"""The tree of the first two codes as a picture: sized by items, coloured by category."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
import numpy as np
import numpy.typing as npt

from genrec.interactions import Catalogue
from genrec.semantic_ids.categories import NO_CATEGORY, Categories
from genrec.semantic_ids.inspection import NO_ORDER
from genrec.semantic_ids.quantizer import Method
from genrec.semantic_ids.semantic_ids import SemanticIds
from genrec.semantic_ids.tree import Box, code_tree

__all__ = ["ids_picture", "ids_picture_page"]

# These are told apart by people who do not see all colours, too (Okabe and Ito).
FIRST_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
COLOURS = (*FIRST_COLOURS, "#8c6d31", "#7b4fc4", "#b5bd4c")
OTHER_COLOUR, NO_COLOUR = "#9aa2ab", "#d9dde2"
NO_NAME = "no category"
MOST_BOXES = 5_000
"""What a browser draws within seconds."""
NUM_TITLES = 3
LONGEST_TITLE = 60
LONGEST_IN_BOX = 22
HEIGHT = 760

FRAGMENT = """
<style>
 .legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13.5px; margin: 8px 0; }
 .legend i { display: inline-block; width: 11px; height: 11px; border-radius: 2px;
             margin-right: 6px; }
</style>
<p class="note">{{ sentences | join(" ") }}</p>
<div class="legend">{% for name, colour in legend %}
<span><i style="background: {{ colour }}"></i>{{ name }}</span>{% endfor %}
</div>
{{ chart | safe }}"""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
 body { margin: 0; background: #fff; color: #1f2933; font: 15px/1.5 {{ font | safe }}; }
 main { max-width: 1360px; margin: 0 auto; padding: 24px 24px 40px; }
 h1 { font-size: 24px; margin: 0 0 4px; } p { margin: 2px 0; color: #5b6672; }
</style><script>{{ script | safe }}</script></head><body><main>
<h1>{{ title }}</h1>
{{ picture | safe }}
<noscript><p>The picture needs JavaScript.</p></noscript>
</main></body></html>
"""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def ids_picture(
    ids: SemanticIds, *, catalogue: Catalogue | None = None, categories: Categories | None = None
) -> str:
    """How to read it, a legend and a treemap: HTML for a page in which plotly.js stands already.

    Every first code that items have is a box, as large as they are many; in it, the second codes.

    Args:
        ids: of N items.
        catalogue: of the same items, for titles.
        categories: of the same items, for colours.
    """
    kinds = _Kinds.of(len(ids.codes), categories)
    boxes = code_tree(ids.codes, kinds.main, list(kinds.colour_of), most_boxes=MOST_BOXES)
    return (
        jinja2.Environment(autoescape=True)
        .from_string(FRAGMENT)
        .render(
            sentences=_reading_aid(ids, categories),
            legend=kinds.legend(),
            chart=_treemap(boxes, kinds, catalogue),
        )
    )


def ids_picture_page(
    ids: SemanticIds,
    *,
    name: str,
    catalogue: Catalogue | None = None,
    categories: Categories | None = None,
) -> str:
    """A page with the picture that loads nothing.

    Args:
        ids: of N items.
        name: what it is a picture of.
        catalogue: of the same items, for titles.
        categories: of the same items, for colours.
    """
    from plotly.offline import get_plotlyjs

    return (
        jinja2.Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            title=f"Semantic IDs of {name}: the first two codes",
            picture=ids_picture(ids, catalogue=catalogue, categories=categories),
            script=get_plotlyjs(),
            font=FONT,
        )
    )


@dataclass(frozen=True, kw_only=True)
class _Kinds:
    """What colours mean."""

    categories: Categories | None
    main: npt.NDArray[np.int64]
    """int64 [N]: the category of each item that counts here."""
    colour_of: dict[int, str]
    """Of the most common categories, in order."""
    num_others: int
    """Categories that share one colour."""

    @classmethod
    def of(cls, num_items: int, categories: Categories | None) -> _Kinds:
        main = np.full(num_items, NO_CATEGORY) if categories is None else categories.main
        counts = Counter(main[main != NO_CATEGORY].tolist())
        ranked = [category for category, _ in counts.most_common()]
        colours = dict(zip(ranked, COLOURS, strict=False))
        others = len(ranked) - len(colours)
        return cls(categories=categories, main=main, colour_of=colours, num_others=others)

    def name(self, category: int) -> str:
        known = category != NO_CATEGORY and self.categories is not None
        return self.categories.names[category] if known and self.categories else NO_NAME

    def colour(self, category: int) -> str:
        if self.categories is None:
            return COLOURS[0]
        return NO_COLOUR if category == NO_CATEGORY else self.colour_of.get(category, OTHER_COLOUR)

    def legend(self) -> list[tuple[str, str]]:
        """Names with their colours, the most common category first."""
        if self.categories is None:
            return []
        entries = [(self.name(category), colour) for category, colour in self.colour_of.items()]
        if self.num_others:
            entries.append((f"{self.num_others} other {self.categories.column}", OTHER_COLOUR))
        if (self.main == NO_CATEGORY).any():
            entries.append((NO_NAME, NO_COLOUR))
        return entries

    def sentence(self, box: Box) -> str:
        """How many items a box has, and how many of them are of its category."""
        count = f"{len(box.rows):,} item{'s' if len(box.rows) > 1 else ''}"
        if self.categories is None:
            return count
        share = (self.main[box.rows] == box.category).mean()
        return f"{count}<br>{share:.0%} {html.escape(self.name(box.category))}"


def _treemap(boxes: Sequence[Box], kinds: _Kinds, catalogue: Catalogue | None) -> str:
    import plotly.graph_objects as go

    colours = [kinds.colour(box.category) if box.parent else "white" for box in boxes]
    chart = go.Treemap(
        ids=[box.name for box in boxes],
        parents=[box.parent for box in boxes],
        labels=[box.label for box in boxes],
        values=[len(box.rows) for box in boxes],
        text=["<br>".join(_titles(box, catalogue, LONGEST_IN_BOX)) for box in boxes],
        hovertext=[_hover(box, kinds, catalogue) for box in boxes],
        branchvalues="total",
        hoverinfo="text",
        textinfo="label+text",
        sort=False,  # so that boxes of one colour stand together
        marker={
            "colors": colours,
            "line": {"width": 0.6, "color": "white"},
            "pad": {"t": 17, "l": 1, "r": 1, "b": 1},
        },
        tiling={"pad": 0, "packing": "squarify"},
    )
    figure = go.Figure(chart)
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 0, "r": 0, "t": 26, "b": 0},
        font={"family": FONT},
        uniformtext={"minsize": 9, "mode": "hide"},
        paper_bgcolor="white",
    )
    drawn: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id="semantic-id-tree",
        config={"displayModeBar": False, "responsive": True},
    )
    return drawn


def _hover(box: Box, kinds: _Kinds, catalogue: Catalogue | None) -> str:
    lines = [f"<b>{box.heading}</b>: {kinds.sentence(box)}"]
    return "<br>".join(lines + _titles(box, catalogue, LONGEST_TITLE))


def _titles(box: Box, catalogue: Catalogue | None, longest: int) -> list[str]:
    """A few titles of a box's items, shortened, as plotly's small HTML; the root has none."""
    if catalogue is None or not box.parent:
        return []
    found = [title for title in catalogue.titles(box.rows[:NUM_TITLES]) if title]
    return [html.escape(title[:longest] + ("…" if len(title) > longest else "")) for title in found]


def _reading_aid(ids: SemanticIds, categories: Categories | None) -> list[str]:
    """How the picture is to be read, a sentence each."""
    sentences = [
        "Each box is a first code, as large as its items are many; the boxes in it are second "
        "codes. A click opens one, a click on the bar above leads back."
    ]
    if categories is None:
        sentences.append("One colour, since no categories are known.")
    else:
        sentences.append(
            f"Coloured by the most common of the {categories.column} of the items in a box; an "
            "item counts as the most common one that it has. Boxes of one colour stand together."
        )
    if ids.config.method is Method.OPQ:
        sentences.append(f"No hierarchy: {NO_ORDER}.")
    return sentences
