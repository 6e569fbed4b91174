"""Training on several processes, with accumulation, in bf16, and killed: the same as on one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from genrec.generator.batches import WindowBatches
from genrec.interactions import NO_ITEM, Histories

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("small_training.py")
DDP = ROOT / "train" / "configs" / "ddp_cpu.yaml"
FSDP = ROOT / "train" / "configs" / "fsdp_gpu.yaml"
ALONE = [sys.executable]
KILLS = 20
KILL_SEED = 7


def launched(config: Path) -> list[str]:
    """`accelerate launch` with a configuration, on a port of its own."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0"]
    return [*launch, "--config_file", str(config)]


def arguments(folder: Path, **options: Any) -> list[str]:
    folder.mkdir(exist_ok=True)
    return [str(SCRIPT), str(folder), json.dumps(options)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def train(command: list[str], folder: Path, **options: Any) -> tuple[list[float], int]:
    """The losses of the epochs and the number of processes."""
    finished = subprocess.run(
        [*command, *arguments(folder, **options)],
        env=environment(),
        check=False,
        timeout=240,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    found = json.loads((folder / "curve.json").read_text())
    return [entry["loss"] for entry in found["curve"]], found["processes"]


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "weights.safetensors")


def train_in_parts(
    batch: dict[str, Tensor], batches: WindowBatches, parts: int
) -> list[dict[str, Tensor]]:
    return [batches.part(batch, index, parts) for index in range(parts)]


@pytest.mark.parametrize("parts", [1, 2, 3, 50])
def test_the_parts_of_a_batch_ask_for_each_of_its_targets_once(parts: int) -> None:
    people = [list(range(10 * i, 10 * i + 2 + i % 7)) for i in range(30)]
    batches = WindowBatches(Histories.from_lists(people), history=4, tokens=40, seed=0)
    for batch in batches.epoch(0):
        shares = train_in_parts(batch, batches, parts)
        asked = torch.cat([share["target"][share["target"] != NO_ITEM] for share in shares])
        whole = batch["target"][batch["target"] != NO_ITEM]
        assert asked.sort().values.tolist() == whole.sort().values.tolist()
        opened = torch.cat([share["opening"] for share in shares])
        assert opened.sort().values.tolist() == batch["opening"].sort().values.tolist()
        sizes = [batches.size_of(share) for share in shares]
        assert sum(size.targets for size in sizes) == batches.size_of(batch).targets
        assert sum(size.events for size in sizes) == batches.size_of(batch).events
        rows = [len(share["item_index"]) for share in shares]
        assert max(rows) - min(rows) <= 1


def test_padding_is_counted_as_what_it_is() -> None:
    batches = WindowBatches(
        Histories.from_lists([[1, 2, 3, 4, 5], [6, 7, 8]]), history=8, tokens=100, seed=0
    )
    (batch,) = batches.epoch(0)  # windows of 4 and 2 inputs
    size = batches.size_of(batch)
    assert (size.events, size.places, size.targets) == (6, 8, 6 + 1)  # and one opening


@pytest.mark.slow
@pytest.mark.parametrize("accumulation_steps", [1, 3])
def test_two_processes_have_the_loss_curve_of_one(tmp_path: Path, accumulation_steps: int) -> None:
    options = {"num_epochs": 3, "accumulation_steps": accumulation_steps, "validates": True}
    one, alone = train(ALONE, tmp_path / "one", **options)
    two, together = train(launched(DDP), tmp_path / "two", **options)
    assert (alone, together) == (1, 2)
    assert one == pytest.approx(two, abs=1e-3)
    assert one[0] > one[-1] + 1
    for name, expected in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], expected, atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("resumed_by", [1, 2])
