"""The picture shows every first code, sized and coloured by its items, and loads nothing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec.interactions import Catalogue
from genrec.semantic_ids import picture
from genrec.semantic_ids.categories import categories_of
from genrec.semantic_ids.picture import ids_picture, ids_picture_page
from genrec.semantic_ids.tree import ROOT, Box, code_tree
from tests.semantic_ids.planted import (
    GROUP,
    ITEMS_EACH,
    KIND,
    NUM_GROUPS,
    NUM_ITEMS,
    NUM_KINDS,
    ids_of,
    planted_catalogue,
    planted_codebooks,
    planted_codes,
    planted_ids,
)

CATEGORIES = categories_of(planted_catalogue())


def tree(most_boxes: int = 1000) -> dict[str, Box]:
    boxes = code_tree(planted_codes(), GROUP, list(range(NUM_GROUPS)), most_boxes=most_boxes)
    return {box.name: box for box in boxes}


def treemap(html: str) -> dict[str, Any]:
    """What plotly is given to draw."""
    found = re.search(r'Plotly\.newPlot\(\s*"semantic-id-tree",\s*(\[.*?\]),\s*\{', html, re.DOTALL)
    assert found is not None
    (drawn,) = json.loads(found.group(1))
    assert isinstance(drawn, dict)
    return drawn


def test_every_first_and_second_code_is_a_box_with_its_items() -> None:
    boxes = tree()
    assert len(boxes) == 1 + NUM_GROUPS + NUM_GROUPS * NUM_KINDS
    assert boxes[ROOT].rows.size == NUM_ITEMS
    for group in range(NUM_GROUPS):
        assert boxes[str(group)].parent == ROOT
        np.testing.assert_array_equal(boxes[str(group)].rows, np.flatnonzero(group == GROUP))
        assert boxes[str(group)].category == group
        for kind in range(NUM_KINDS):
            box = boxes[f"{group}-{kind}"]
            assert box.parent == str(group)
            np.testing.assert_array_equal(
                box.rows, np.flatnonzero((group == GROUP) & (kind == KIND))
            )


def test_where_boxes_would_be_too_many_the_smallest_share_one_and_no_item_is_lost() -> None:
    boxes = tree(most_boxes=1)
    assert len(boxes) == 1 + NUM_GROUPS * (1 + 3 + 1)
    shared = boxes["0-more-0"]
    assert shared.label == "2 more"
    assert shared.rows.size == 2 * ITEMS_EACH
    for parent in boxes.values():
        inside = [box.rows.size for box in boxes.values() if box.parent == parent.name]
        assert not inside or sum(inside) == parent.rows.size


def test_first_codes_of_one_category_stand_together_in_the_order_of_the_legend() -> None:
    codes = np.array([[0, 0], [1, 0], [2, 0], [2, 1], [3, 0]])
    boxes = code_tree(codes, np.array([5, 7, 5, 5, 7]), [7, 5], most_boxes=100)
    firsts = [box.name for box in boxes if box.parent == ROOT]
    assert firsts == ["1", "3", "2", "0"]


def test_one_level_has_first_codes_only() -> None:
    codes = np.arange(5)[:, None]
    assert len(code_tree(codes, np.zeros(5, dtype=np.int64), [], most_boxes=100)) == 6


def test_the_page_loads_nothing_and_holds_every_first_code() -> None:
    page = ids_picture_page(
        planted_ids(), name="<planted>", catalogue=planted_catalogue(), categories=CATEGORIES
    )

    class Loads(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"link", "iframe", "img", "base"}
            assert not {"src", "href", "srcset"} & {name for name, _ in attrs}

    Loads().feed(page)
    assert "<planted>" not in page
    drawn = treemap(page)
    assert {str(group) for group in range(NUM_GROUPS)} < set(drawn["ids"])
    sizes = dict(zip(drawn["ids"], drawn["values"], strict=True))
    assert sizes["3"] == NUM_KINDS * ITEMS_EACH
    assert sizes["3-1"] == ITEMS_EACH


def test_colours_are_those_of_the_legend_and_titles_are_escaped() -> None:
    html = ids_picture(planted_ids(), catalogue=planted_catalogue(), categories=CATEGORIES)
    assert [f"group {group}" in html for group in range(NUM_GROUPS)] == [True] * NUM_GROUPS
    drawn = treemap(html)
    colour = dict(zip(drawn["ids"], drawn["marker"]["colors"], strict=True))
    assert len({colour[str(group)] for group in range(NUM_GROUPS)}) == NUM_GROUPS
    assert colour["2-0"] == colour["2"]
    assert f'background: {colour["2"]}"></i>group 2' in html
    hover = dict(zip(drawn["ids"], drawn["hovertext"], strict=True))
    assert hover["2-0"].startswith("<b>first codes 2-0</b>: 4 items<br>100% group 2<br>&lt;0&gt;")


def test_more_categories_than_colours_share_one_and_items_without_any_are_told() -> None:
    names: list[str | None] = [f"c{item // 2}" for item in range(30)]
    names[-1] = None
    catalogue = Catalogue(
        pl.DataFrame({"item_id": [str(item) for item in range(30)], "category": names})
    )
    codes = np.arange(30, dtype=np.uint16)[:, None]
    ids = ids_of(codes, np.zeros((1, 30, 2), dtype=np.float32))
    html = ids_picture(ids, catalogue=catalogue, categories=categories_of(catalogue))
    assert f"{15 - len(picture.COLOURS)} other category" in html
    assert "no category" in html
    colours = treemap(html)["marker"]["colors"]
    assert colours.count(picture.NO_COLOUR) == 1
    # Two items a category, but for the last.
    assert colours.count(picture.OTHER_COLOUR) == 2 * (15 - len(picture.COLOURS)) - 1


def test_without_data_the_picture_has_one_colour_and_says_so() -> None:
    html = ids_picture(planted_ids())
    assert "no categories are known" in html
    assert len(set(treemap(html)["marker"]["colors"][1:])) == 1


@pytest.mark.parametrize("parts", [False, True])
def test_parts_without_an_order_are_told_from_a_hierarchy(parts: bool) -> None:
    ids = ids_of(planted_codes(), planted_codebooks(), parts=parts)
    assert ("No hierarchy" in ids_picture(ids)) == parts
