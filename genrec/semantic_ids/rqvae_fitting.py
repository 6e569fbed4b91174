"""Trains an RQ-VAE: plain autoencoder first, then k-means places the codes, then both together."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import InputError, TrainingError
from genrec.kernels import residual_assign
from genrec.semantic_ids.kmeans import balanced_codebook, residual_codebooks
from genrec.semantic_ids.preparation import Preparation
from genrec.semantic_ids.rqvae import CodebookUpdate, RqVae, RqVaeConfig
from genrec.semantic_ids.vectors import Vectors, sample_rows
from genrec.training.checkpoints import TrainingState, load_checkpoint, save_checkpoint
from genrec.training.processes import from_main, processes, progress

if TYPE_CHECKING:
    from vector_quantize_pytorch import ResidualVQ

__all__ = ["Alignment", "fit_rqvae"]

Floats = npt.NDArray[np.float32]

MIN_STEPS = 300
CLIMBING_STEPS = 50
KMEANS_ITEMS = 65_536
ALIGNMENT_TEMPERATURE = 0.1
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """What quantised latents are aligned with."""

    vectors: Floats
    """float32 [N, D]: collaborative vectors."""
    confidence: Floats
    """float32 [N]: how much each item counts; 0 for items without such a vector."""


def fit_rqvae(
    vectors: Vectors,
    config: RqVaeConfig,
    *,
    num_codes: int,
    alignment: Alignment | None = None,
    device: str = "cpu",
    work_dir: Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> RqVae:
    """An RQ-VAE fitted to vectors, in eval mode; the same for the same seed on the same machine.

    The reconstruction error is summed over dimensions: with the mean its gradient is D times
    weaker than the pull towards the codes, and the codebooks collapse. On several processes each
    takes its part of every batch, and all end with the same model.

    Args:
        vectors: float32 [N, D], all finite; a batch of them is read at a time.
        config: size and training.
        num_codes: codes a level, at most N.
        alignment: needed where `config.alignment_weight` is above 0.
        device: where it is trained, and where the model is.
        work_dir: gets `checkpoint/`, from which the same fit goes on after an interruption, on one
            process to the very same model; the caller discards it once the result is saved. None
            keeps nothing.
        checkpoint_seconds: a kill loses at most this much work.

    Raises:
        InputError: an alignment without vectors to align with.
        TrainingError: the weights are no longer numbers.
        ArtifactError: the checkpoint was altered.

    Source: RQ-VAE for Semantic IDs (TIGER, arXiv 2305.05065, section 3.1), with codebooks that
    follow moving averages (VQ-VAE, arXiv 1711.00937, appendix A.1); alignment as the collaborative
    regularisation of LETTER (arXiv 2405.07314, equation 5).
    """
    if config.alignment_weight and alignment is None:
        raise InputError("alignment_weight is above 0, but there are no collaborative vectors")
    gpus = [device] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=gpus), torch.enable_grad():
        torch.manual_seed(config.seed)
        prepared = from_main(
            lambda: Preparation.fit(
                vectors, config.whitening, config.components, config.seed
            ).state_dict()
        )
        shape = (config.num_levels, num_codes, config.latent_width)
        model = RqVae(
            Preparation.of(prepared), torch.zeros(shape), config.latent_width, config.hidden_width
        )
        training = _Training(model.to(device), vectors, config, num_codes, alignment)
        training.run(work_dir, checkpoint_seconds)
    return model.eval()


class _Training:
    """One fit under way."""

    def __init__(
        self,
        model: RqVae,
        vectors: Vectors,
        config: RqVaeConfig,
        num_codes: int,
        alignment: Alignment | None,
    ) -> None:
        self.model, self.vectors, self.config = model, vectors, config
        self.alignment = alignment if config.alignment_weight else None
        self.device = model.codebooks.device
        self.num_batches = math.ceil(len(vectors) / config.batch_size)
        self.num_epochs = max(config.num_epochs, math.ceil(MIN_STEPS / self.num_batches))
        self.num_warmup = min(round(config.warmup_share * self.num_epochs), self.num_epochs - 1)
        items_a_code = len(vectors) / self.num_batches / num_codes
        self.quantizer = _make_quantizer(config, num_codes, items_a_code).to(self.device)
        # Everything that training changes, for the checkpoint.
        self.whole = nn.ModuleDict({"model": model, "quantizer": self.quantizer})
        self.whole.register_buffer("order", torch.zeros(len(vectors), dtype=torch.int64))
        parameters = [*model.parameters()]
        if config.codebook_update is CodebookUpdate.GRADIENT:
            parameters += self.quantizer.parameters()
        if self.alignment is not None:
            width = self.alignment.vectors.shape[1]
            self.projection = nn.Linear(config.latent_width, width).to(self.device)
            self.whole["projection"] = self.projection
            parameters += self.projection.parameters()
        self.parameters = parameters
        self.optimizer = torch.optim.AdamW(
            parameters, lr=1.0, weight_decay=config.weight_decay, fused=True
        )
        self.at = TrainingState()
        self.note = ""

    def run(self, work_dir: Path | None, checkpoint_seconds: float) -> None:
        """All epochs; at the end the model has the quantiser's codebooks."""
        keeper = _Keeper(self, work_dir, checkpoint_seconds) if work_dir else None
        done = self.at.epoch * self.num_batches + self.at.batch
        steps = self.num_epochs * self.num_batches
        with progress("fitting Semantic IDs", steps, done) as advance:
            while self.at.epoch < self.num_epochs:
                if self.at.batch == 0:
                    self._open_epoch()
                self._step()
                advance(1, self.note)
                if keeper:
                    keeper.keep(finished=self.at.epoch == self.num_epochs)
        codebooks = torch.stack([layer.codebook for layer in self.quantizer.layers])
        self.model.codebooks.copy_(codebooks.detach())
        if self.config.sinkhorn_last_level:
            self.model.codebooks = from_main(self._balanced)["codebooks"].to(self.device)

    def _open_epoch(self) -> None:
        if self.at.epoch == self.num_warmup:
            self._place_codes()
        drawn = from_main(lambda: {"order": torch.randperm(len(self.vectors))})
        self.whole.get_buffer("order").copy_(drawn["order"])

    def _step(self) -> None:
        """One batch; every process learns from its part of it."""
        done = self.at.epoch * self.num_batches + self.at.batch
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(done)
        mine, share = self._own_part()
        loss, codes = self._loss(np.sort(mine), quantise=self.at.epoch >= self.num_warmup)
        self.optimizer.zero_grad()
        loss.backward()
        self._average_gradients(share)
        self.optimizer.step()
        self.at.batch += 1
        if self.at.batch == self.num_batches:
            self.at.batch, self.at.epoch = 0, self.at.epoch + 1
            self._close_epoch(loss, codes)

    def _own_part(self) -> tuple[npt.NDArray[np.int64], float]:
        """This process's rows of the batch under way, and which share of the batch they are."""
        size, longer = divmod(len(self.vectors), self.num_batches)
        number = self.at.batch
        start = number * size + min(number, longer)
        batch = self.whole.get_buffer("order")[start : start + size + (number < longer)].numpy()
        state = processes()
        if len(batch) < state.num_processes:  # nobody may be idle: all take part in all sums
            batch = np.resize(batch, state.num_processes)
        mine = np.array_split(batch, state.num_processes)[state.process_index]
        return mine, len(mine) / len(batch)

    def _close_epoch(self, loss: Tensor, codes: Tensor | None) -> None:
        """Checks the weights, which all processes share, and notes how the last batch went."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters):
            raise TrainingError(
                f"the RQ-VAE's weights are no longer finite after epoch {self.at.epoch}; lower "
                f"learning_rate ({self.config.learning_rate}) or look for outliers in the vectors"
            )
        self.note = f"loss {loss.item():.1f}"
        if codes is not None:
            used = "/".join(f"{_perplexity(level):.0f}" for level in codes.T)
            self.note += f", perplexity {used}"

    def _loss(self, rows: npt.NDArray[np.int64], *, quantise: bool) -> tuple[Tensor, Tensor | None]:
        inputs = self.model.preparation(torch.tensor(self.vectors[rows], device=self.device))
        latents = self.model.encoder(inputs)  # [B, W]
        if not quantise:
            return self._reconstruction(latents, inputs), None
        quantised, codes, commitment = self.quantizer(latents[None])
        # The library averages the commitment over the width, and weights it already.
        loss = self._reconstruction(quantised[0], inputs)
        loss = loss + commitment.sum() * self.config.latent_width
        if self.alignment is not None:
            loss = loss + self.config.alignment_weight * self._misalignment(quantised[0], rows)
        return loss, codes[0]

    def _reconstruction(self, latents: Tensor, inputs: Tensor) -> Tensor:
        error: Tensor = (self.model.decoder(latents) - inputs).square().sum(dim=1).mean()
        return self.config.reconstruction_weight * error

    def _misalignment(self, quantised: Tensor, rows: npt.NDArray[np.int64]) -> Tensor:
        """-log of the share that each item's own collaborative vector has among the batch's."""
        assert self.alignment is not None
        vectors = torch.tensor(self.alignment.vectors[rows], device=self.device)
        weights = torch.tensor(self.alignment.confidence[rows], device=self.device)
        ours = F.normalize(self.projection(quantised), dim=1)
        logits = ours @ F.normalize(vectors, dim=1).T / ALIGNMENT_TEMPERATURE  # [B, B]
        logits = logits.masked_fill(weights[None, :] == 0, -torch.inf)
        own = torch.where(weights > 0, logits.diagonal() - logits.logsumexp(dim=1), 0.0)
        return -(weights * own).sum() / weights.sum().clamp(min=1e-6)

    def _average_gradients(self, share: float) -> None:
        """The mean over the whole batch, of which this process had `share`."""
        if processes().num_processes == 1:
            return
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(share)
                torch.distributed.all_reduce(parameter.grad)

    def _place_codes(self) -> None:
        """k-means on the latents, then on what each level leaves over for the next."""
        placed = from_main(self._first_codes)
        share = len(self.vectors) / self.num_batches / int(placed["uses"][0].sum())
        for level, layer in enumerate(self.quantizer.layers):
            starts, uses = (placed[name][level].to(self.device) for name in ("codebooks", "uses"))
            _start_from(layer._codebook, starts, uses * share)

    @torch.no_grad()
    def _first_codes(self) -> dict[str, Tensor]:
        """Codebooks float32 [L, K, W], and how many of the sampled items use each code, [L, K]."""
        rows = sample_rows(len(self.vectors), KMEANS_ITEMS, self.config.seed)
        latents = self.model.latents(self._prepared(rows))
        codebooks = torch.from_numpy(
            residual_codebooks(
                latents.cpu().numpy(),
                num_levels=self.config.num_levels,
                num_codes=self.quantizer.codebook_sizes[0],
                balanced=False,
                seed=self.config.seed,
            )
        )
        codes = residual_assign(latents, codebooks.to(self.device)).cpu()
        uses = [torch.bincount(level, minlength=codebooks.shape[1]) for level in codes.T]
        return {"codebooks": codebooks, "uses": torch.stack(uses)}

    def _prepared(self, rows: npt.NDArray[np.int64]) -> Tensor:
        prepared: Tensor = self.model.preparation(
            torch.tensor(self.vectors[rows], device=self.device)
        )
        return prepared

    @torch.no_grad()
    def _balanced(self) -> dict[str, Tensor]:
        """The codebooks, the last one's codes placed on the residuals again, for equal shares."""
        rows = sample_rows(len(self.vectors), KMEANS_ITEMS, self.config.seed)
        residual = self.model.latents(self._prepared(rows))
        codes = self.model.assign(residual)
        for level in range(self.config.num_levels - 1):
            residual = residual - self.model.codebooks[level, codes[:, level]]
        codebooks = F.pad(self.model.codebooks, (0, 1)).cpu()
        last = codebooks[-1, :, :-1].numpy()
        moved, surcharge = balanced_codebook(residual.cpu().numpy(), last, seed=self.config.seed)
        codebooks[-1, :, :-1] = torch.from_numpy(moved)
        codebooks[-1, :, -1] = torch.from_numpy(surcharge).sqrt()
        return {"codebooks": codebooks}

    def _learning_rate(self, step: int) -> float:
        climbed = min(1.0, (step + 1) / CLIMBING_STEPS)
        done = min(1.0, step / (self.num_epochs * self.num_batches))
        return self.config.learning_rate * climbed * 0.5 * (1.0 + math.cos(math.pi * done))


