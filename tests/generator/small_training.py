"""Trains a small generator in a process of its own: `small_training.py FOLDER OPTIONS`.

OPTIONS is a JSON object: fields of `TrainingConfig`, and of the program itself `dropout`,
`validates` and `as_fsdp`. The curve and the weights are written to FOLDER by the main process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import DistributedType
from safetensors.torch import save_file

from genrec.generator import GenerativeRecommender, GeneratorConfig
from genrec.generator.batches import WindowBatches
from genrec.generator.model import make_model
from genrec.interactions import Histories
from genrec.training import TrainingConfig, fit
from genrec.training.processes import processes

NUM_ITEMS = 60


def main() -> None:
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    dropout, validates = options.pop("dropout", 0.0), options.pop("validates", False)
    if options.pop("as_fsdp", False):
        # accelerate shards only what it takes for GPUs; the device is and stays the CPU.
        processes().distributed_type = DistributedType.MULTI_GPU
    model = small_model(dropout)

    def validate() -> dict[str, float]:
        return {"sum": float(model.item_tables().items.sum())}

    (folder / "started").touch()
    result = fit(
        model,
        batches(),
        TrainingConfig(learning_rate=3e-3, **options),
        validate=validate if validates else None,
        metric="sum",
        work_dir=folder / "work",
        label="small",
    )
    if processes().is_main_process:
        save_file(model.state_dict(), folder / "weights.safetensors")
        (folder / "curve.json").write_text(
            json.dumps(
                {
                    "curve": result.curve,
                    "seconds": result.train_seconds,
                    "processes": processes().num_processes,
                }
            )
        )


def small_model(dropout: float) -> GenerativeRecommender:
    """The same at every call; item dropout is on, which all processes must draw alike."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    drawn = random.permutation(6**3)[:NUM_ITEMS]
    return make_model(
        GeneratorConfig(
            num_items=NUM_ITEMS,
            codebook_sizes=[6] * 3,
            content_width=8,
            history=8,
            width=16,
            num_heads=2,
            encoder_layers=1,
            dropout=dropout,
            item_dropout=0.3,
        ),
        codes=np.stack([drawn // 36, drawn // 6 % 6, drawn % 6], axis=1),
        content=random.standard_normal((NUM_ITEMS, 8)).astype(np.float32),
    )


def batches() -> WindowBatches:
    """An odd number of people, so that two processes never have the same to do."""
    random = np.random.default_rng(1)
    people = [random.integers(0, NUM_ITEMS, random.integers(2, 20)).tolist() for _ in range(101)]
    return WindowBatches(Histories.from_lists(people), history=8, tokens=64, seed=1)


if __name__ == "__main__":
    main()