def test_what_two_processes_began_any_number_ends(tmp_path: Path, resumed_by: int) -> None:
    """Killed in the midst of it: with dropout two processes go on bit by bit, one without it."""
    dropout = 0.2 if resumed_by == 2 else 0.0
    options = {"num_epochs": 4, "dropout": dropout, "checkpoint_seconds": 1e-9}
    whole, _ = train(launched(DDP), tmp_path / "whole", **options)
    kill_at_some_batch(launched(DDP), tmp_path / "killed", options, seconds=60.0, after_batches=30)
    again = launched(DDP) if resumed_by == 2 else ALONE
    losses, number = train(again, tmp_path / "killed", **options)
    assert number == resumed_by
    assert losses == pytest.approx(whole, abs=0 if resumed_by == 2 else 1e-3)
    if resumed_by == 2:
        for name, expected in weights(tmp_path / "whole").items():
            assert torch.equal(weights(tmp_path / "killed")[name], expected), name


@pytest.mark.slow
def test_a_sharded_model_is_trained_saved_and_resumed_as_a_whole_one(tmp_path: Path) -> None:
    """FSDP through accelerate's own code, on two CPU processes."""
    on_cpu = FSDP.read_text().replace("use_cpu: false", "use_cpu: true")
    (tmp_path / "fsdp.yaml").write_text(on_cpu.replace("gpu_ids: all\n", ""))
    fsdp = launched(tmp_path / "fsdp.yaml")
    options = {"num_epochs": 3, "validates": True}
    one, _ = train(ALONE, tmp_path / "one", **options)
    many = {**options, "as_fsdp": True, "checkpoint_seconds": 0.5}
    kill_at_some_batch(fsdp, tmp_path / "sharded", many, seconds=90.0, after_batches=20)
    sharded, number = train(fsdp, tmp_path / "sharded", **many)
    assert number == 2
    assert sharded == pytest.approx(one, abs=1e-3)
    for name, expected in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "sharded")[name], expected, atol=1e-3, rtol=0)


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_ends_with_the_very_same_weights(
    tmp_path: Path,
) -> None:
    options = {"num_epochs": 60, "dropout": 0.2, "validates": True, "checkpoint_seconds": 0.05}
    options["patience"] = 100
    train(ALONE, tmp_path / "whole", **options)
    seconds = json.loads((tmp_path / "whole" / "curve.json").read_text())["seconds"]
    draw = random.Random(KILL_SEED)
    killed = tmp_path / "killed"
    positions = []
    for _ in range(KILLS):
        # On average all of them together come to half of the training.
        kill_after(draw.uniform(0, seconds / KILLS), killed, arguments(killed, **options))
        positions.append(position(killed))
    assert not (killed / "weights.safetensors").exists()
    assert positions == sorted(positions)
    assert len(set(positions)) > KILLS / 3  # many of them went on by some steps
    train(ALONE, killed, **options)
    for name, expected in weights(tmp_path / "whole").items():
        assert torch.equal(weights(killed)[name], expected), name


def kill_after(seconds: float, folder: Path, program: list[str]) -> None:
    """Starts a process and kills it with SIGKILL, so long after its training has begun."""
    (folder / "started").unlink(missing_ok=True)
    with subprocess.Popen(
        [*ALONE, *program], env=environment(), stderr=subprocess.DEVNULL
    ) as process:
        while not (folder / "started").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        assert process.wait() == -signal.SIGKILL


def kill_at_some_batch(
    command: list[str], folder: Path, options: dict[str, Any], *, seconds: float, after_batches: int
) -> None:
    """Starts several processes and kills all of them once a checkpoint is this far."""
    begun = subprocess.Popen(
        [*command, *arguments(folder, **options)],
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + seconds
    while time.monotonic() < until and position(folder) < (0, after_batches):
        time.sleep(0.05)
    workers = Path(f"/proc/{begun.pid}/task/{begun.pid}/children").read_text().split()
    for pid in (*map(int, workers), begun.pid):
        os.kill(pid, signal.SIGKILL)
    begun.wait()
    assert position(folder) >= (0, after_batches)
    assert not (folder / "curve.json").exists()


def position(folder: Path) -> tuple[int, int]:
    """Epochs and batches of the checkpoint in a folder."""
    try:
        state = json.loads((folder / "work" / "checkpoint" / "state.json").read_text())
    except FileNotFoundError:
        return (0, 0)
    return (state["epoch"], state["batch"])
