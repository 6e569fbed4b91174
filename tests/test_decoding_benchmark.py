"""The decoding benchmark: what it calls agreement, its catalogues, its table, and a tiny run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import decoding, kernels
from benchmarks.decoding_engines import NaiveEngine
from benchmarks.decoding_figures import Answer, GateError, compare, count_invalid, table, times_of
from benchmarks.decoding_graphs import graphed_rows
from benchmarks.decoding_index import index_rows
from benchmarks.decoding_subjects import Catalogue, Point, subject_of
from genrec.errors import InputError
from genrec.interactions import NO_ITEM
from tests.generator.reruns import Rerun, exempt_cpu_kernels

TINY = Point(items=300, levels=3, codes=16, beam=6, batch=2, history=3)


def answer(*rows: dict[int, float]) -> Answer:
    """One history a dict of scores by item."""
    return Answer(
        item_index=np.array([list(row) for row in rows]),
        score=np.array([list(row.values()) for row in rows], dtype=np.float32),
    )


def test_the_same_answer_agrees() -> None:
    found = answer({4: -1.0, 7: -2.0}, {1: -1.0, 2: -3.0})
    agreement = compare(found, found)
    assert (agreement.overlap, agreement.max_score_diff, agreement.failure) == (1.0, 0.0, None)


def test_the_last_item_may_differ_where_its_score_is_equal() -> None:
    agreement = compare(answer({4: -1.0, 8: -2.00005}), answer({4: -1.0, 7: -2.0}))
    assert agreement.overlap == 0.5
    assert agreement.failure is None


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ({1: -1.0, 9: -2.5}, "row 1: only one engine has item 9 with score -2.5"),
        ({1: -1.0002, 2: -3.0}, "row 1: scores of the same item differ by 2"),
    ],
    ids=["another item", "another score"],
)
def test_a_disagreement_names_its_row(second: dict[int, float], complaint: str) -> None:
    reference = answer({4: -1.0, 7: -2.0}, {1: -1.0, 2: -3.0})
    failure = compare(answer({4: -1.0, 7: -2.0}, second), reference).failure
    assert failure is not None
    assert complaint in failure


def test_a_missing_item_is_a_disagreement() -> None:
    short = answer({4: -1.0, NO_ITEM: -np.inf})
    failure = compare(short, answer({4: -1.0, 7: -2.0, 8: -5.0})).failure
    assert failure is not None
    assert "item 7" in failure


def test_ids_of_no_item_and_items_named_twice_are_invalid() -> None:
    found = Answer(
        item_index=np.array([[3, 3, NO_ITEM, 10, NO_ITEM]]),
        score=np.array([[-1.0, -1.0, -2.0, -3.0, -np.inf]], dtype=np.float32),
    )
    assert count_invalid(found, 10) == 3


def test_times_are_milliseconds() -> None:
    assert times_of([0.003, 0.001, 0.002]) == {
        "p50_ms": 2.0,
        "p99_ms": 2.98,
        "min_ms": 1.0,
        "num_repeats": 3,
    }


@pytest.mark.parametrize("trie", ["uniform", "skewed"])
def test_items_are_found_by_their_codes(trie: str) -> None:
    catalogue = Catalogue(replace(TINY, trie=trie))
    assert len(np.unique(catalogue.codes, axis=0)) == TINY.items
    assert catalogue.items_of(catalogue.codes).tolist() == list(range(TINY.items))
    assert catalogue.items_of(np.array([[16, 0, 0], [-1, 0, 0]])).tolist() == [NO_ITEM, NO_ITEM]


def test_a_skewed_catalogue_uses_some_codes_more() -> None:
    first = np.bincount(Catalogue(replace(TINY, trie="skewed")).codes[:, 0])
    assert first[0] > 3 * first[-1]


def test_prefixes_continue_as_the_catalogue_does() -> None:
    subject = subject_of(TINY)
    following = subject.continuations
    codes = torch.from_numpy(subject.catalogue.codes.astype(np.int64))
    paths = [tuple(path) for path in subject.shape.tokens(codes).tolist()]
    assert sorted(token for prefix in following for token in following[prefix]) == sorted(
        path[-1] for level in range(3) for path in {path[: level + 1] for path in paths}
    )
    assert all(path[level] in following[path[:level]] for path in paths for level in range(3))


@torch.inference_mode()
def test_a_tiny_run_measures_every_engine_and_prints_a_line_a_point() -> None:
    rows = decoding.same_weights(TINY, seconds=0) + decoding.defaults(TINY, seconds=0)
    rows += index_rows([TINY], repeats=20)
    engines = [(row["part"], row["engine"]) for row in rows[:-1]]
    assert engines == [
        *(("same_weights", name) for name in ("genrec", "transformers", "naive")),
        *(("defaults", name) for name in ("genrec", "transformers")),
    ]
    assert all(row["invalid"] == 0 and row["min_ms"] > 0 for row in rows[:-1])
    assert all(row["overlap"] == 1.0 for row in rows[:3])
    assert rows[-1]["bytes_per_node"] > 0
    printed = table(rows).splitlines()
    assert sum(line.startswith(f"| {TINY.label} |") for line in printed) == 2
    assert printed[-1].startswith("| 300 |")


@pytest.mark.parametrize("batch", [1, 2])
@torch.inference_mode()
def test_a_tiny_run_times_graphs_after_they_agreed(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rerun stands for the graph; no operator of the T5's search waits for the host either."""
    exempt_cpu_kernels(monkeypatch)
    point = replace(TINY, batch=batch)
    rows = graphed_rows(
        point,
        decoding.draw_histories(point, 3),
        seconds=0,
        device=torch.device("cpu"),
        capture=lambda _: Rerun(),
    )
    assert [(row["part"], row["engine"], row["clock"]) for row in rows] == [
        ("graphs", "genrec", "host"),
        ("graphs", "t5", "host"),
        ("expand_select", "genrec", "host"),
    ]
    assert {row["device"] for row in rows} == {"cpu"}
    assert all(row["min_ms"] > 0 for row in rows)
    assert all(row["overlap"] == 1.0 and row["invalid"] == 0 for row in rows[:2])
    assert sum(line.startswith(f"| {point.label} |") for line in table(rows).splitlines()) == 3


def test_without_a_gpu_graphs_cannot_be_timed() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="no CUDA device to time graphs on"):
        decoding.benchmark(device=decoding.Device.CUDA)


@torch.inference_mode()
def test_an_engine_that_is_wrong_stops_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    right = NaiveEngine.answer

    def wrong(self: NaiveEngine, question: torch.Tensor) -> Answer:
        found = right(self, question)
        found.score[1] -= 0.01
        return found

    monkeypatch.setattr(NaiveEngine, "answer", wrong)
    with pytest.raises(GateError, match="naive against transformers: row 1"):
        decoding.same_weights(TINY, seconds=0)


def test_kernels_are_timed_where_it_is_asked_and_possible() -> None:
    assert kernels.devices_of("cpu") == ["cpu"]
    assert kernels.devices_of(None)[0] == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no cuda device to time kernels on"):
            kernels.devices_of("cuda")
