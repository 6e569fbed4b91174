"""From item vectors to unique Semantic IDs: fused, quantised, collisions resolved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from genrec.embeddings.item_embeddings import require_usable
from genrec.errors import InputError
from genrec.semantic_ids.collisions import require_capacity, resolve_collisions
from genrec.semantic_ids.fusion import Fusion, Modality
from genrec.semantic_ids.health import LatentHealth, measure_latents
from genrec.semantic_ids.linear import (
    ProductConfig,
    ResidualKMeansConfig,
    fit_product,
    fit_residual_kmeans,
)
from genrec.semantic_ids.quantizer import Quantizer
from genrec.semantic_ids.rqvae import RqVae, RqVaeConfig
from genrec.semantic_ids.rqvae_fitting import Alignment, fit_rqvae
from genrec.semantic_ids.semantic_ids import SemanticIds, TokenizerConfig, quantizer_of
from genrec.semantic_ids.vectors import Vectors, blocks_of, sample_rows
from genrec.training.processes import from_main, gathered, own_share, progress

__all__ = ["COLLABORATIVE", "fit_semantic_ids", "supported_num_codes"]

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint16]

COLLABORATIVE = "collaborative"
"""The modality that an RQ-VAE can be aligned with."""
ITEMS_A_CODE = 4
MEASURED_ITEMS = 65_536


def fit_semantic_ids(
    content: Floats,
    config: TokenizerConfig,
    *,
    modalities: Mapping[str, Modality] | None = None,
    device: str = "cpu",
    work_dir: Path | None = None,
) -> SemanticIds:
    """Unique Semantic IDs for items, from their vectors.

    Vectors are read a block at a time, so that they may be mapped from files larger than memory.
    On several processes, all return the same.

    Args:
        content: float32 [N, D], all finite; equal rows are allowed.
        config: which tokenizer, its size and its training.
        modalities: further vectors of the same items, by name. They are fused with the content;
            but an RQ-VAE with `alignment_weight` reads the content alone and is aligned with the
            modality `collaborative`.
        device: where an RQ-VAE is trained; on several processes, the one of this process.
        work_dir: where an RQ-VAE that trains for more than a minute keeps a checkpoint, from which
            the same fit goes on after an interruption; None keeps none.

    Raises:
        InputError: vectors that cannot be used, or fewer ids than items.
    """
    modalities = dict(modalities or {})
    # All processes check all, so that they fail together.
    require_usable("content", content)
    for name, modality in modalities.items():
        require_usable(name, modality.vectors)
        if len(modality.vectors) != len(content):
            raise InputError(
                f"{name} has {len(modality.vectors)} rows, the content {len(content)}; "
                "both need one for every item of the catalogue"
            )
    require_capacity(len(content), (config.num_codes,) * config.num_levels)
    num_codes = supported_num_codes(len(content), config)
    alignment = None
    if isinstance(config, RqVaeConfig) and config.alignment_weight:
        alignment = _alignment(modalities)
        modalities.pop(COLLABORATIVE)
    fusion = _fit_fusion(content, modalities, config.seed) if modalities else None
    vectors = fusion.apply_to(content, modalities) if fusion else content
    quantizer = _fit_quantizer(vectors, config, num_codes, alignment, device, work_dir)
    return _with_unique_codes(vectors, config, quantizer, fusion, num_codes)


def _alignment(modalities: Mapping[str, Modality]) -> Alignment:
    if COLLABORATIVE not in modalities:
        raise InputError("an alignment needs collaborative vectors; give them, or use no alignment")
    given = modalities[COLLABORATIVE]
    return Alignment(vectors=given.vectors, confidence=given.trust)


def _fit_fusion(content: Floats, modalities: Mapping[str, Modality], seed: int) -> Fusion:
    widths = {name: modality.vectors.shape[1] for name, modality in modalities.items()}
    fusion = Fusion(content_width=content.shape[1], widths=widths)
    fusion.load_state_dict(
        from_main(lambda: Fusion.fit(content, modalities, seed=seed).state_dict())
    )
    return fusion


def _fit_quantizer(
    vectors: Vectors,
    config: TokenizerConfig,
    num_codes: int,
    alignment: Alignment | None,
    device: str,
    work_dir: Path | None,
) -> Quantizer:
    match config:
        case RqVaeConfig():
            return fit_rqvae(
                vectors,
                config,
                num_codes=num_codes,
                alignment=alignment,
                device=device,
                work_dir=work_dir,
            )
        case ResidualKMeansConfig():
            weights = from_main(
                lambda: fit_residual_kmeans(vectors, config, num_codes=num_codes).state_dict()
            )
        case ProductConfig():
            weights = from_main(
                lambda: fit_product(vectors, config, num_codes=num_codes).state_dict()
            )
    return quantizer_of(config, weights)


def _with_unique_codes(
    vectors: Vectors,
    config: TokenizerConfig,
    quantizer: Quantizer,
    fusion: Fusion | None,
    num_codes: int,
) -> SemanticIds:
    native = _nearest_codes(vectors, quantizer)
    quantizer = quantizer.cpu()
    settled = from_main(lambda: _settled(vectors, quantizer, native))
    notes: tuple[str, ...] = ()
    if num_codes < config.num_codes:
        notes = (
            f"{num_codes} codes a level instead of {config.num_codes}: {len(vectors)} items "
            f"support no more ({ITEMS_A_CODE} items a code)",
        )
    return SemanticIds(
        codes=settled["codes"].numpy(),
        native_codes=native,
        config=config,
        quantizer=quantizer,
        fusion=fusion,
        explained_variance=settled["explained_variance"].item(),
        latents=latent_health(quantizer, vectors),
        notes=notes,
    )


def _nearest_codes(vectors: Vectors, quantizer: Quantizer) -> Codes:
    """uint16 [N, L]; every process assigns its share."""
    mine = own_share(len(vectors))
    codes = np.empty((mine.stop - mine.start, len(quantizer.codebooks)), dtype=np.uint16)
    with progress("assigning codes", len(codes)) as advance:
        for rows in blocks_of(mine.stop, mine.start):
            assigned = quantizer.assign_array(vectors[rows])
            codes[rows.start - mine.start : rows.stop - mine.start] = assigned
            advance(len(assigned))
    return gathered(codes, len(vectors))


def _settled(vectors: Vectors, quantizer: Quantizer, native: Codes) -> dict[str, torch.Tensor]:
    """Unique codes, uint16 [N, L], and what the nearest ones explain, float64 []."""
    codebooks = list(quantizer.codebooks.numpy())
    resolution = resolve_collisions(quantizer.encoded(vectors), codebooks, native)
    explained = explained_variance(quantizer, vectors, native)
    return {
        "codes": torch.from_numpy(resolution.codes),
        "explained_variance": torch.tensor(explained, dtype=torch.float64),
    }


def explained_variance(
    quantizer: Quantizer, vectors: Vectors, codes: npt.NDArray[np.integer]
) -> float:
    """Share of the variance of prepared vectors [N, D] that codes [N, L] keep.

    Of very many items a sample is measured.
    """
    rows = sample_rows(len(vectors), MEASURED_ITEMS, seed=0)
    prepare = quantizer.preparation
    inputs = prepare(torch.tensor(vectors[rows]))
    with torch.no_grad():
        outputs = prepare(quantizer.decode(torch.from_numpy(codes[rows].astype(np.int64))))
    total = (inputs - inputs.mean(dim=0)).square().sum()
    return 1.0 if total == 0 else float(1.0 - (outputs - inputs).square().sum() / total)


def latent_health(quantizer: Quantizer, vectors: Vectors) -> LatentHealth | None:
    """How the latents of vectors [N, D] vary; None for a method that has no encoder."""
    if not isinstance(quantizer, RqVae):
        return None
    rows = sample_rows(len(vectors), MEASURED_ITEMS, seed=0)
    prepared = quantizer.preparation(torch.tensor(vectors[rows]))
    with torch.no_grad():
        latents = quantizer.latents(prepared)
    return measure_latents(latents.numpy(), prepared.numpy())


def supported_num_codes(num_items: int, config: TokenizerConfig) -> int:
    """Codes a level for this many items: what was asked for, unless items would not share codes.

    A level of nearly as many codes as items leaves nothing for the next levels to say, and no two
    items share a first code. At least as many codes as unique ids need.
    """
    fewest = 1
    while fewest**config.num_levels < num_items:
        fewest += 1
    return min(config.num_codes, max(fewest, math.ceil(num_items / ITEMS_A_CODE)))