class _Keeper:
    """Continues a training from its checkpoint, and keeps one now and then."""

    def __init__(self, training: _Training, work_dir: Path, seconds: float) -> None:
        self.training, self.work_dir, self.seconds = training, work_dir, seconds
        self.identity = _identity(training)
        found = load_checkpoint(
            work_dir, identity=self.identity, model=training.whole, optimizer=training.optimizer
        )
        if found is not None:
            training.at = found[0]
        self.has_kept = found is not None
        self.last = time.monotonic()

    def keep(self, *, finished: bool) -> None:
        """Writes a checkpoint if it is time; at the end, if the training has taken that long."""
        if time.monotonic() - self.last < self.seconds and not (finished and self.has_kept):
            return
        if processes().is_main_process:
            save_checkpoint(
                self.work_dir,
                identity=self.identity,
                state=self.training.at,
                model=self.training.whole,
                best={},
                optimizer=self.training.optimizer,
            )
        self.has_kept, self.last = True, time.monotonic()


def _identity(training: _Training) -> dict[str, Any]:
    """What makes a fit this very one, as JSON values; vectors count by a sample of them."""
    rows = sample_rows(len(training.vectors), KMEANS_ITEMS, training.config.seed)
    digest = hashlib.sha256(training.vectors[rows].tobytes())
    if training.alignment is not None:
        digest.update(training.alignment.vectors[rows].tobytes())
        digest.update(training.alignment.confidence[rows].tobytes())
    return {
        "tokenizer": asdict(training.config),
        "num_items": len(training.vectors),
        "num_codes": training.quantizer.codebook_sizes[0],
        "vectors": digest.hexdigest(),
    }


