"""A generator's folder from anybody: nothing in it is followed, and no size in it is believed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from genrec.errors import ArtifactError
from genrec.generator import load_generator
from tests.robustness.mutations import make_consistent


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run / "generator", tmp_path / "generator"))


@pytest.mark.parametrize(
    "name",
    [
        *("model.safetensors.index.json", "pytorch_model.bin", "adapter_config.json"),
        *("adapter_model.safetensors", "modeling.py", "generation_config.json", "index/x.npy"),
    ],
)
def test_a_file_that_no_generator_has_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("{}")
    make_consistent(folder)
    with pytest.raises(ArtifactError, match=rf"files that no generator has, as \['{name}'\]"):
        load_generator(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("width", 10**9), ("num_items", 10**12), ("encoder_layers", 10**6), ("history", 10**12)),
        *(("num_heads", 0), ("num_heads", 10**9), ("decoder_layers", -1), ("width", "128")),
        *(("codebook_sizes", [10**12] * 3), ("codebook_sizes", [15] * 10**5), ("width", None)),
        *(("residual_nodes", [1]), ("num_followers", 10**10), ("dropout", 2), ("dtype", "float16")),
        *(("auto_map", {"AutoModel": "modeling.Evil"}), ("quantization_config", {"x": 1})),
        *(("architectures", ["Other"]), ("model_type", "gpt2"), ("item_scale", 1e400)),
    ],
)
def test_a_value_that_the_weights_contradict_is_refused(
    folder: Path, key: str, value: object
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    make_consistent(folder)
    with pytest.raises(ArtifactError, match="generator"):
        load_generator(folder)


def test_an_index_of_other_codes_is_refused(folder: Path) -> None:
    place = folder / "index" / "leaf_item.npy"
    content = bytearray(place.read_bytes())
    content[-8:] = content[-4:] + content[-8:-4]  # two items change places
    place.write_bytes(content)
    make_consistent(folder)
    with pytest.raises(ArtifactError, match="not the index of the model's codes"):
        load_generator(folder)
