"""The Semantic IDs of a catalogue with the quantiser that made them: saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import Tensor

from genrec import artifacts
from genrec.checked import ArraySpec, get_value, make_record, read_arrays, read_json
from genrec.checked.weights import read_weights
from genrec.errors import ArtifactError, InputError
from genrec.semantic_ids.fusion import Fusion
from genrec.semantic_ids.health import Health, LatentHealth, measure_health
from genrec.semantic_ids.linear import LinearQuantizer, ProductConfig, ResidualKMeansConfig
from genrec.semantic_ids.prefixes import num_distinct
from genrec.semantic_ids.preparation import Preparation
from genrec.semantic_ids.quantizer import Method, Quantizer
from genrec.semantic_ids.rqvae import RqVae, RqVaeConfig

__all__ = [
    "SEMANTIC_IDS_KIND",
    "SemanticIds",
    "TokenizerConfig",
    "quantizer_of",
    "tokenizer_record",
]

SEMANTIC_IDS_KIND = "semantic_ids"
CODES_FILE = "codes.npz"
WEIGHTS_FILE = "quantizer.safetensors"
FACTS_FILE = "facts.json"

TokenizerConfig = RqVaeConfig | ResidualKMeansConfig | ProductConfig
CONFIGS: dict[Method, type[TokenizerConfig]] = {
    Method.RQVAE: RqVaeConfig,
    Method.RKMEANS: ResidualKMeansConfig,
    Method.OPQ: ProductConfig,
}


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What the file of facts says."""

    explained_variance: float
    latents: LatentHealth | None
    notes: tuple[str, ...]
    fused: dict[str, int] | None


