"""The softmax over all items, in chunks and sampled: its value, its gradients, autocast."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.generator import GeneratorConfig
from genrec.generator.fitting import GeneratorTraining
from genrec.generator.layers import Dropout
from genrec.generator.losses import (
    ROWS_AT_ONCE,
    ItemSampler,
    Spans,
    default_dense_samples,
    full_softmax_loss,
    full_softmax_loss_and_masses,
    sampled_softmax_loss,
)
from genrec.generator.model import make_model

NUM_ITEMS = 31


def drawn_problem(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    queries = torch.randn(rows, 12, requires_grad=True)
    items = torch.randn(NUM_ITEMS, 12, requires_grad=True)
    return queries, items, torch.randint(0, NUM_ITEMS, (rows,))


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_where_every_item_is_drawn_once_it_is_the_full_softmax(rows: int) -> None:
    queries, items, target = drawn_problem(rows)
    every = torch.randperm(NUM_ITEMS)
    sampled = sampled_softmax_loss(queries, items, target, every, torch.zeros(NUM_ITEMS))
    full = full_softmax_loss(queries, items, target)
    torch.testing.assert_close(sampled, full, atol=1e-5, rtol=1e-5)
    for one, other in zip(
        torch.autograd.grad(sampled, (queries, items)),
        torch.autograd.grad(full, (queries, items)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_with_many_draws_of_unequal_probability_it_comes_to_the_full_softmax() -> None:
    queries, items, target = drawn_problem(40)
    queries, items = queries.detach(), items.detach()
    sampler = ItemSampler(torch.arange(NUM_ITEMS) ** 3)
    full = float(full_softmax_loss(queries, items, target))
    errors = []
    for num_samples in (100, 100_000):
        sampled, log_expected = sampler.draw(num_samples)
        loss = sampled_softmax_loss(queries, items, target, sampled, log_expected)
        errors.append(abs(float(loss) - full))
    assert errors[1] < 0.01
    assert errors[1] < errors[0]
    wrong = float(sampled_softmax_loss(queries, items, target, sampled, torch.zeros(num_samples)))
    assert abs(wrong - full) > 1


def test_items_are_drawn_as_often_as_the_log_of_their_events_says() -> None:
    sampler = ItemSampler(torch.tensor([0, 6, 62]))  # log 2, log 8 and log 64: 1 to 3 to 6
    torch.manual_seed(0)
    sampled, log_expected = sampler.draw(100_000)
    share = torch.bincount(sampled, minlength=3) / 100_000
    torch.testing.assert_close(share, torch.tensor([0.1, 0.3, 0.6]), atol=0.01, rtol=0)
    expected = torch.tensor([10_000.0, 30_000.0, 60_000.0])
    torch.testing.assert_close(log_expected.exp(), expected[sampled])


def test_a_large_catalogue_is_sampled_and_a_small_one_is_not() -> None:
    assert default_dense_samples(100_000) == 0
    assert default_dense_samples(100_001) > 0
    shapes = [
        GeneratorTraining(dense_samples=asked).shape(num_items, (400, 400), 8).dense_samples
        for asked in (None, 0, 17)
        for num_items in (100_000, 100_001)
    ]
    assert shapes == [0, default_dense_samples(100_001), 0, 0, 17, 17]
    with pytest.raises(ValueError, match="dense_samples must be at least 0, got -1"):
        GeneratorConfig(dense_samples=-1)


def test_the_model_trains_on_as_many_items_as_its_configuration_draws() -> None:
    torch.manual_seed(0)
    losses = {}
    for samples in (0, 50_000):
        config = GeneratorConfig(
            num_items=4, codebook_sizes=[2, 2], content_width=3, width=8, num_heads=2,
            dropout=0.0, dense_samples=samples,
        )  # fmt: skip
        torch.manual_seed(0)
        model = make_model(config, codes=torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]))
        output = model(
            torch.tensor([[0, 1]]), torch.tensor([[1, 3]]), torch.empty(0, dtype=torch.int64)
        )
        losses[samples] = output.dense_loss
    torch.testing.assert_close(losses[0], losses[50_000], atol=0.01, rtol=0)
    assert not torch.equal(losses[0], losses[50_000])


def _drawn(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(rows)
    queries = torch.randn(rows, 16, generator=random, requires_grad=True)
    items = torch.randn(30, 16, generator=random, requires_grad=True)
    return queries, items, torch.randint(30, (rows,), generator=random)


@pytest.mark.parametrize("rows", [1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1])
def test_loss_and_gradients_are_those_of_cross_entropy(rows: int) -> None:
    queries, items, target = _drawn(rows)
    loss = full_softmax_loss(queries, items, target)
    expected = F.cross_entropy(queries @ items.T, target)
    assert torch.allclose(loss, expected, rtol=1e-5)
    found = torch.autograd.grad(loss, [queries, items])
    for gradient, wanted in zip(
        found, torch.autograd.grad(expected, [queries, items]), strict=True
    ):
        assert torch.allclose(gradient, wanted, atol=1e-6)


@pytest.mark.parametrize("rows", [0, 1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 1])
def test_masses_are_sums_of_the_softmax_and_change_no_gradient(rows: int) -> None:
    queries, items, target = _drawn(rows)
    row = torch.arange(rows).repeat_interleave(3)
    bounds = torch.tensor([[0, 30], [4, 5], [7, 7]]).repeat(rows, 1)
    some = slice(0, None, 2)  # not every row has as many
    wide = Spans(row=row, first=bounds[:, 0], stop=bounds[:, 1])
    thin = Spans(row=row[some], first=bounds[some, 0], stop=bounds[some, 1])
    loss, masses = full_softmax_loss_and_masses(queries, items, target, [wide, thin])
    softmax = (queries @ items.T).softmax(1).detach()
    expected = torch.stack([softmax.sum(1), softmax[:, 4], torch.zeros(rows)], dim=1).flatten()
    torch.testing.assert_close(masses[0], expected)
    torch.testing.assert_close(masses[1], expected[some])
    assert not any(each.requires_grad for each in masses)
    plain = full_softmax_loss(queries, items, target)
    assert torch.equal(loss, plain)
    for one, other in zip(
        torch.autograd.grad(loss, [queries, items]),
        torch.autograd.grad(plain, [queries, items]),
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["dropout", "item_dropout"])
@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_dropout_that_leaves_nothing_is_refused(name: str, share: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be from 0 to below 1, got {share}"):
        GeneratorTraining(**{name: share})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="well below 1"):
        Dropout(share)


def test_a_model_cannot_be_taught_by_a_sample() -> None:
    with pytest.raises(ValueError, match="taught_share or dense_samples"):
        GeneratorConfig(num_items=10, dense_samples=4, taught_share=0.5)
    with pytest.raises(ValueError, match="taught_share or dense_samples"):
        GeneratorTraining(dense_samples=4, taught_share=0.5)
    assert GeneratorTraining(dense_samples=4).shape(10, (4,), 8).taught_share == 0.0
    assert GeneratorTraining().shape(10, (4,), 8).taught_share > 0


def test_under_autocast_products_are_bfloat16_and_the_softmax_is_not() -> None:
    queries, items, target = _drawn(ROWS_AT_ONCE + 1)
    exact = full_softmax_loss(queries, items, target)
    with torch.autocast("cpu", torch.bfloat16):
        loss = full_softmax_loss(queries, items, target)
    assert loss.dtype == torch.float32
    assert loss != exact
    assert torch.allclose(loss, exact, rtol=5e-3)
    rough = torch.autograd.grad(loss, [queries, items])
    for gradient, wanted in zip(rough, torch.autograd.grad(exact, [queries, items]), strict=True):
        assert gradient.dtype == torch.float32
        assert F.cosine_similarity(gradient.flatten(), wanted.flatten(), dim=0) > 0.999
