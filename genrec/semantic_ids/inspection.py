"""Everything that can be said of a set of Semantic IDs: their health, and what they mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from genrec.embeddings import CoOccurrenceConfig, ItemEmbeddings, pair_counts
from genrec.errors import InputError
from genrec.interactions import Catalogue, Histories
from genrec.semantic_ids.agreement import (
    CategoryAgreement,
    CoOccurrenceAgreement,
    PrefixAgreement,
    measure_categories,
    measure_co_occurrence,
)
from genrec.semantic_ids.categories import CATEGORY_COLUMNS, Categories
from genrec.semantic_ids.described import Described, find_described
from genrec.semantic_ids.examples import (
    Example,
    PrefixSizes,
    choose_examples,
    measure_prefixes,
)
from genrec.semantic_ids.fidelity import (
    LevelError,
    Neighbours,
    measure_errors,
    measure_neighbours,
)
from genrec.semantic_ids.health import Health
from genrec.semantic_ids.quantizer import Method
from genrec.semantic_ids.semantic_ids import SemanticIds
from genrec.semantic_ids.vectors import Vectors

__all__ = ["DescribedBy", "Inspection", "inspect_ids"]

LEAST_ABOVE_CHANCE = 0.05
"""Of what lies between chance and always, for neighbours that share their first code."""
LEAST_RATIO = 1.1
"""To what is random, for items that belong together."""
ENOUGH_BY_CHANCE = 100
"""Pairs that belong together at random, at least; with fewer, a ratio may be high by chance."""
NO_ORDER = (
    "the codes of product quantisation are parts without an order: a prefix is a choice of parts, "
    "and the first code says no more than the last"
)


@dataclass(frozen=True, kw_only=True)
class DescribedBy:
    """The vectors that errors and neighbours were measured on."""

    what: str
    """Which they are, in words."""
    num_items: int
    """Measured; of very many items a sample."""
    reproduced: float
    """Share of them whose nearest codes, searched anew, are the stored ones."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The state of a set of Semantic IDs. None: it needs something that was not given."""

    health: Health
    """What the codes and the vectors say; `alarms` there are those of the codes alone."""
    prefixes: tuple[PrefixSizes, ...]
    vectors: DescribedBy | None
    errors: tuple[LevelError, ...] | None
    neighbours: Neighbours | None
    categories: CategoryAgreement | None
    co_occurrence: CoOccurrenceAgreement | None
    examples: tuple[Example, ...] | None
    notes: tuple[str, ...]
    """What was done differently from what was asked for, and what to know when reading this."""
    not_measured: tuple[str, ...]
    """What is None, and what to give."""
    alarms: tuple[str, ...]
    """What is wrong and what to try, a sentence each, those of `health` first."""

    def to_json(self) -> dict[str, Any]:
        """JSON values: the fields of the health, beside them all others."""
        tree: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # lists instead of tuples
        return {**tree.pop("health"), **tree}


def inspect_ids(
    ids: SemanticIds,
    *,
    catalogue: Catalogue | None = None,
    categories: Categories | None = None,
    content: Vectors | None = None,
    train: Histories | None = None,
    collaborative: ItemEmbeddings | None = None,
    seed: int = 0,
) -> Inspection:
    """Measures what can be measured with what is given.

    Args:
        ids: of N items.
        catalogue: of the same items, for titles.
        categories: of the same items.
        content: float32 [N, D], the content vectors that the ids were made from.
        train: the histories that models may learn from.
        collaborative: the collaborative vectors that the ids were made from, where these were
            handed over; else they are learnt again from `train`.
        seed: of the draws of pairs and examples.

    Raises:
        InputError: the catalogue or the vectors are of another number of items.
    """
    for name, given in (("the catalogue", catalogue), ("the content", content)):
        if given is not None and len(given) != len(ids.codes):
            raise InputError(
                f"{name} has {len(given)} items, the Semantic IDs {len(ids.codes)}; give the one "
                "that they were made from"
            )
    found = find_described(ids, content, train, collaborative)
    fidelity = _fidelity(ids, found, seed)
    agreement = None
    if categories is not None:
        agreement = measure_categories(ids.codes, categories, seed=seed)
    co_occurrence = None if train is None else _co_occurrence(ids, train)
    examples = None if catalogue is None else choose_examples(ids.codes, catalogue, seed=seed)
    return Inspection(
        health=ids.health,
        prefixes=measure_prefixes(ids.codes),
        **fidelity,
        categories=agreement,
        co_occurrence=co_occurrence,
        examples=examples,
        notes=(*ids.notes, *((NO_ORDER,) if ids.config.method is Method.OPQ else ())),
        not_measured=_not_measured(catalogue, categories, content, found, train),
        alarms=(
            *ids.health.alarms,
            *_error_alarms(fidelity["errors"]),
            *_neighbour_alarms(fidelity["neighbours"]),
            *_category_alarms(agreement),
            *_co_occurrence_alarms(co_occurrence),
        ),
    )


