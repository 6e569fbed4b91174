"""Two processes on one machine: they end, agree, and one of them writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from dataclasses import dataclass
from pathlib import Path
import torch
from torch import nn
from accelerate import PartialState
from genrec.training import BatchSize, TrainingConfig, fit

@dataclass
class Output:
    loss: torch.Tensor

class Line(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.out = nn.Linear(1, 1)
        if sys.argv[2] == "idle":
            self.idle = nn.Linear(1, 1)
    def forward(self, x):
        return Output(loss=((self.out(x) - 2 * x - 1) ** 2).mean())

class Batches:
    def __len__(self):
        return 7
    def epoch(self, epoch):
        for batch in range(7):
            yield {"x": torch.full((4, 1), (epoch + batch) / 7)}
    def size_of(self, batch):
        return BatchSize(targets=len(batch["x"]), events=len(batch["x"]), places=len(batch["x"]))
    def part(self, batch, index, parts):
        return {"x": batch["x"][index::parts]}

model = Line()
config = TrainingConfig(num_epochs=3, learning_rate=0.1)
folder = Path(sys.argv[1])
fit(model, Batches(), config, validate=None, metric="", work_dir=folder / "work", label="line")
state = PartialState()
weights = [p.tolist() for p in model.parameters()]
(folder / f"{state.process_index}.json").write_text(json.dumps([state.num_processes, weights]))
"""


def launch(folder: Path, kind: str) -> subprocess.CompletedProcess[str]:
    script = folder / "line.py"
    script.write_text(PROGRAM)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    checkout = Path(__file__).parents[2]
    return subprocess.run(
        [*torchrun, "--nproc_per_node", "2", str(script), str(folder), kind],
        env={**os.environ, "PYTHONPATH": str(checkout), "ACCELERATE_USE_CPU": "true"},
        check=False,
        timeout=240,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_an_odd_number_of_batches_ends_on_both_with_the_same_weights(tmp_path: Path) -> None:
    assert launch(tmp_path, "whole").returncode == 0
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first[0] == 2
    assert first == second


@pytest.mark.slow
def test_a_parameter_that_has_no_part_in_the_loss_is_named_instead_of_waited_for(
    tmp_path: Path,
) -> None:
    finished = launch(tmp_path, "idle")
    assert finished.returncode != 0
    assert "TrainingError: idle.weight, idle.bias had no part in the loss" in finished.stderr