@dataclass(frozen=True, kw_only=True)
class SemanticIds:
    """One id an item, in the order of item_index, and the quantiser that new items will need."""

    codes: npt.NDArray[np.uint16]
    """uint16 [N, L], unique rows."""
    native_codes: npt.NDArray[np.uint16]
    """uint16 [N, L], the nearest codes, before collisions were resolved."""
    config: TokenizerConfig
    """What they were made with."""
    quantizer: Quantizer
    """Vectors to codes and back."""
    fusion: Fusion | None = None
    """Makes the quantiser's vectors from several; None where it reads the content alone."""
    explained_variance: float
    """Share of the vectors' variance that the nearest codes keep."""
    latents: LatentHealth | None = None
    """In how many directions an encoder's latents vary; None for a method without an encoder."""
    notes: tuple[str, ...] = ()
    """What was done differently from what was asked for."""

    def __post_init__(self) -> None:
        shape = (len(self.codes), len(self.codebook_sizes))
        for name, codes in (("codes", self.codes), ("native_codes", self.native_codes)):
            if codes.shape != shape or codes.dtype != np.uint16:
                raise InputError(
                    f"{name} must be uint16 {list(shape)}, got {codes.dtype} {list(codes.shape)}"
                )
            if (codes >= np.asarray(self.codebook_sizes)).any():
                raise InputError(f"{name} hold a code beyond the sizes {self.codebook_sizes}")
        if num_distinct(self.codes) < len(self.codes):
            raise InputError("two items have the same codes; resolve collisions first")

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each level."""
        return self.quantizer.codebook_sizes

    @property
    def content_width(self) -> int:
        """D of the content vectors that new items need."""
        if self.fusion is not None:
            return len(self.fusion.get_buffer("content_mean"))
        return len(self.quantizer.preparation.mean)

    @cached_property
    def health(self) -> Health:
        """Collisions, use of the codes, and alarms."""
        return measure_health(
            self.native_codes,
            self.codes,
            self.codebook_sizes,
            explained_variance=self.explained_variance,
            latents=self.latents,
        )

    def encode_content(self, content: Tensor) -> Tensor:
        """What codes are searched for, float32 [n, W], of items of which only the content is known.

        Args:
            content: float32 [n, D].

        Raises:
            InputError: the vectors have another width than those of the fit.
        """
        if content.ndim != 2 or content.shape[1] != self.content_width:
            raise InputError(
                f"content must be [n, {self.content_width}] as in the fit of these ids, got "
                f"{list(content.shape)}; use the text encoder that the run used"
            )
        return self.quantizer.encode(self.fusion(content) if self.fusion else content)

    def save(
        self,
        path: Path | str,
        *,
        config: Mapping[str, object] | None = None,
        parents: Mapping[str, artifacts.Artifact] | None = None,
    ) -> None:
        """Writes the artefact.

        Args:
            path: where.
            config: what else it was made with, for `artifacts.is_current`; JSON values.
            parents: the artefacts it was made from.
        """
        record = {**(config or {}), **tokenizer_record(self.config)}
        facts: dict[str, Any] = {
            "explained_variance": self.explained_variance,
            "latents": asdict(self.latents) if self.latents else None,
            "notes": self.notes,
            "fused": self.fusion.widths if self.fusion else None,
        }
        with artifacts.writing(
            path, kind=SEMANTIC_IDS_KIND, config=record, seed=self.config.seed, parents=parents
        ) as folder:
            np.savez(folder / CODES_FILE, codes=self.codes, native_codes=self.native_codes)
            modules = {"quantizer": self.quantizer, "fusion": self.fusion}
            weights = {
                f"{prefix}.{name}": tensor.cpu().contiguous()
                for prefix, module in modules.items()
                if module is not None
                for name, tensor in module.state_dict().items()
            }
            safetensors.torch.save_file(weights, folder / WEIGHTS_FILE)
            (folder / FACTS_FILE).write_text(json.dumps(facts, indent=1))

    @classmethod
    def load(cls, path: Path | str) -> SemanticIds:
        """Reads an artefact of kind `semantic_ids` after verifying it.

        Raises:
            ArtifactError: it is missing, altered, or not Semantic IDs.
        """
        artifact = artifacts.read(path, kind=SEMANTIC_IDS_KIND)
        spec: ArraySpec = ("uint16", (None, None))
        names = {"codes": spec, "native_codes": spec}
        arrays = read_arrays(artifact.file(CODES_FILE), names)
        codes, native_codes = arrays["codes"], arrays["native_codes"]
        weights = read_weights(artifact.file(WEIGHTS_FILE))
        place = f"{path}/{FACTS_FILE}"
        facts = make_record(_Facts, read_json(artifact.file(FACTS_FILE)), place)
        try:
            config = _config_of(artifact.config.get("tokenizer"), artifact.path)
            _require_quantizer(config, _of(weights, "quantizer"))
            return cls(
                codes=codes,
                native_codes=native_codes,
                config=config,
                quantizer=quantizer_of(config, _of(weights, "quantizer")),
                fusion=_fusion_of(facts.fused, _of(weights, "fusion")),
                explained_variance=facts.explained_variance,
                latents=facts.latents,
                notes=facts.notes,
            )
        except (ValueError, KeyError, IndexError, RuntimeError) as error:
            raise ArtifactError(f"{path}: {error}; make it again with --force") from error


def tokenizer_record(config: TokenizerConfig) -> dict[str, object]:
    """The configuration as an artefact keeps it: JSON values."""
    return {"tokenizer": {"method": config.method, **asdict(config)}}


def _config_of(record: object, path: Path) -> TokenizerConfig:
    place = f"{path}/{artifacts.MANIFEST_NAME}: tokenizer"
    settings = dict(get_value(dict[str, Any], record, place))
    return make_record(
        CONFIGS[get_value(Method, settings.pop("method", None), place)], settings, place
    )


def _require_quantizer(config: TokenizerConfig, weights: Mapping[str, Tensor]) -> None:
    """Raises an InputError where the configuration and the weights are not of one quantiser."""
    codebooks, mean = weights["codebooks"], weights["preparation.mean"]
    if codebooks.ndim != 3 or mean.ndim != 1 or 0 in codebooks.shape:
        raise InputError(f"codebooks of {list(codebooks.shape)} are none")
    if any(each.dtype != torch.float32 for each in weights.values()):
        raise InputError("the quantiser's weights are not all float32")
    if len(codebooks) != config.num_levels or codebooks.shape[1] > config.num_codes:
        raise InputError(
            f"{len(codebooks)} codebooks of {codebooks.shape[1]} codes, but the configuration says "
            f"{config.num_levels} and {config.num_codes}"
        )
    if isinstance(config, RqVaeConfig):
        found = [tuple(weights[f"{name}.weight"].shape) for name in ("encoder.0", "encoder.2")]
        wanted = [config.hidden_width, (config.latent_width, config.hidden_width)]
        if [found[0][0], found[1]] != wanted:
            raise InputError(f"an encoder of {found}, but the configuration says {wanted}")


def _of(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights of one module."""
    start = f"{prefix}."
    return {name[len(start) :]: each for name, each in weights.items() if name.startswith(start)}


def quantizer_of(config: TokenizerConfig, weights: Mapping[str, Tensor]) -> Quantizer:
    """The quantiser that was fitted with this configuration and has this state dict."""
    preparation = Preparation.of(_of(weights, "preparation"))
    codebooks = weights["codebooks"]
    quantizer: Quantizer
    if isinstance(config, RqVaeConfig):
        quantizer = RqVae(preparation, codebooks, config.latent_width, config.hidden_width)
    else:
        quantizer = LinearQuantizer(preparation, codebooks, preparation.out_width)
    quantizer.load_state_dict(weights)
    return quantizer.eval()


def _fusion_of(widths: Mapping[str, int] | None, weights: Mapping[str, Tensor]) -> Fusion | None:
    if widths is None:
        return None
    if any(width != len(weights[f"{name}_mean"]) for name, width in widths.items()):
        raise InputError(f"the fused vectors are not of the widths {dict(widths)}")
    fusion = Fusion(content_width=len(weights["content_mean"]), widths=widths)
    fusion.load_state_dict(weights)
    return fusion
