"""The int8 benchmark: what it counts, and a run over a tiny trained model."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.int8 import compared, measure_trained, overlap, table
from genrec.generator import Mode


def test_overlap_is_the_share_of_the_first_list_that_the_second_has() -> None:
    assert overlap(torch.tensor([[1, 2, 3, 4]]), torch.tensor([[4, 9, 1, 8]])) == 0.5


def test_both_forms_answer_every_question() -> None:
    asked = [torch.tensor([[number]]) for number in range(5)]
    figures = compared({"float32": lambda each: each, "int8": lambda each: each * 2}, asked)
    assert figures["overlap"] == 1 / 5  # 0 alone is twice itself
    assert figures["time_ratio"] > 0


def test_a_trained_model_is_compared_on_its_own_questions(tiny_run: Path) -> None:
    row = measure_trained(tiny_run, Mode.COMBINED, repeats=2, questions=30)
    assert row["questions"] == 30
    assert row["overlap"] > 0.5
    assert abs(row["recall@10_change"]) <= 0.5
    assert table([row]).row_count == 1
