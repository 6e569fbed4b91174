"""Shows how sound Semantic IDs are and what they mean: figures, alarms, examples, a picture."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from genrec import artifacts, console
from genrec.embeddings import ItemEmbeddings
from genrec.errors import InputError
from genrec.interactions import Histories, InteractionDataset
from genrec.retrieval import TWO_TOWER_KIND, read_item_vectors
from genrec.semantic_ids import (
    Health,
    Inspection,
    PrefixAgreement,
    SemanticIds,
    categories_of,
    find_data,
    find_embeddings,
    find_parent,
    ids_picture_page,
    inspect_ids,
    training_histories,
)

logger = logging.getLogger("genrec.tokenizer.inspection")

LONGEST_TITLE = 70


def inspect(
    ids: Annotated[Path, typer.Argument(help="A folder of Semantic IDs, as RUN/semantic_ids.")],
    data: Annotated[
        Path | None,
        typer.Option(help="The data that they were made from; RUN/data beside them if left out."),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="The items' content vectors; RUN/embeddings beside them if left out."),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(
            help="The catalogue's column of categories; categories, genres or category if left out."
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Draw the tree of the first two codes, too."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Shows how sound the IDs of a folder are and what they mean; alarms say what to try."""
    if picture is not None and not picture.absolute().parent.is_dir():
        raise InputError(f"--picture {picture}: there is no folder {picture.absolute().parent}")
    loaded = SemanticIds.load(ids)
    data, embeddings = find_data(ids, data), find_embeddings(ids, embeddings)
    dataset = None if data is None else InteractionDataset.load(data)
    if category is not None and dataset is None:
        raise InputError(f"--category {category} needs the data; give --data")
    two_tower = find_parent(ids, "two_tower", kind=TWO_TOWER_KIND)
    catalogue = None if dataset is None else dataset.catalogue
    categories = None if catalogue is None else categories_of(catalogue, category)
    content = None
    if embeddings is not None:
        content = ItemEmbeddings.load(embeddings, num_items=len(loaded.codes)).vectors
    found = inspect_ids(
        loaded,
        catalogue=catalogue,
        categories=categories,
        content=content,
        train=None if dataset is None else _training(ids, dataset),
        collaborative=None if two_tower is None else read_item_vectors(two_tower),
    )
    if as_json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        show(found)
    if picture is not None:
        name = str(ids) if dataset is None else dataset.name
        page = ids_picture_page(loaded, name=name, catalogue=catalogue, categories=categories)
        artifacts.write_page(picture, page)
        if not as_json:
            console.say(f"wrote {picture}")


def show(found: Inspection) -> None:
    """Prints everything of an inspection: tables, sentences, examples, alarms."""
    show_levels(found.health)
    console.show(_prefix_table(found))
    if found.categories:
        each = found.categories
        console.say(
            f"same category: of pairs with the same first codes, those that share one of the "
            f"{each.column} that at most {each.most_common:.0%} of the items have "
            f"({each.num_counted} of {each.num_categories}; {each.num_items:,} items have one)"
        )
    if found.co_occurrence:
        console.say(
            f"follow each other: of items within {found.co_occurrence.window} training events of "
            "one person, nearer ones counting more, those with the same first codes; ids that "
            "learn from histories have seen these"
        )
    if found.vectors:
        console.say(
            f"measured on {found.vectors.what} of {found.vectors.num_items:,} items, which lead to "
            f"{found.vectors.reproduced:.1%} of the codes again; PCA keeps as many components as "
            "there are codes, each in as many bits"
        )
    _say_neighbours(found)
    for line in _examples(found):
        console.say(line)
    for missing in found.not_measured:
        console.say(f"not measured: {missing}")
    _say_judgement(found.notes, found.alarms)


def show_health(ids: SemanticIds) -> None:
    """Prints what the codes alone say of new ids."""
    show_levels(ids.health)
    _say_judgement(ids.notes, ids.health.alarms)


