"""The benchmark of unseen items: what is held out stays out, and the answers are asked of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import unseen_items
from benchmarks.held_out import HELD_OUT, hold_out, without
from genrec.interactions import Histories


def test_held_out_items_leave_the_histories_and_the_others_keep_their_order() -> None:
    histories = Histories.from_lists([[1, 0, 2], [2], [0, 1]], [[1, 2, 3], [4], [5, 6]])
    found = without(histories, np.array([2, 1]))
    assert [list(items) for items in found] == [[0], [], [0]]
    assert found.event_time.tolist() == [2, 5]


def test_a_share_of_the_items_is_held_out() -> None:
    held, others = hold_out(200, np.random.default_rng(0))
    assert len(held) == round(200 * HELD_OUT)
    assert sorted([*held, *others]) == list(range(200))


def test_new_items_are_asked_for_beside_the_others(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.held_out.RETRIEVER_EPOCHS", 2)
    monkeypatch.setattr("benchmarks.unseen_items.GENERATOR_EPOCHS", 2)
    out = tmp_path / "unseen.json"
    unseen_items.main(["--run", str(tiny_run), "--out", str(out), "--work", str(tmp_path / "work")])
    figures = json.loads(out.read_text())["figures"]
    methods = {"generative", "dense", "combined", "text_knn"}
    assert all(set(found) == methods for found in figures.values())
    new, alone, others = (found["generative"] for found in figures.values())
    assert new["num_people"] == alone["num_people"] > 0
    assert others["num_people"] > new["num_people"]
    # Few items are permitted: each of their lists has nearly all of them.
    assert alone["recall@10"] >= new["recall@10"]
    assert figures["about new items, only they permitted"]["text_knn"]["recall@10"] > 0.9