def _make_quantizer(config: RqVaeConfig, num_codes: int, items_a_code: float) -> ResidualVQ:
    # Importing it takes seconds, which programs that only read Semantic IDs do not need.
    from vector_quantize_pytorch import ResidualVQ

    learnt = config.codebook_update is CodebookUpdate.GRADIENT
    return ResidualVQ(
        dim=config.latent_width,
        num_quantizers=config.num_levels,
        codebook_size=num_codes,
        decay=config.ema_decay,
        learnable_codebook=learnt,
        ema_update=not learnt,
        commitment_weight=config.commitment_weight,
        threshold_ema_dead_code=config.dead_code_share * items_a_code,
        rotation_trick=config.rotation_trick,
        sync_codebook=processes().num_processes > 1,
    ).train()


def _start_from(codebook: nn.Module, codes: Tensor, uses: Tensor) -> None:
    """Puts codes [K, W], each used so often in a batch [K], into a codebook of the library."""
    state = codebook.state_dict()  # shares its memory
    state["embed"].copy_(codes[None])
    state["embed_avg"].copy_(codes[None] * uses[None, :, None])
    state["cluster_size"].copy_(uses[None])


def _perplexity(codes: Tensor) -> float:
    shares = torch.bincount(codes) / len(codes)
    return float(torch.special.entr(shares).sum().exp())
