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
from genrec.training import TrainingConfig, fit

@dataclass
class Output:
    loss: torch.Tensor

class Line(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.out = nn.Linear(1, 1)
    def forward(self, x):
        return Output(loss=((self.out(x) - 2 * x - 1) ** 2).mean())

class Batches:
    def __len__(self):
        return 7
    def epoch(self, epoch):
        for batch in range(7):
            yield {"x": torch.full((4, 1), (epoch + batch) / 7)}

model = Line()
config = TrainingConfig(num_epochs=3, learning_rate=0.1)
folder = Path(sys.argv[1])
fit(model, Batches(), config, validate=None, metric="", work_dir=folder / "work", label="line")
state = PartialState()
weights = [p.tolist() for p in model.parameters()]
(folder / f"{state.process_index}.json").write_text(json.dumps([state.num_processes, weights]))
"""


@pytest.mark.slow
def test_an_odd_number_of_batches_ends_on_both_with_the_same_weights(tmp_path: Path) -> None:
    script = tmp_path / "line.py"
    script.write_text(PROGRAM)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    checkout = Path(__file__).parents[2]
    subprocess.run(
        [*launch, "--nproc_per_node", "2", str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(checkout), "ACCELERATE_USE_CPU": "true"},
        check=True,
        timeout=240,
    )
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first[0] == 2
    assert first == second
