"""The in-batch softmax against a computation by hand."""

from __future__ import annotations

import math

import pytest
import torch

from genrec.retrieval import in_batch_softmax_loss


def loss_of(target: list[int], user: list[int], frequency: list[float]) -> float:
    """Of unit vectors along the axes, temperature one half."""
    user_vector = torch.eye(3)
    item_vector = torch.tensor([[0.8, 0.6, 0.0], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])
    loss = in_batch_softmax_loss(
        user_vector,
        item_vector,
        target=torch.tensor(target),
        user=torch.tensor(user),
        log_frequency=torch.log(torch.tensor(frequency)),
        temperature=0.5,
    )
    return float(loss)


def test_the_loss_is_the_softmax_of_the_cosine_over_temperature_less_log_q() -> None:
    q = [0.5, 0.3, 0.2]
    cosine = [[0.8, 0.0, 0.6], [0.6, 1.0, 0.0], [0.0, 0.0, 0.8]]
    expected = 0.0
    for row in range(3):
        terms = [math.exp(cosine[row][j] / 0.5) / q[j] for j in range(3)]
        expected -= math.log(terms[row] / sum(terms)) / 3
    assert loss_of([7, 8, 9], [0, 1, 2], q) == pytest.approx(expected, rel=1e-6)


def test_accidental_hits_are_no_negatives() -> None:
    terms = [math.exp(0.8 / 0.5), math.exp(0.6 / 0.5)]  # row 0 without column 1, the same item
    rows = [
        -math.log(terms[0] / sum(terms)),
        -math.log(math.exp(2.0) / (math.exp(2.0) + 1.0)),
        -math.log(math.exp(1.6) / (math.exp(1.6) + 2.0)),
    ]
    assert loss_of([7, 7, 9], [0, 1, 2], [1.0] * 3) == pytest.approx(sum(rows) / 3, rel=1e-6)


def test_other_targets_of_the_same_person_are_no_negatives() -> None:
    assert loss_of([7, 8, 9], [5, 5, 5], [0.5, 0.3, 0.2]) == pytest.approx(0.0, abs=1e-6)
