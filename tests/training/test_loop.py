"""The training loop: it learns, keeps the best epoch, and goes on exactly where it was stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genrec.errors import ArtifactError, TrainingError
from genrec.training import TrainingConfig, discard_checkpoint, fit
from genrec.training.loop import learning_rate_at


@dataclass
class Output:
    loss: Tensor


class Line(nn.Module):
    """Fits y = 2 x + 1, with dropout so that the random state matters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.hidden = nn.Linear(1, 8)
        self.out = nn.Linear(8, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Output:
        y = self.out(self.dropout(self.hidden(x)))
        return Output(loss=((y - 2 * x - 1) ** 2).mean())


class Points:
    """Ten batches an epoch; may be told to fail at one of them, like a kill would."""

    def __init__(self, fail_at: tuple[int, int] | None = None) -> None:
        self.fail_at = fail_at

    def __len__(self) -> int:
        return 10

    def epoch(self, epoch: int) -> Iterator[dict[str, Tensor]]:
        for batch in range(10):
            if (epoch, batch) == self.fail_at:
                raise KeyboardInterrupt
            generator = torch.Generator().manual_seed(epoch * 100 + batch)
            yield {"x": torch.rand(16, 1, generator=generator)}


CONFIG = TrainingConfig(num_epochs=4, learning_rate=0.05, checkpoint_seconds=1e-9, patience=4)


def train(work_dir: Path, points: Points, config: TrainingConfig = CONFIG) -> tuple[Line, object]:
    model = Line()
    result = fit(model, points, config, validate=None, metric="", work_dir=work_dir, label="line")
    return model, result


def test_the_loss_falls(tmp_path: Path) -> None:
    model = Line()
    result = fit(model, Points(), CONFIG, validate=None, metric="", work_dir=tmp_path, label="line")
    losses = [entry["loss"] for entry in result.curve]
    assert losses[-1] < 0.3 * losses[0]
    assert result.best_epoch == 4
    assert list((tmp_path / "tensorboard").rglob("events*"))


@pytest.mark.parametrize("stop", [(0, 1), (0, 5), (1, 0), (2, 9), (3, 4)])
def test_a_killed_training_ends_with_the_very_same_weights(
    tmp_path: Path, stop: tuple[int, int]
) -> None:
    whole, _ = train(tmp_path / "whole", Points())
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", Points(fail_at=stop))
    torch.rand(7)  # whatever else happened in between
    resumed, _ = train(tmp_path / "killed", Points())
    for (name, one), other in zip(
        whole.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name


def test_a_checkpoint_of_another_training_is_not_continued(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Points(fail_at=(3, 9)))
    other = TrainingConfig(num_epochs=2, learning_rate=0.05, checkpoint_seconds=1e-9)
    model = Line()
    result = fit(model, Points(), other, validate=None, metric="", work_dir=tmp_path, label="line")
    assert [entry["epoch"] for entry in result.curve] == [1, 2]


def test_an_altered_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Points(fail_at=(1, 5)))
    weights = tmp_path / "checkpoint" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"model\.safetensors was altered"):
        train(tmp_path, Points())
    discard_checkpoint(tmp_path)
    train(tmp_path, Points())


def test_the_best_epoch_wins_and_patience_ends_it(tmp_path: Path) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.2])
    kept: list[Tensor] = []
    model = Line()

    def validate() -> dict[str, float]:
        assert not model.training
        kept.append(model.out.weight.detach().clone())
        return {"score": next(scores)}

    config = TrainingConfig(num_epochs=9, learning_rate=0.05, patience=2)
    result = fit(
        model, Points(), config, validate=validate, metric="score", work_dir=tmp_path, label="x"
    )
    assert (result.best_epoch, len(result.curve)) == (2, 4)
    assert result.best_metrics == {"score": 0.5}
    assert torch.equal(model.out.weight, kept[1])


def test_a_loss_that_is_not_a_number_stops_with_the_place(tmp_path: Path) -> None:
    class Broken(Line):
        def forward(self, x: Tensor) -> Output:
            return Output(loss=super().forward(x).loss * float("nan"))

    with pytest.raises(TrainingError, match="epoch 1, batch 1; lower the learning rate"):
        fit(Broken(), Points(), CONFIG, validate=None, metric="", work_dir=tmp_path, label="x")


def test_the_learning_rate_climbs_then_falls() -> None:
    config = TrainingConfig(num_epochs=10, learning_rate=1.0, warmup_share=0.1)
    rates = [learning_rate_at(share / 100, config) for share in range(101)]
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 10
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.02)


@pytest.mark.parametrize("field", ["num_epochs", "learning_rate", "patience"])
def test_settings_that_cannot_be_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be above 0, got 0"):
        TrainingConfig(**{field: 0})
