"""The three modes of the generator, each against its definition."""

from __future__ import annotations

import time

import pytest
import torch

from genrec.errors import DeadlineExceededError, InputError
from genrec.generator import GenerativeRecommender, GeneratorSource, Mode
from genrec.generator.source import ScoredUnion, mix
from genrec.interactions import NO_ITEM, Histories, RequestBatch
from genrec.kernels import Backend
from genrec.kernels.quantised_linear import QuantisedLinear

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


@pytest.mark.parametrize("mode", Mode)
def test_the_answer_says_by_what_it_was_made(model: GenerativeRecommender, mode: Mode) -> None:
    source = GeneratorSource(model, mode, num_beams=4)
    assert source.recommend(REQUESTS, 5).backend is source.backend is Backend.TORCH


@pytest.mark.parametrize("mode", [Mode.GENERATIVE, Mode.COMBINED])
def test_a_decoder_in_int8_recommends_nearly_the_same(
    model: GenerativeRecommender, mode: Mode
) -> None:
    plain = GeneratorSource(model, mode, num_beams=10).recommend(REQUESTS, 10)
    rounded = GeneratorSource(model, mode, num_beams=10, linear=QuantisedLinear).recommend(
        REQUESTS, 10
    )
    assert not torch.equal(plain.score, rounded.score)
    in_both = (plain.item_index[:, :, None] == rounded.item_index[:, None]).any(-1)
    assert in_both.float().mean() > 0.8


def test_mix_weighs_the_two_log_probabilities() -> None:
    union = ScoredUnion(
        item_index=torch.tensor([[4, 2, NO_ITEM]]),
        generative=torch.tensor([[-1.0, -3.0, 0.0]]),
        dense=torch.tensor([[-5.0, -1.0, 0.0]]),
    )
    assert mix(union, 0.5, 2).item_index.tolist() == [[2, 4]]
    assert mix(union, 0.9, 2).item_index.tolist() == [[4, 2]]
    assert mix(union, 0.5, 3).item_index.tolist() == [[2, 4, NO_ITEM]]


def test_a_deadline_in_the_past_is_seen(model: GenerativeRecommender) -> None:
    for mode in (Mode.GENERATIVE, Mode.COMBINED):
        with pytest.raises(DeadlineExceededError):
            GeneratorSource(model, mode).recommend(REQUESTS, 5, deadline=time.perf_counter() - 1.0)


def test_no_beams_is_an_error(model: GenerativeRecommender) -> None:
    with pytest.raises(InputError, match="num_beams must be at least 1"):
        GeneratorSource(model, Mode.GENERATIVE, num_beams=0)
