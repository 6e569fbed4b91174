"""A catalogue that changes, against a model that is built anew with the items that are in it."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.decoding import PrefixIndex
from genrec.errors import InputError
from genrec.generator import (
    GenerativeRecommender,
    GeneratorConfig,
    GeneratorSource,
    LiveCatalogue,
    Mode,
)
from genrec.generator.followers import borrowed_scores, follower_scores
from genrec.generator.items import ItemTables, node_sums, node_vectors
from genrec.generator.model import make_model
from genrec.generator.source import FOLLOWER_SCALE
from genrec.interactions import NO_ITEM, Histories, Recommendations, RequestBatch

NUM_FIRST, NUM_ALL, NUM_LEVELS, NUM_CODES, WIDTH = 30, 60, 3, 5, 16
DRAWN = np.random.default_rng(0)
CODES = DRAWN.permutation(np.indices((NUM_CODES,) * NUM_LEVELS).reshape(NUM_LEVELS, -1).T)[:NUM_ALL]
CONTENT = DRAWN.normal(size=(NUM_ALL, 8)).astype(np.float32)
CENTRE = CONTENT[:NUM_FIRST].mean(axis=0)


def make(num_items: int) -> GenerativeRecommender:
    """The model of the first items; items from NUM_FIRST on are known to nobody."""
    torch.manual_seed(0)
    config = GeneratorConfig(
        num_items=NUM_ALL,
        codebook_sizes=[NUM_CODES] * NUM_LEVELS,
        content_width=8,
        history=8,
        width=WIDTH,
        num_heads=2,
    )
    whole = make_model(config)
    weights = {
        name: value[:num_items] if value.shape[:1] == (NUM_ALL,) else value
        for name, value in whole.state_dict().items()
    }
    config.num_items = num_items
    model = GenerativeRecommender(config)
    model.load_state_dict(weights)
    unit = torch.nn.functional.normalize(torch.from_numpy(CONTENT[:num_items] - CENTRE), dim=-1)
    model.codes.copy_(torch.from_numpy(CODES[:num_items].astype(np.int32)))
    model.content.copy_(unit)
    model.content_centre.copy_(torch.from_numpy(CENTRE))
    model.known.copy_(torch.arange(num_items) < NUM_FIRST)
    model.train(False)
    return model


def catalogue_of(items: list[int]) -> ItemTables:
    """What a catalogue of these items is when it is built anew."""
    with torch.inference_mode():
        tables = make(NUM_ALL).item_tables()
        index = PrefixIndex(CODES[items], np.array(items))
        nodes = node_vectors(node_sums(tables.directions, index))
        return replace(tables, nodes=nodes, index=index)


def assert_same(live: ItemTables, anew: ItemTables, items: list[int]) -> None:
    """The vectors of the items and of every prefix above them."""
    wanted = torch.tensor(items)
    torch.testing.assert_close(live.items[wanted], anew.items[wanted], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(live.directions[wanted], anew.directions[wanted], atol=1e-6, rtol=0)
    paths = live.index.path_of(wanted), anew.index.path_of(wanted)
    for level in range(NUM_LEVELS):
        ours, theirs = live.nodes[level][paths[0][:, level]], anew.nodes[level][paths[1][:, level]]
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def add_next(live: LiveCatalogue, count: int) -> None:
    """The next items of the list."""
    first = live.tables.num_items
    rows = slice(first, first + count)
    assert live.add(CODES[rows], CONTENT[rows]).tolist() == list(range(first, first + count))


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.one_of(st.integers(1, 3), st.sampled_from([-1, -2]), st.just(0)), max_size=12
    ),
    room=st.sampled_from([1, 100]),
)
def test_it_is_what_one_built_anew_is(steps: list[int], room: int) -> None:
    """Steps add so many items, remove the first that is left, or (0) compact."""
    live, there = LiveCatalogue(make(NUM_FIRST), room=room), list(range(NUM_FIRST))
    for step in steps:
        if step > 0 and live.tables.num_items + step <= NUM_ALL:
            there += range(live.tables.num_items, live.tables.num_items + step)
            add_next(live, step)
        elif step < 0:
            live.remove(np.array([there.pop(0)]))
        else:
            live.compact()
            assert live.num_changes == 0
    assert_same(live.tables, catalogue_of(there), there)


def test_residuals_of_prefixes_outlive_changes_and_compaction() -> None:
    plain = make(NUM_FIRST)
    config = copy.deepcopy(plain.config)
    assert isinstance(config, GeneratorConfig)
    config.residual_nodes = plain.index.num_nodes
    model = GenerativeRecommender(config)
    model.load_state_dict(plain.state_dict(), strict=False)
    model.train(False)
    assert model.node_residuals is not None
    torch.nn.init.normal_(model.node_residuals.weight, std=3.0)
    with torch.inference_mode():
        wanted = model.item_tables()
        assert not torch.allclose(wanted.nodes[0], plain.item_tables().nodes[0], atol=0.1)
    live, items = LiveCatalogue(model, room=1), list(range(NUM_FIRST))
    assert_same(live.tables, wanted, items)
    add_next(live, 10)
    live.compact()
    live.remove(np.arange(NUM_FIRST, NUM_FIRST + 10))
    live.compact()
    assert_same(live.tables, wanted, items)


def test_an_item_that_came_follows_what_its_relatives_follow() -> None:
    config = copy.deepcopy(make(NUM_FIRST).config)
    assert isinstance(config, GeneratorConfig)
    config.num_followers = 5
    model = GenerativeRecommender(config)
    model.train(False)
    model.codes.copy_(make(NUM_FIRST).codes)
    model.followers.copy_(torch.from_numpy(DRAWN.integers(0, NUM_FIRST, (NUM_FIRST, 5))))
    model.follower_strengths.uniform_(0.1, 1.0)
    live = LiveCatalogue(model)
    add_next(live, 10)
    relatives = live.tables.added_relatives
    assert relatives is not None
    source = GeneratorSource(model, Mode.COMBINED, num_beams=NUM_ALL, tables=live)
    asked = RequestBatch.from_histories(Histories.from_lists([[3, 1], [NUM_FIRST, 2]]))
    union = source.scored_union(asked)
    scores = follower_scores(
        model.followers, model.follower_strengths, asked.item_index, NUM_FIRST + 10
    )
    scores[:, NUM_FIRST:] = borrowed_scores(scores, relatives)
    assert (scores[:, NUM_FIRST:] > 0).any()
    expected = torch.log1p(scores / FOLLOWER_SCALE)
    expected -= expected.amax(1, keepdim=True)
    there = union.item_index != NO_ITEM
    found = torch.zeros_like(expected).scatter(1, union.item_index.clamp(min=0), union.followed)
    assert there.sum(1).tolist() == [NUM_FIRST + 10] * 2
    torch.testing.assert_close(found, expected)


def test_tables_that_were_taken_before_stay_as_they_were() -> None:
    live = LiveCatalogue(make(NUM_FIRST), room=1)
    before = live.tables
    copies = [each.clone() for each in (before.items, *before.nodes)]
    add_next(live, 20)
    live.remove(np.arange(10))
    assert before.num_items == NUM_FIRST
    for kept, copied in zip((before.items, *before.nodes), copies, strict=True):
        assert torch.equal(kept, copied)


def test_what_came_before_an_item_that_cannot_come_is_in() -> None:
    live = LiveCatalogue(make(NUM_FIRST))
    codes = np.stack([CODES[NUM_FIRST], CODES[0], CODES[NUM_FIRST + 1]])
    with pytest.raises(InputError, match="item 0 has the codes"):
        live.add(codes, CONTENT[:3])
    assert live.tables.num_items == NUM_FIRST + 1
    with pytest.raises(InputError, match="no item 99"):
        live.remove(np.array([99]))
    with pytest.raises(InputError, match=r"content \[n, 8\], got \[1, 3\] and \[1, 5\]"):
        live.add(CODES[:1], np.zeros((1, 5), dtype=np.float32))
    for unknown in (-1, NUM_FIRST + 1, 5_000_000):  # beyond all room, too
        with pytest.raises(InputError, match=f"no item {unknown} to remove"):
            live.remove(np.array([unknown]))


@pytest.mark.parametrize(
    ("codes", "value", "message"),
    [
        ([0, 0, NUM_CODES], 1.0, r"codes of row 1, \[0, 0, 5\], are outside"),
        ([0, -1, 0], 1.0, r"codes of row 1, \[0, -1, 0\], are outside"),
        (CODES[NUM_FIRST + 1], np.nan, "content of row 1 has NaN"),
        (CODES[NUM_FIRST + 1], np.inf, "content of row 1 has NaN"),
    ],
)
def test_what_no_item_can_have_is_refused_and_answers_stay(
    codes: list[int], value: float, message: str
) -> None:
    live = LiveCatalogue(make(NUM_FIRST))
    before = live.tables
    content = CONTENT[NUM_FIRST : NUM_FIRST + 2].copy()
    content[1, 3] = value
    with pytest.raises(InputError, match=message):
        live.add(np.stack([CODES[NUM_FIRST], codes]), content)
    assert live.tables is before


def ask(
    tables: ItemTables | LiveCatalogue, mode: Mode, *, allowed: torch.Tensor | None = None
) -> Recommendations:
    """Every item that a source lists for two people, one of whom has an item that came later."""
    source = GeneratorSource(make(NUM_ALL), mode, num_beams=NUM_ALL, tables=tables)
    requests = RequestBatch.from_histories(Histories.from_lists([[3, 1], [NUM_FIRST, 2]]))
    return source.recommend(replace(requests, allowed=allowed), NUM_ALL)


@pytest.mark.parametrize("mode", list(Mode))
def test_answers_are_those_of_a_catalogue_built_anew(mode: Mode) -> None:
    live, gone = LiveCatalogue(make(NUM_FIRST)), [1, 5, NUM_FIRST + 3]
    add_next(live, 20)
    live.remove(np.array(gone))
    there = [item for item in range(NUM_FIRST + 20) if item not in gone]
    anew = catalogue_of(there)
    missing = torch.ones(NUM_ALL, dtype=torch.bool)
    missing[there] = False
    found, expected = ask(live, mode), ask(replace(anew, gone=missing), mode)
    torch.testing.assert_close(found.score[:, : len(there)], expected.score[:, : len(there)])
    assert torch.equal(found.item_index[:, : len(there)], expected.item_index[:, : len(there)])
    assert (found.item_index[:, len(there) :] == NO_ITEM).all()


@pytest.mark.parametrize("built", ["grown", "compacted", "anew"])
def test_both_scores_of_narrow_beams_are_those_of_all(built: str) -> None:
    """Paths are scored where lists of children are in no order, and where item 0 is gone."""
    live = LiveCatalogue(make(NUM_FIRST))
    add_next(live, 20)
    live.remove(np.array([0, 1, 5]))
    if built == "compacted":
        live.compact()
    there = [item for item in range(2, NUM_FIRST + 20) if item != 5]
    tables = replace(catalogue_of(there), gone=torch.zeros(NUM_ALL, dtype=torch.bool))
    missing = [item for item in range(NUM_ALL) if item not in there]
    assert tables.gone is not None
    tables.gone[missing] = True
    requests = RequestBatch.from_histories(Histories.from_lists([[3, 1], [NUM_FIRST, 2]]))
    narrow, truth = (
        GeneratorSource(
            make(NUM_ALL),
            Mode.COMBINED,
            num_beams=num_beams,
            tables=tables if built == "anew" else live,
        ).scored_union(requests)
        for num_beams in (4, NUM_ALL)
    )
    for row, items in enumerate(narrow.item_index.tolist()):
        exact = dict(zip(truth.item_index[row].tolist(), truth.generative[row], strict=True))
        for column, item in enumerate(items):
            if item != NO_ITEM:
                torch.testing.assert_close(narrow.generative[row, column], exact[item])


@pytest.mark.parametrize("mode", list(Mode))
def test_a_filter_made_before_an_item_came_does_not_allow_it(mode: Mode) -> None:
    live = LiveCatalogue(make(NUM_FIRST))
    add_next(live, 5)
    found = ask(live, mode, allowed=torch.ones(1, NUM_FIRST, dtype=torch.bool)).item_index
    assert found.max() < NUM_FIRST
    assert (found[:, NUM_FIRST:] == NO_ITEM).all()


def test_changes_that_come_while_it_is_compacted_are_kept() -> None:
    live = LiveCatalogue(make(NUM_FIRST), room=4)
    compacting = [
        threading.Thread(target=lambda: [live.compact() for _ in range(20)]) for _ in range(2)
    ]
    for each in compacting:
        each.start()
    while live.tables.num_items < NUM_ALL:
        add_next(live, 1)
    live.remove(np.array([2, NUM_ALL - 1]))
    for each in compacting:
        each.join()
    there = [item for item in range(NUM_ALL) if item not in (2, NUM_ALL - 1)]
    assert_same(live.tables, catalogue_of(there), there)
