"""The configurations for `accelerate launch`: accelerate reads in each what its name says."""

from __future__ import annotations

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType

from genrec.training import Precision

CONFIGS = Path(__file__).parents[2] / "train" / "configs"


def test_each_configuration_is_known_here() -> None:
    names = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert names == {"ddp_cpu", "ddp_gpu", "ddp_gpu_bf16", "fsdp_gpu"}


@pytest.mark.parametrize(
    ("name", "kind", "on_cpu", "precision"),
    [
        ("ddp_cpu", DistributedType.MULTI_GPU, True, "no"),
        ("ddp_gpu", DistributedType.MULTI_GPU, False, "no"),
        ("ddp_gpu_bf16", DistributedType.MULTI_GPU, False, str(Precision.BF16)),
        ("fsdp_gpu", DistributedType.FSDP, False, "no"),
    ],
)
def test_accelerate_reads_what_the_name_says(
    name: str, kind: DistributedType, on_cpu: bool, precision: str
) -> None:
    config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
    assert (config.distributed_type, config.use_cpu) == (kind, on_cpu)
    assert config.mixed_precision == precision
    assert config.num_processes == 2


def test_a_model_is_sharded_whole_and_gives_whole_weights() -> None:
    fsdp = load_config_from_file(str(CONFIGS / "fsdp_gpu.yaml")).fsdp_config
    assert fsdp["fsdp_version"] == 2
    assert fsdp["fsdp_auto_wrap_policy"] == "NO_WRAP"
    assert fsdp["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    # accelerate 1.15 gives rank 0's weights to the others in a way that persistent buffers break.
    assert fsdp["fsdp_cpu_ram_efficient_loading"] is False
