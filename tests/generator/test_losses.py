"""The full softmax in chunks: its value, its gradients, and what autocast makes of it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.generator.losses import ROWS_AT_ONCE, full_softmax_loss


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
