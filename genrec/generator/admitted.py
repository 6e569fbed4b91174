"""What a generator's folder must be before it is loaded, whoever made it.

`transformers` follows what stands in a folder: an index of shards, other weights, code, adapters,
quantisation. Of a folder of ours it is given a configuration and weights that were compared, and
there is nothing else to follow.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from genrec.checked import get_value, read_json
from genrec.checked.weights import read_weights, require_module, weight_shapes
from genrec.decoding import PrefixIndex
from genrec.errors import ArtifactError
from genrec.generator.config import GeneratorConfig
from genrec.generator.model import GenerativeRecommender

__all__ = ["require_catalogue", "require_generator", "require_index"]

WEIGHTS_FILE = "model.safetensors"
FILES = re.compile(
    r"manifest\.json|config\.json|model\.safetensors|README\.md|training\.json"
    r"|index/(leaf_item|(tokens|first_child)_\d{1,3})\.npy"
)
SIZES = {
    "codebook_sizes": list[int],
    "residual_nodes": list[int],
    **dict.fromkeys(
        ("num_items", "content_width", "history", "width", "num_heads", "encoder_layers"), int
    ),
    **dict.fromkeys(("decoder_layers", "num_followers", "dense_samples"), int),
    **dict.fromkeys(("dropout", "item_dropout", "item_scale", "taught_share"), float),
    **dict.fromkeys(("combination_weight", "follower_weight", "content_weight"), float),
}
"""What a configuration says of ours."""
FIXED = {"architectures": ["GenerativeRecommender"], "model_type": "genrec-generator"}
DTYPES = ("float32",)


def require_generator(folder: Path) -> GeneratorConfig:
    """The configuration of the generator in this folder, compared with its weights.

    Raises:
        ArtifactError: a file, a key, a value or a size that no generator of ours has.
    """
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir()}
    unknown = sorted(name for name in found if not FILES.fullmatch(name))
    if unknown:
        raise ArtifactError(
            f"{folder} has files that no generator has, as {unknown[:3]}; remove them, or train "
            "the generator again"
        )
    place = folder / "config.json"
    values = get_value(dict[str, object], read_json(place), str(place))
    given = {
        name: get_value(SIZES[name], values.pop(name, None), f"{place}: {name}") for name in SIZES
    }
    get_value(str, values.pop("transformers_version", ""), f"{place}: transformers_version")
    if values.pop("dtype", "float32") not in DTYPES or values != FIXED:
        raise ArtifactError(
            f"{place}: {sorted(values)} are not the keys or values of a generator; restore it from "
            "a copy, or train the generator again"
        )
    weights = folder / WEIGHTS_FILE
    shapes = weight_shapes(weights)
    _require_sizes(given, shapes, place)
    try:
        config = GeneratorConfig(**given)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ArtifactError(f"{place}: {error}; train the generator again") from error
    require_module(weights, lambda: GenerativeRecommender(config))
    with torch.device("meta"):
        wanted = GenerativeRecommender(config).state_dict()
    read_weights(weights, {name: (each.dtype, tuple(each.shape)) for name, each in wanted.items()})
    return config


def require_catalogue(model: GenerativeRecommender, folder: Path) -> None:
    """Raises an ArtifactError where codes or followers are of items that are not there."""
    num_items, place = model.config.num_items, folder / WEIGHTS_FILE
    sizes = torch.tensor(model.config.codebook_sizes)
    if bool(((model.codes < 0) | (model.codes >= sizes)).any()):
        raise ArtifactError(f"{place}: codes are outside of {sizes.tolist()}; train again")
    if len(torch.unique(model.codes, dim=0)) < num_items:
        raise ArtifactError(f"{place}: two items have the same codes; train again")
    if bool(((model.followers < -1) | (model.followers >= num_items)).any()):
        raise ArtifactError(f"{place}: followers are none of {num_items} items; train again")


def require_index(index: PrefixIndex, model: GenerativeRecommender, folder: Path) -> None:
    """Raises an ArtifactError unless the index is the one of the model's codes."""
    if not _is_of(index, model.codes):
        raise ArtifactError(f"{folder} is not the index of the model's codes; train again")


def _is_of(index: PrefixIndex, codes: torch.Tensor) -> bool:
    """Whether this is the index of these codes, [N, L]; nothing is sorted for it."""
    if tuple(codes.shape) != (index.num_items, index.num_levels):
        return False
    paths = index.path_of(torch.arange(len(codes)))  # [N, L]
    for level, num_nodes in enumerate(index.num_nodes):
        token = index.codes_at(level, torch.arange(num_nodes))
        rises = token.diff() > 0
        # Siblings rise; the first child of the next node may be anything.
        rises[index.first_child[level][1:-1].long() - 1] = True
        if not bool(rises.all()) or not torch.equal(token[paths[:, level]], codes[:, level].long()):
            return False
    return True


def _require_sizes(
    config: dict[str, object], shapes: dict[str, tuple[int, ...]], place: Path
) -> None:
    """Raises an ArtifactError where building by this configuration would go beyond the weights."""
    num_levels = shapes.get("codes", (0, 0))[-1]
    for name, most in {
        "encoder_layers": len(shapes),
        "decoder_layers": len(shapes),
        "num_heads": max([0, *shapes.get("positions.weight", ())]),
    }.items():
        if not 0 <= get_value(int, config[name], f"{place}: {name}") <= most:
            raise ArtifactError(
                f"{place}: {name} is {config[name]}, the weights have no more than {most}"
            )
    for name in ("codebook_sizes", "residual_nodes"):
        sizes = get_value(list[int], config[name], f"{place}: {name}")
        if len(sizes) not in ((0, num_levels) if name == "residual_nodes" else (num_levels,)):
            raise ArtifactError(
                f"{place}: {name} has {len(sizes)} levels, the weights {num_levels}"
            )
        if any(size < 1 for size in sizes):
            raise ArtifactError(f"{place}: {name} must be at least 1 each, got {sizes[:8]}")
