"""The three modes of the generator, each against its definition."""

from __future__ import annotations

import time

import pytest
import torch

from genrec.errors import DeadlineExceededError, InputError
from genrec.generator import GenerativeRecommender, GeneratorSource, Mode
from genrec.interactions import NO_ITEM, Histories, RequestBatch
from genrec.kernels import Backend

REQUESTS = RequestBatch.from_histories(
    Histories.from_lists([[3, 1, 4, 1, 5], [9, 2], [], list(range(30))])
).without_seen()


def test_generative_reads_nothing_of_the_dense_head(model: GenerativeRecommender) -> None:
    before = GeneratorSource(model, Mode.GENERATIVE).recommend(REQUESTS, 5)
    with torch.no_grad():
        model.log_scales[0] += 1.0
    after = GeneratorSource(model, Mode.GENERATIVE).recommend(REQUESTS, 5)
    assert torch.equal(before.item_index, after.item_index)
    assert torch.equal(before.score, after.score)


def test_dense_ranks_by_the_dense_softmax(model: GenerativeRecommender) -> None:
    answer = GeneratorSource(model, Mode.DENSE).recommend(REQUESTS, 60)
    assert REQUESTS.permitted is not None
    assert (answer.item_index[3] != NO_ITEM).sum() == 30
    everything = GeneratorSource(model, Mode.DENSE).recommend(
        RequestBatch.from_histories(Histories.from_lists([[3, 1]])), 60
    )
    assert everything.score.exp().sum().item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("weight", "like"), [(1.0, Mode.GENERATIVE), (0.0, Mode.DENSE)])
def test_combined_at_either_end_is_one_of_its_parts(
    model: GenerativeRecommender, weight: float, like: Mode
) -> None:
    model.config.combination_weight = weight
    combined = GeneratorSource(model, Mode.COMBINED, num_beams=60).recommend(REQUESTS, 5)
    part = GeneratorSource(model, like, num_beams=60).recommend(REQUESTS, 5)
    assert torch.equal(combined.item_index, part.item_index)
    torch.testing.assert_close(combined.score, part.score, atol=1e-4, rtol=1e-4)


def test_both_scores_of_the_union_are_exact(model: GenerativeRecommender) -> None:
    union = GeneratorSource(model, Mode.COMBINED, num_beams=4).scored_union(REQUESTS)
    truth = GeneratorSource(model, Mode.COMBINED, num_beams=60).scored_union(REQUESTS)
    for row in range(4):
        exact = {
            item: (generative, dense)
            for item, generative, dense in zip(
                truth.item_index[row].tolist(),
                truth.generative[row].tolist(),
                truth.dense[row].tolist(),
                strict=True,
            )
        }
        items = [item for item in union.item_index[row].tolist() if item != NO_ITEM]
        assert len(set(items)) == len(items) >= 4
        for column, item in enumerate(union.item_index[row].tolist()):
            if item != NO_ITEM:
                found = (union.generative[row, column].item(), union.dense[row, column].item())
                assert found == pytest.approx(exact[item], abs=1e-3)


def test_combined_weighs_what_followed_the_history(model: GenerativeRecommender) -> None:
    """Item 7 followed item 1 in training; nothing else ever followed anything."""
    model.config.num_followers = 1
    model.followers = torch.full((60, 1), NO_ITEM, dtype=torch.int32)
    model.follower_strengths = torch.zeros(60, 1)
    model.followers[1, 0], model.follower_strengths[1, 0] = 7, 0.4
    requests = RequestBatch.from_histories(Histories.from_lists([[3, 1], [3, 2]]))
    source = GeneratorSource(model, Mode.COMBINED, num_beams=2)
    union = source.scored_union(requests)
    assert 7 in union.item_index[0].tolist()  # though neither beams nor dense head found it
    assert torch.equal(union.followed[0] == 0, union.item_index[0] == 7)
    assert (union.followed[1] == 0).all()
    model.config.follower_weight = 100.0
    assert source.recommend(requests, 1).item_index[0].tolist() == [7]
    forbidden = source.recommend(requests.without_seen(), 1)
    assert forbidden.item_index[0].tolist() == [7]
    model.config.follower_weight = 0.0
    assert source.recommend(requests, 1).item_index[0].tolist() != [7]


@pytest.mark.parametrize("mode", Mode)
def test_the_answer_says_by_what_it_was_made(model: GenerativeRecommender, mode: Mode) -> None:
    source = GeneratorSource(model, mode, num_beams=4)
    assert source.backend is Backend.TORCH
    assert source.recommend(REQUESTS, 5).backend == Backend.TORCH


def test_a_deadline_in_the_past_is_seen(model: GenerativeRecommender) -> None:
    for mode in (Mode.GENERATIVE, Mode.COMBINED):
        with pytest.raises(DeadlineExceededError):
            GeneratorSource(model, mode).recommend(REQUESTS, 5, deadline=time.perf_counter() - 1.0)


def test_no_beams_is_an_error(model: GenerativeRecommender) -> None:
    with pytest.raises(InputError, match="num_beams must be at least 1"):
        GeneratorSource(model, Mode.GENERATIVE, num_beams=0)
