"""One test for everything that recommends: the contract holds, whatever is inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from genrec.funnel import (
    METHODS,
    DeadlineFunnel,
    LastResort,
    Question,
    Recommender,
    load_sources,
    make_funnel,
)
from genrec.funnel.sources import make_slates
from genrec.generator import (
    GeneratorSource,
    GraphedSource,
    Mode,
    PrefixLimit,
    SlateConfig,
    UserStates,
)
from genrec.generator.sasrec import SasRec, SasRecConfig, SasRecSource
from genrec.generator.tiger import Tiger, TigerSource, TigerTraining
from genrec.interactions import (
    NO_ITEM,
    Histories,
    InteractionDataset,
    Recommendations,
    RequestBatch,
    Source,
)
from genrec.retrieval import ItemItemSource, ease_weights, item_cosines
from tests.generator.reruns import Rerun

K = 5
SCORE_TOLERANCE = 1e-4
FUNNELS_OVER = ("combined", "two_tower_ranked")
UNDER_TEST = (
    *METHODS,
    "last_resort",
    *(f"funnel over {name}" for name in FUNNELS_OVER),
    *(f"slates by {mode}" for mode in Mode),
    "slates of unlike items",
    "kept states",
    *(f"graphs of {mode}" for mode in Mode),
    "sasrec",
    "tiger",
    "item_item",
    "ease",
    "recommender",
)
HISTORIES = [[3, 4], [], [7], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [5] * 70, [1, 0, 1]]


class ThroughTheFace:
    """`Recommender` as a source: item_index to ids and back, permissions as item ids."""

    name = "recommender"

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender.using(repeats="allow")

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        catalogue = self._recommender.dataset.catalogue
        rows = []
        for row in range(len(requests)):
            history = [item for item in requests.item_index[row].tolist() if item != NO_ITEM]
            allowed = _allowed(requests, row, len(catalogue))
            only = None if allowed is None else catalogue.ids(allowed.nonzero()[:, 0].tolist())
            found = self._recommender.recommend(catalogue.ids(history), k=k, only=only)
            items = catalogue.index(item.item_id for item in found).tolist()
            missing = k - len(items)
            rows.append(
                (
                    items + [NO_ITEM] * missing,
                    [item.score for item in found] + [-torch.inf] * missing,
                )
            )
        return Recommendations(
            item_index=torch.tensor([row[0] for row in rows], dtype=torch.int64).view(-1, k),
            score=torch.tensor([row[1] for row in rows]).view(-1, k),
            source=self.name,
        )


@pytest.fixture(scope="module")
def dataset(tiny_run: Path) -> InteractionDataset:
    return InteractionDataset.load(tiny_run / "data")


def graphed(source: Source) -> Source:
    """The same generator as a GPU would answer; a rerun stands for the CUDA graph."""
    assert isinstance(source, GeneratorSource)
    return GraphedSource(
        source.model,
        source.mode,
        num_beams=source.num_beams,
        tables=source.tables,
        capture=Rerun(watched=False),
    )


def with_states(source: Source) -> Source:
    """The same generator, which keeps what it has read."""
    assert isinstance(source, GeneratorSource)
    return GeneratorSource(
        source.model,
        source.mode,
        num_beams=source.num_beams,
        tables=source.tables,
        states=UserStates(source.model),
    )


@pytest.fixture(scope="module")
def every_recommender(tiny_run: Path, dataset: InteractionDataset) -> dict[str, Source]:
    sources = load_sources(tiny_run)
    last_resort = LastResort.of(sources["popularity"], dataset.num_items)
    funnels = {
        f"funnel over {name}": make_funnel(sources, name, last_resort) for name in FUNNELS_OVER
    }
    slates = {f"slates by {mode}": make_slates(sources[mode], SlateConfig()) for mode in Mode}
    face = ThroughTheFace(Recommender(dataset, sources))
    slates["slates of unlike items"] = make_slates(
        sources["combined"], SlateConfig(prefix_limit=PrefixLimit(levels=2, items=100))
    )
    graphs = {f"graphs of {mode}": graphed(sources[mode]) for mode in Mode}
    others: dict[str, Source] = {
        "last_resort": last_resort,
        "recommender": face,
        "kept states": with_states(sources["combined"]),
    }
    return {**sources, **funnels, **slates, **graphs, **controls(dataset), **others}


def controls(dataset: InteractionDataset) -> dict[str, Source]:
    """What is no part of a run: others are compared with it."""
    cosines = item_cosines(dataset.histories, dataset.num_items)
    weights = ease_weights(dataset.histories, dataset.num_items, l2=10.0)
    return {
        "sasrec": SasRecSource(SasRec(dataset.num_items, SasRecConfig(width=16))),
        "tiger": TigerSource(tiger(dataset.num_items)),
        "item_item": ItemItemSource("item_item", cosines, fading=0.8),
        "ease": ItemItemSource("ease", weights),
    }


def tiger(num_items: int) -> Tiger:
    """With fresh weights; an item's codes are the digits of its number."""
    sizes = (num_items // 8 + 1, 8)
    codes = np.stack(np.divmod(np.arange(num_items), 8), axis=1)
    shape = TigerTraining(width=16, num_layers=1, num_heads=2, head_width=8).shape(sizes)
    return Tiger(codes, shape, history=4, seed=0)


@pytest.fixture(params=UNDER_TEST)
def recommender(request: pytest.FixtureRequest, every_recommender: dict[str, Source]) -> Source:
    found: Source = every_recommender[request.param]
    return found


@pytest.fixture
def requests() -> RequestBatch:
    """Short, empty, long, longer than any window, and repeating histories in one batch."""
    return RequestBatch.from_histories(Histories.from_lists(HISTORIES))


def _allowed(requests: RequestBatch, row: int, num_items: int) -> Tensor | None:
    permitted = requests.permitted(num_items)
    return None if permitted is None else permitted.expand(len(requests), num_items)[row]


def _items(found: Recommendations, row: int) -> list[int]:
    return [item for item in found.item_index[row].tolist() if item != NO_ITEM]


def _permitting(requests: RequestBatch, items: Sequence[int], num_items: int) -> RequestBatch:
    permitted = torch.zeros(1, num_items, dtype=torch.bool)
    permitted[0, list(items)] = True
    return replace(requests, allowed=permitted)


def test_lists_have_k_different_items_of_the_catalogue_best_first(
    recommender: Source, requests: RequestBatch, dataset: InteractionDataset
) -> None:
    found = recommender.recommend(requests, K)
    assert found.item_index.shape == found.score.shape == (len(HISTORIES), K)
    assert found.item_index.dtype == torch.int64
    assert found.score.dtype == torch.float32
    assert found.score.isfinite().all()
    assert (found.score.diff(dim=1) <= 0).all()
    for row in range(len(requests)):
        items = _items(found, row)
        assert len(items) == len(set(items)) == K
        assert 0 <= min(items) <= max(items) < dataset.num_items


def test_the_answer_says_who_made_it(recommender: Source, requests: RequestBatch) -> None:
    found = recommender.recommend(requests, K)
    assert found.source == recommender.name
    assert found.source


def test_only_what_is_permitted_is_recommended(
    recommender: Source, requests: RequestBatch, dataset: InteractionDataset
) -> None:
    shared = _permitting(requests, range(0, dataset.num_items, 3), dataset.num_items)
    permitted = torch.rand(
        len(requests), dataset.num_items, generator=torch.Generator().manual_seed(0)
    )
    for asked in (shared, replace(requests, allowed=permitted > 0.5)):
        found = recommender.recommend(asked, K)
        for row in range(len(asked)):
            allowed = _allowed(asked, row, dataset.num_items)
            assert allowed is not None
            assert len(_items(found, row)) == K
            assert allowed[_items(found, row)].all()


def test_seen_items_can_be_masked(
    recommender: Source, requests: RequestBatch, dataset: InteractionDataset
) -> None:
    found = recommender.recommend(requests.without_seen(), K)
    for row, history in enumerate(HISTORIES):
        assert not set(_items(found, row)) & set(history)


def test_a_k_beyond_what_is_permitted_gives_all_of_it_and_pads(
    recommender: Source, requests: RequestBatch, dataset: InteractionDataset
) -> None:
    found = recommender.recommend(_permitting(requests, [2, 9, 30], dataset.num_items), K)
    for row in range(len(requests)):
        assert sorted(_items(found, row)) == [2, 9, 30]
        assert found.item_index[row, 3:].tolist() == [NO_ITEM] * (K - 3)
        assert found.score[row, 3:].tolist() == [-torch.inf] * (K - 3)
        assert found.score[row, :3].isfinite().all()


def test_a_k_beyond_the_catalogue_gives_every_item(
    recommender: Source, requests: RequestBatch, dataset: InteractionDataset
) -> None:
    found = recommender.recommend(requests, dataset.num_items + 4)
    width = found.item_index.shape[1]
    assert width in (dataset.num_items, dataset.num_items + 4)  # padded, or cut to what there is
    for row in range(len(requests)):
        assert sorted(_items(found, row)) == list(range(dataset.num_items))
        assert (found.item_index[row, dataset.num_items :] == NO_ITEM).all()


def test_a_k_of_a_thousand_million_is_answered_by_what_stands_before_a_person(
    recommender: Source, requests: RequestBatch, dataset: InteractionDataset
) -> None:
    if not isinstance(recommender, LastResort | DeadlineFunnel):
        pytest.skip("is asked through a funnel, which cuts k to the catalogue")
    found = recommender.recommend(requests, 10**9)
    assert found.item_index.shape[1] == dataset.num_items


def test_nothing_permitted_gives_empty_lists(
    recommender: Source, requests: RequestBatch, dataset: InteractionDataset
) -> None:
    found = recommender.recommend(_permitting(requests, [], dataset.num_items), K)
    assert (found.item_index == NO_ITEM).all()
    assert (found.score == -torch.inf).all()


def test_the_same_question_has_the_same_answer(recommender: Source, requests: RequestBatch) -> None:
    first, second = (recommender.recommend(replace(requests, seed=7), K) for _ in range(2))
    assert torch.equal(first.item_index, second.item_index)
    assert torch.equal(first.score, second.score)


def test_a_batch_is_answered_as_one_by_one(
    recommender: Source, requests: RequestBatch, dataset: InteractionDataset
) -> None:
    """Items may change places only where their scores are within the tolerance."""
    asked = requests.without_seen()
    batch = recommender.recommend(asked, K)
    for row in range(len(asked)):
        alone = recommender.recommend(asked.rows(row, row + 1), K)
        assert torch.allclose(batch.score[row], alone.score[0], atol=SCORE_TOLERANCE)
        differing = (batch.item_index[row] != alone.item_index[0]).nonzero()[:, 0].tolist()
        for place in differing:
            ties = (batch.score[row] - batch.score[row, place]).abs() <= SCORE_TOLERANCE
            assert ties.sum() > 1 or place == K - 1


def test_one_question_with_an_empty_history_is_answered(recommender: Source) -> None:
    nobody = RequestBatch.from_histories(Histories.from_lists([[]]))
    assert len(_items(recommender.recommend(nobody, K), 0)) == K


def test_no_question_has_no_list(recommender: Source, requests: RequestBatch) -> None:
    found = recommender.recommend(requests.rows(1, 1).without_seen(), K)
    assert found.item_index.shape == found.score.shape == (0, K)


def test_one_item_is_the_first_of_many(recommender: Source, requests: RequestBatch) -> None:
    first = recommender.recommend(requests, 1).item_index[:, 0]
    assert torch.equal(first, recommender.recommend(requests, K).item_index[:, 0])


def test_unknown_items_in_a_history_change_nothing(
    every_recommender: dict[str, Source], dataset: InteractionDataset
) -> None:
    known = dataset.catalogue.ids([3, 4, 5])
    with_unknown = ["no such item", known[0], known[1], "another", known[2]]
    for method in METHODS:
        recommender = Recommender(
            dataset, {name: every_recommender[name] for name in METHODS}, method=method
        )
        answers = [
            recommender.answer(Question(history=history), k=K).items
            for history in (known, with_unknown)
        ]
        assert answers[0] == answers[1]
        assert recommender.counts["unknown-items"] == 2
