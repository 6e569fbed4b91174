"""The Semantic IDs of a catalogue with the quantiser that made them: fitted, saved, loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch

from genrec import artifacts
from genrec.errors import ArtifactError, InputError
from genrec.semantic_ids.collisions import require_capacity, resolve_collisions
from genrec.semantic_ids.fitting import fit_rqvae
from genrec.semantic_ids.health import Health, measure_health
from genrec.semantic_ids.rqvae import RqVae, RqVaeConfig

__all__ = ["SEMANTIC_IDS_KIND", "SemanticIds", "fit_semantic_ids", "supported_num_codes"]

SEMANTIC_IDS_KIND = "semantic_ids"
CODES_FILE = "codes.npz"
WEIGHTS_FILE = "quantizer.safetensors"
FACTS_FILE = "facts.json"
ITEMS_A_CODE = 4


@dataclass(frozen=True, kw_only=True)
class SemanticIds:
    """One id an item, in the order of item_index, and the quantiser that new items will need."""

    codes: npt.NDArray[np.uint16]
    """uint16 [N, L], unique rows."""
    native_codes: npt.NDArray[np.uint16]
    """uint16 [N, L], the nearest codes, before collisions were resolved."""
    codebook_sizes: tuple[int, ...]
    """K of each level."""
    quantizer: RqVae
    """Encoder, codebooks and decoder."""
    explained_variance: float
    """Share of the embeddings' variance that the nearest codes keep."""
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
        if len(np.unique(self.codes, axis=0)) < len(self.codes):
            raise InputError("two items have the same codes; resolve collisions first")

    @cached_property
    def health(self) -> Health:
        """Collisions, use of the codes, and alarms."""
        return measure_health(
            self.native_codes,
            self.codes,
            self.codebook_sizes,
            explained_variance=self.explained_variance,
        )

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
        settings = self.quantizer.config
        record = {**(config or {}), "rqvae": asdict(settings)}
        facts = {"explained_variance": self.explained_variance, "notes": self.notes}
        with artifacts.writing(
            path, kind=SEMANTIC_IDS_KIND, config=record, seed=settings.seed, parents=parents
        ) as folder:
            np.savez(folder / CODES_FILE, codes=self.codes, native_codes=self.native_codes)
            weights = {
                name: tensor.cpu().contiguous()
                for name, tensor in self.quantizer.state_dict().items()
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
        with np.load(artifact.file(CODES_FILE), allow_pickle=False) as arrays:
            codes, native_codes = arrays["codes"], arrays["native_codes"]
        weights = safetensors.torch.load_file(artifact.file(WEIGHTS_FILE))
        num_levels, num_codes, _ = weights["codebooks"].shape
        quantizer = RqVae(
            width=len(weights["mean"]),
            num_codes=num_codes,
            config=RqVaeConfig(**artifact.config["rqvae"]),
        )
        quantizer.load_state_dict(weights)
        facts = json.loads(artifact.file(FACTS_FILE).read_text())
        try:
            return cls(
                codes=codes,
                native_codes=native_codes,
                codebook_sizes=(num_codes,) * num_levels,
                quantizer=quantizer.eval(),
                explained_variance=facts["explained_variance"],
                notes=tuple(facts["notes"]),
            )
        except InputError as error:
            raise ArtifactError(f"{path}: {error}; make it again with --force") from error


def fit_semantic_ids(
    vectors: npt.NDArray[np.float32], config: RqVaeConfig, *, device: str = "cpu"
) -> SemanticIds:
    """Unique Semantic IDs for items, from their vectors.

    Args:
        vectors: float32 [N, D], all finite; equal rows are allowed.
        config: size and training of the RQ-VAE.
        device: where it is trained.

    Raises:
        InputError: vectors that cannot be used, or fewer ids than items.
    """
    _require_usable(vectors)
    require_capacity(len(vectors), (config.num_codes,) * config.num_levels)
    num_codes = supported_num_codes(len(vectors), config)
    inputs = torch.from_numpy(np.ascontiguousarray(vectors)).to(device)
    quantizer = fit_rqvae(inputs, config, num_codes=num_codes)
    with torch.no_grad():
        latents = quantizer.encode(inputs)
        native = quantizer.assign(latents)
        explained = quantizer.explained_variance(inputs, native)
    codebooks = [codebook.cpu().numpy() for codebook in quantizer.codebooks]
    resolution = resolve_collisions(latents.cpu().numpy(), codebooks, native.cpu().numpy())
    notes: tuple[str, ...] = ()
    if num_codes < config.num_codes:
        notes = (
            f"{num_codes} codes a level instead of {config.num_codes}: {len(vectors)} items "
            f"support no more ({ITEMS_A_CODE} items a code)",
        )
    return SemanticIds(
        codes=resolution.codes.astype(np.uint16),
        native_codes=native.cpu().numpy().astype(np.uint16),
        codebook_sizes=(num_codes,) * config.num_levels,
        quantizer=quantizer.cpu(),
        explained_variance=explained,
        notes=notes,
    )


def supported_num_codes(num_items: int, config: RqVaeConfig) -> int:
    """Codes a level for this many items: what was asked for, unless items would not share codes.

    A level of nearly as many codes as items leaves nothing for the next levels to say, and no two
    items share a first code. At least as many codes as unique ids need.
    """
    fewest = 1
    while fewest**config.num_levels < num_items:
        fewest += 1
    return min(config.num_codes, max(fewest, math.ceil(num_items / ITEMS_A_CODE)))


def _require_usable(vectors: npt.NDArray[np.float32]) -> None:
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(f"vectors must be [N, D] with at least one item, got {vectors.shape}")
    if vectors.dtype != np.float32:
        raise InputError(f"vectors must be float32, got {vectors.dtype}")
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if broken.size:
        raise InputError(
            f"{broken.size} item(s) have NaN or infinity in their vectors, the first in rows "
            f"{broken[:5].tolist()}; mend or drop these items"
        )
