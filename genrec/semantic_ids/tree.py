"""The tree of the first two codes, cut down to as many boxes as can be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ROOT", "Box", "code_tree"]

Numbers = npt.NDArray[np.int64]

ROOT = "all"
FEWEST_SECOND = 3
"""Second codes that have a box of their own, at least, under each first code."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """Some items of the tree: a first code, a second code under it, or several second codes."""

    name: str
    """Unique in the tree."""
    parent: str
    """The name of the box around it; empty for the root."""
    label: str
    """What is written into it."""
    heading: str
    """What it is, in words."""
    rows: Numbers
    """int64 [n]: its items."""
    category: int
    """The most common one of these items."""


def code_tree(
    codes: npt.NDArray[np.integer], main: Numbers, ranked: Sequence[int], *, most_boxes: int
) -> list[Box]:
    """The root, every first code that items have, and in each its second codes.

    First codes of one category stand together, in the order of `ranked`, the largest first. Of
    more second codes than can be drawn the largest have a box of their own, the others share one
    for each ranked category and one for the rest.

    Args:
        codes: [N, L], the ids.
        main: int64 [N], the category of each item.
        ranked: the categories that are told apart, in order.
        most_boxes: to be drawn, about.
    """
    rows = np.arange(len(codes))
    root = Box(
        name=ROOT,
        parent="",
        label=f"{len(codes):,} items",
        heading="all",
        rows=rows,
        category=_most_common(main),
    )
    firsts = [
        Box(
            name=f"{code}",
            parent=ROOT,
            label=f"{code}",
            heading=f"first code {code}",
            rows=members,
            category=_most_common(main[members]),
        )
        for code, members in _grouped(codes[:, 0], rows)
    ]
    place = {category: number for number, category in enumerate(ranked)}
    firsts.sort(key=lambda box: (place.get(box.category, len(place)), -len(box.rows)))
    most_second = max(FEWEST_SECOND, most_boxes // len(firsts) - 1)
    boxes = [root]
    for box in firsts:
        boxes.append(box)
        if codes.shape[1] > 1:
            boxes += _second_codes(box, codes, main, place, most_second)
    return boxes


def _second_codes(
    first: Box,
    codes: npt.NDArray[np.integer],
    main: Numbers,
    place: dict[int, int],
    most: int,
) -> list[Box]:
    groups = sorted(_grouped(codes[first.rows, 1], first.rows), key=lambda group: -len(group[1]))
    boxes = [
        Box(
            name=f"{first.name}-{code}",
            parent=first.name,
            label=f"{first.name}-{code}",
            heading=f"first codes {first.name}-{code}",
            rows=rows,
            category=_most_common(main[rows]),
        )
        for code, rows in groups[:most]
    ]
    shared: dict[int, list[Numbers]] = {}
    for _, rows in groups[most:]:
        shared.setdefault(place.get(_most_common(main[rows]), len(place)), []).append(rows)
    for number, parts in sorted(shared.items()):
        rows = np.concatenate(parts)
        boxes.append(
            Box(
                name=f"{first.name}-more-{number}",
                parent=first.name,
                label=f"{len(parts)} more",
                heading=f"{len(parts)} more second codes under {first.name}",
                rows=rows,
                category=_most_common(main[rows]),
            )
        )
    return boxes


def _most_common(categories: Numbers) -> int:
    found, counts = np.unique(categories, return_counts=True)
    return int(found[counts.argmax()])


def _grouped(codes: npt.NDArray[np.integer], rows: Numbers) -> list[tuple[int, Numbers]]:
    """Every code that stands in codes [n], with the rows [n] that have it."""
    order = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[order], return_index=True)
    return list(zip(found.tolist(), np.split(rows[order], starts[1:]), strict=True))
