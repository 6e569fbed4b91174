"""The curve of a training: a line an epoch, the best one marked, nothing left out."""

from __future__ import annotations

from genrec.evaluation import curve_table
from genrec.training import FitResult

RESULT = FitResult(
    best_epoch=2,
    best_metrics={"ndcg@10": 0.4},
    curve=[
        {"epoch": 1, "loss": 9.5, "ndcg@10": 0.1, "seconds": 60.0},
        {"epoch": 2, "loss": 8.0, "ndcg@10": 0.4, "seconds": 3720.0},
        {"epoch": 3, "loss": 7.0, "ndcg@10": 0.2, "seconds": 3780.0},
    ],
    train_seconds=3780.0,
)


def columns(result: FitResult) -> dict[str, list[str]]:
    table = curve_table(result, "ndcg@10")
    return {str(column.header): [str(cell) for cell in column.cells] for column in table.columns}


def test_every_epoch_has_its_figures_and_a_bar_in_proportion() -> None:
    shown = columns(RESULT)
    assert shown["epoch"] == ["1", "2", "3"]
    assert shown["loss"] == ["9.5", "8", "7"]
    assert shown["seconds"] == ["0:01:00", "1:02:00", "1:03:00"]
    assert shown["by ndcg@10"] == ["████", "████████████████ best", "████████"]


def test_the_best_epoch_alone_is_bold() -> None:
    assert [row.style for row in curve_table(RESULT, "ndcg@10").rows] == [None, "bold", None]


def test_a_training_without_validation_has_no_bars() -> None:
    curve = [{"epoch": 1, "loss": 9.5, "seconds": 60.0}]
    result = FitResult(best_epoch=1, best_metrics={}, curve=curve, train_seconds=60.0)
    assert list(columns(result)) == ["epoch", "loss", "seconds"]


def test_a_validation_that_found_nothing_is_shown_without_bars() -> None:
    curve = [{"epoch": 1, "loss": 9.5, "ndcg@10": 0.0}]
    result = FitResult(best_epoch=1, best_metrics={"ndcg@10": 0.0}, curve=curve, train_seconds=1.0)
    assert columns(result) == {"epoch": ["1"], "loss": ["9.5"], "ndcg@10": ["0"]}
