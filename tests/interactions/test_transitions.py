"""Transitions against histories that a person can count."""

from __future__ import annotations

import numpy as np

from genrec.interactions import Histories, divided_by_counts, transitions

HISTORIES = Histories.from_lists([[0, 1, 2], [1, 2], [], [2, 2]])


def test_neighbours_count_one_and_the_next_but_one_a_half() -> None:
    expected = [[0, 1, 0.5], [0, 0, 2], [0, 0, 1]]
    assert transitions(HISTORIES, 3, window=2).toarray().tolist() == expected


def test_what_lies_beyond_the_window_or_in_another_history_does_not_count() -> None:
    expected = [[0, 1, 0], [0, 0, 2], [0, 0, 1]]
    assert transitions(HISTORIES, 3, window=1).toarray().tolist() == expected


def test_nobody_gives_an_empty_matrix() -> None:
    assert transitions(Histories.from_lists([[], []]), 4, window=5).nnz == 0


def test_frequent_items_are_divided_down() -> None:
    counts = np.bincount(HISTORIES.item_index, minlength=3)  # 1, 2, 4
    found = divided_by_counts(transitions(HISTORIES, 3, window=1), counts).toarray()
    expected = np.array([[0, 1 / np.sqrt(2), 0], [0, 0, 2 / np.sqrt(8)], [0, 0, 1 / 4]])
    assert np.allclose(found, expected)
    assert found.dtype == np.float32
