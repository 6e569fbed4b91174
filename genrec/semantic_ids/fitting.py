"""Trains an RQ-VAE: plain autoencoder first, then k-means places the codes, then both together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genrec import console
from genrec.semantic_ids.rqvae import RqVae, RqVaeConfig

if TYPE_CHECKING:
    from vector_quantize_pytorch import ResidualVQ

__all__ = ["fit_rqvae"]

MIN_STEPS = 300
CLIMBING_STEPS = 50
KMEANS_ITERATIONS = 20
KMEANS_ITEMS = 65_536


def fit_rqvae(vectors: Tensor, config: RqVaeConfig, *, num_codes: int) -> RqVae:
    """An RQ-VAE fitted to vectors, in eval mode; the same for the same seed on the same machine.

    The reconstruction error is summed over dimensions: with the mean its gradient is D times
    weaker than the pull towards the codes, and the codebooks collapse.

    Args:
        vectors: float32 [N, D], all finite; the model is made on their device.
        config: size and training.
        num_codes: codes a level, at most N.

    Source: RQ-VAE for Semantic IDs (TIGER, arXiv 2305.05065, section 3.1), with codebooks that
    follow moving averages (VQ-VAE, arXiv 1711.00937, appendix A.1).
    """
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(config.seed)
        model = RqVae(width=vectors.shape[1], num_codes=num_codes, config=config)
        model.to(vectors.device).set_standardisation(vectors)
        _Training(model, vectors, num_codes).run()
    return model.eval()


class _Training:
    """One fit under way."""

    def __init__(self, model: RqVae, vectors: Tensor, num_codes: int) -> None:
        self.model, self.vectors, self.config = model, vectors, model.config
        self.num_batches = math.ceil(len(vectors) / self.config.batch_size)
        self.num_epochs = max(self.config.num_epochs, math.ceil(MIN_STEPS / self.num_batches))
        items_a_code = len(vectors) / self.num_batches / num_codes
        self.quantizer = _make_quantizer(self.config, num_codes, items_a_code).to(vectors.device)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=1.0, weight_decay=self.config.weight_decay, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._learning_rate)

    def run(self) -> None:
        """All epochs; at the end the model has the quantiser's codebooks."""
        num_warmup = round(self.config.warmup_share * self.num_epochs)
        with console.progress("fitting Semantic IDs", self.num_epochs) as advance:
            for epoch in range(self.num_epochs):
                if epoch == num_warmup:
                    self._place_codes()
                loss, used = self._epoch(quantise=epoch >= num_warmup)
                state = f"loss {loss:.1f}"
                if used is not None:
                    state += f", perplexity {'/'.join(f'{level:.0f}' for level in used)}"
                advance(1, state)
        self.model.codebooks.copy_(torch.stack([layer.codebook for layer in self.quantizer.layers]))

    def _epoch(self, *, quantise: bool) -> tuple[float, list[float] | None]:
        """The last batch's loss, and per level the perplexity of its codes."""
        order = torch.randperm(len(self.vectors)).to(self.vectors.device)
        used = None
        for rows in order.tensor_split(self.num_batches):
            loss, codes = self._loss(self.vectors[rows], quantise=quantise)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
        if codes is not None:
            used = [_perplexity(level) for level in codes.T]
        return loss.item(), used

    def _loss(self, vectors: Tensor, *, quantise: bool) -> tuple[Tensor, Tensor | None]:
        inputs = self.model.standardise(vectors)  # [B, D]
        latents = self.model.encoder(inputs)  # [B, W]
        if not quantise:
            return _summed_error(self.model.decoder(latents), inputs), None
        quantised, codes, commitment = self.quantizer(latents[None])
        # The library averages the commitment over the width, and weights it already.
        pull = commitment.sum() * self.config.latent_width
        return _summed_error(self.model.decoder(quantised[0]), inputs) + pull, codes[0]

    @torch.no_grad()
    def _place_codes(self) -> None:
        """k-means on the latents, then on what each level leaves over for the next."""
        rows = torch.randperm(len(self.vectors))[:KMEANS_ITEMS].to(self.vectors.device)
        self.quantizer(self.model.encode(self.vectors[rows])[None])

    def _learning_rate(self, step: int) -> float:
        climbed = min(1.0, (step + 1) / CLIMBING_STEPS)
        done = min(1.0, step / (self.num_epochs * self.num_batches))
        return self.config.learning_rate * climbed * 0.5 * (1.0 + math.cos(math.pi * done))


def _make_quantizer(config: RqVaeConfig, num_codes: int, items_a_code: float) -> ResidualVQ:
    # Importing it takes seconds, which programs that only read Semantic IDs do not need.
    from vector_quantize_pytorch import ResidualVQ

    quantizer = ResidualVQ(
        dim=config.latent_width,
        num_quantizers=config.num_levels,
        codebook_size=num_codes,
        kmeans_init=True,
        kmeans_iters=KMEANS_ITERATIONS,
        decay=config.ema_decay,
        commitment_weight=config.commitment_weight,
        threshold_ema_dead_code=config.dead_code_share * items_a_code,
        rotation_trick=False,
    )
    for layer in quantizer.layers:
        layer._codebook.sample_fn = _spread_seeds
    return quantizer.train()


def _spread_seeds(samples: Tensor, num_codes: int) -> Tensor:
    """Starting points [1, K, W] for k-means on samples [1, n, W].

    Each is drawn with a probability proportional to its squared distance from those before it,
    so that small, remote groups get one too (k-means++, Arthur and Vassilvitskii, 2007).
    """
    points = samples[0]
    rows = [int(torch.randint(len(points), ()))]
    distances = torch.full((len(points),), torch.inf, device=points.device)
    for _ in range(num_codes - 1):
        distances = distances.minimum((points - points[rows[-1]]).square().sum(dim=1))
        weights = distances if distances.any() else torch.ones_like(distances)
        rows.append(int(torch.multinomial(weights, 1)))
    return points[rows][None]


def _summed_error(outputs: Tensor, inputs: Tensor) -> Tensor:
    return (outputs - inputs).square().sum(dim=1).mean()


def _perplexity(codes: Tensor) -> float:
    shares = torch.bincount(codes) / len(codes)
    return float(torch.special.entr(shares).sum().exp())
