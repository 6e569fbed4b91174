"""The training loop: it learns, keeps the best epoch, and goes on exactly where it was stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from genrec.errors import ArtifactError, InputError, TrainingError
from genrec.training import (
    Batch,
    BatchSize,
    Precision,
    TrainingConfig,
    chosen_precision,
    discard_checkpoint,
    fit,
)
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

    def size_of(self, batch: Batch) -> BatchSize:
        rows = len(batch["x"])
        return BatchSize(targets=rows, events=rows, places=2 * rows)

    def part(self, batch: Batch, index: int, parts: int) -> Batch:
        return {"x": batch["x"][index::parts]}


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


@pytest.mark.parametrize("fails", [True, False])
def test_trackers_are_closed_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    ended: list[Accelerator] = []

    def end(accelerator: Accelerator) -> None:
        ended.append(accelerator)

    monkeypatch.setattr(Accelerator, "end_training", end)
    with pytest.raises(KeyboardInterrupt) if fails else nullcontext():
        train(tmp_path, Points(fail_at=(1, 3) if fails else None))
    assert len(ended) == 1


def test_the_learning_rate_climbs_then_falls() -> None:
    config = TrainingConfig(num_epochs=10, learning_rate=1.0, warmup_share=0.1)
    rates = [learning_rate_at(share / 100, config) for share in range(101)]
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 10
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.02)


class HalfBatches(Points):
    """The same points in twice as many batches, of unequal sizes."""

    def __len__(self) -> int:
        return 20

    def epoch(self, epoch: int) -> Iterator[Batch]:
        for batch in super().epoch(epoch):
            yield from ({"x": rows} for rows in batch["x"].split((5, 11)))


def test_accumulated_batches_are_one_batch(tmp_path: Path) -> None:
    def trained(points: Points, steps: int) -> tuple[Line, list[float]]:
        model = Line()
        model.dropout.p = 0.0
        config = replace(CONFIG, accumulation_steps=steps)
        result = fit(
            model,
            points,
            config,
            validate=None,
            metric="",
            work_dir=tmp_path / str(steps),
            label="line",
        )
        return model, [entry["loss"] for entry in result.curve]

    (one, one_curve), (two, two_curve) = trained(Points(), 1), trained(HalfBatches(), 2)
    assert one_curve == pytest.approx(two_curve, rel=1e-5)
    torch.testing.assert_close(one.out.weight, two.out.weight, atol=1e-5, rtol=1e-5)


def test_what_an_epoch_read_is_counted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Points(fail_at=(2, 5)))
    model = Line()
    result = fit(model, Points(), CONFIG, validate=None, metric="", work_dir=tmp_path, label="line")
    assert [(entry["events"], entry["places"]) for entry in result.curve] == [(160, 320)] * 4
    assert [entry["padding_waste"] for entry in result.curve] == [0.5] * 4
    assert result.padding_waste == 0.5
    rates = [entry["items_per_second"] for entry in result.curve]
    assert min(rates) <= result.items_per_second <= max(rates)
    assert min(rates) > 0


def test_bf16_learns_the_same_line_with_float32_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genrec.training.precision.has_bf16", lambda device: True)
    model = Line()
    seen: list[torch.dtype] = []
    model.hidden.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    config = replace(CONFIG, precision=Precision.BF16)
    result = fit(model, Points(), config, validate=None, metric="", work_dir=tmp_path, label="line")
    losses = [entry["loss"] for entry in result.curve]
    assert losses[-1] < 0.3 * losses[0]
    assert set(seen) == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_bf16_is_refused_where_the_device_only_emulates_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genrec.training.precision.has_bf16", lambda device: False)
    config = replace(CONFIG, precision=Precision.BF16)
    with pytest.raises(InputError, match="this cpu does not multiply bfloat16 itself"):
        fit(Line(), Points(), config, validate=None, metric="", work_dir=tmp_path, label="x")


@pytest.mark.parametrize(
    ("asked", "launched", "chosen"),
    [
        (None, None, Precision.FP32),
        (None, "no", Precision.FP32),
        (None, "bf16", Precision.BF16),
        (Precision.FP32, "bf16", Precision.FP32),
        (Precision.BF16, "no", Precision.BF16),
    ],
)
def test_the_precision_is_the_one_asked_for_or_that_of_accelerate_launch(
    asked: Precision | None,
    launched: str | None,
    chosen: Precision,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    if launched is not None:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    assert chosen_precision(asked) is chosen


def test_a_precision_of_accelerate_that_is_not_trained_in_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(InputError, match="fp16"):
        chosen_precision(None)


@pytest.mark.parametrize("field", ["num_epochs", "learning_rate", "accumulation_steps", "patience"])
def test_settings_that_cannot_be_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be above 0, got 0"):
        TrainingConfig(**{field: 0})  # type: ignore[arg-type]