def show_levels(health: Health) -> None:
    """Prints how the codes of each level are used, collisions, and what is kept of the vectors."""
    table = _table("level", "codes used", "share", "perplexity", "dead")
    for number, level in enumerate(health.levels, 1):
        table.add_row(
            str(number),
            f"{level.used} of {level.size}",
            f"{level.use:.1%}",
            f"{level.perplexity:.0f}",
            str(level.dead),
        )
    console.show(table)
    console.say(
        f"{health.num_items:,} items; {health.native_collision_rate:.2%} native collisions, "
        f"{health.collisions} after {health.num_changed:,} item(s) took a code that is not the "
        f"nearest ({health.num_moved:,} of them left a full prefix)"
    )
    line = f"variance explained: {health.explained_variance:.1%}"
    if health.latents:
        line += (
            f"; latents vary in {health.latents.directions:.1f} of {health.latents.width} "
            f"directions, vectors in {health.latents.vector_directions:.0f}"
        )
    console.say(line)


def _say_judgement(notes: Sequence[str], alarms: Sequence[str]) -> None:
    for note in notes:
        console.say(f"note: {note}")
    for alarm in alarms:
        console.say(f"ALARM: {alarm}")
    if not alarms:
        console.say("no alarm")


def _training(ids: Path, dataset: InteractionDataset) -> Histories | None:
    try:
        return training_histories(ids, dataset)
    except InputError as error:
        logger.warning("co-occurrence is not measured: %s", error)
        return None


def _prefix_table(found: Inspection) -> Table:
    """One row for each number of first codes: what they keep, and what stands under them."""
    table = _table(
        "first codes", "error", "PCA", "prefixes", "items: median", "95 %", "most", "alone",
        "same category", "× random", "follow each other", "× random",
    )  # fmt: skip
    categories = {} if found.categories is None else _by_length(found.categories.levels)
    followed = {} if found.co_occurrence is None else _by_length(found.co_occurrence.levels)
    for number, sizes in enumerate(found.prefixes):
        error = pca = "–"
        if found.errors:
            each = found.errors[number]
            error, pca = f"{each.error:.1%}", f"{each.pca_error:.1%}"
        table.add_row(
            str(sizes.length),
            error,
            pca,
            f"{sizes.num_prefixes:,}",
            f"{sizes.median:.0f}",
            f"{sizes.p95:.0f}",
            f"{sizes.most:,}",
            f"{sizes.alone:.1%}",
            *_cells(categories.get(sizes.length)),
            *_cells(followed.get(sizes.length)),
        )
    return table


def _by_length(levels: tuple[PrefixAgreement, ...]) -> dict[int, PrefixAgreement]:
    return {level.length: level for level in levels}


def _cells(agreement: PrefixAgreement | None) -> tuple[str, str]:
    if agreement is None:
        return "–", "–"
    ratio = "–" if agreement.ratio is None else f"{agreement.ratio:,.1f}"
    return f"{100 * agreement.share:.3g}%", ratio


def _say_neighbours(found: Inspection) -> None:
    if found.neighbours is None:
        return
    each = found.neighbours
    console.say(
        f"the {each.num_neighbours} nearest neighbours of {each.num_queries:,} items: "
        f"{each.same_first_code:.1%} share the first code (random {each.random_first_code:.1%}), "
        f"{each.kept:.1%} are among the nearest by ids (random {each.random_kept:.1%})"
    )


def _examples(found: Inspection) -> list[str]:
    """Each example's codes and title, and below it what begins with the same codes."""
    lines = []
    for example in found.examples or ():
        codes = "-".join(str(code) for code in example.codes)
        lines.append(f"{codes}  {_short(example.title or example.item_id)}")
        if example.num_mates:
            count = f"{example.num_mates} other{'s' if example.num_mates > 1 else ''}"
            first = f"first {example.num_shared} codes" if example.num_shared > 1 else "first code"
            lines.append(f"    shares its {first} with {count}:")
            lines += [f"      {_short(mate)}" for mate in example.mates]
        else:
            lines.append("    shares its first code with no other")
    return lines


def _short(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"


def _table(*columns: str) -> Table:
    table = Table(*columns)
    for column in table.columns:
        column.justify = "right"
    return table