class _Fidelity(TypedDict):
    vectors: DescribedBy | None
    errors: tuple[LevelError, ...] | None
    neighbours: Neighbours | None


def _fidelity(ids: SemanticIds, found: Described | None, seed: int) -> _Fidelity:
    if found is None:
        return _Fidelity(vectors=None, errors=None, neighbours=None)
    codes, native_codes = ids.codes[found.rows], ids.native_codes[found.rows]
    return _Fidelity(
        vectors=DescribedBy(
            what=found.what, num_items=len(found.rows), reproduced=found.reproduced
        ),
        errors=measure_errors(ids.quantizer, found.vectors, native_codes),
        neighbours=measure_neighbours(ids.quantizer, found.vectors, codes, seed=seed),
    )


def _co_occurrence(ids: SemanticIds, train: Histories) -> CoOccurrenceAgreement | None:
    window = CoOccurrenceConfig().window
    counts = pair_counts(train, len(ids.codes), window)
    return measure_co_occurrence(ids.codes, counts, window=window)


def _not_measured(
    catalogue: Catalogue | None,
    categories: Categories | None,
    content: Vectors | None,
    found: Described | None,
    train: Histories | None,
) -> tuple[str, ...]:
    missing = []
    if found is None and content is None:
        missing.append("errors and neighbours: give the content vectors (--embeddings)")
    elif found is None:
        missing.append(
            "errors and neighbours: the vectors given do not lead to these codes; give "
            "those that the ids were made from (--embeddings)"
        )
    if catalogue is None:
        missing.append("categories and examples: give the data (--data)")
    elif categories is None:
        columns = ", ".join(catalogue.attributes) or "no attributes"
        missing.append(
            f"categories: the catalogue has none of the columns {', '.join(CATEGORY_COLUMNS)}; "
            f"name another (--category); it has {columns}"
        )
    if train is None:
        missing.append("co-occurrence: give the data (--data)")
    return tuple(missing)


def _error_alarms(errors: Sequence[LevelError] | None) -> list[str]:
    if not errors or errors[-1].error <= errors[-1].pca_error:
        return []
    last = errors[-1]
    return [
        f"{last.num_levels} codes lose {last.error:.1%} of the vectors' variance, "
        f"{last.num_levels} principal components {last.pca_error:.1%}; try another --method, or "
        "more epochs"
    ]


def _neighbour_alarms(neighbours: Neighbours | None) -> list[str]:
    if neighbours is None or neighbours.random_first_code == 1:
        return []
    chance = neighbours.random_first_code
    if (neighbours.same_first_code - chance) / (1 - chance) >= LEAST_ABOVE_CHANCE:
        return []
    return [
        f"{neighbours.same_first_code:.1%} of an item's nearest neighbours share its first code, "
        f"{chance:.1%} would by chance: first codes do not follow the vectors; make the ids again"
    ]


def _category_alarms(agreement: CategoryAgreement | None) -> list[str]:
    if agreement is None or not _no_better_than_chance(agreement.levels):
        return []
    first, column = agreement.levels[0], agreement.column
    return [
        f"{first.share:.1%} of the pairs with one first code share one of the {column}, "
        f"{first.random:.1%} of random pairs do: codes do not follow the {column}; look at what "
        "the vectors were made from"
    ]


def _co_occurrence_alarms(agreement: CoOccurrenceAgreement | None) -> list[str]:
    if agreement is None or not _no_better_than_chance(agreement.levels):
        return []
    first = agreement.levels[0]
    return [
        f"{first.share:.1%} of the items that people have close after each other share their first "
        f"code, {first.random:.1%} would by chance: codes do not follow what people do; try "
        "--inputs fused"
    ]


def _no_better_than_chance(levels: Sequence[PrefixAgreement]) -> bool:
    if not levels or levels[0].ratio is None:
        return False
    first = levels[0]
    if first.num_pairs * first.random < ENOUGH_BY_CHANCE:
        return False
    # Where chance is high already, no ratio can be.
    return levels[0].ratio < min(LEAST_RATIO, 1 + 0.5 * (1 / first.random - 1))
