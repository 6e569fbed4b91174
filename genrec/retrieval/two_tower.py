"""Two towers that meet in a dot product: one reads a history, one an item's content and id.

The user tower takes weighted means of the history, with learned weights for each place counted
from the end, and no attention or recurrence: a request costs a few small products.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from genrec.interactions import NO_ITEM, latest_events
from genrec.retrieval.losses import in_batch_softmax_loss
from genrec.training import TrainingConfig

__all__ = ["TwoTowerConfig", "TwoTowerModel", "TwoTowerOutput"]

CATALOGUE_CHUNK = 16384
"""Items that are encoded at once, to bound memory."""


@dataclass(frozen=True, kw_only=True)
class TwoTowerConfig:
    """Size of the towers and how they are trained."""

    width: int = 64
    """D: width of an item's representation and of the vectors that meet."""
    hidden_width: int = 128
    """Width inside the towers' MLPs."""
    num_means: int = 4
    """Weighted means of the history, each with its own weights by place."""
    max_history: int = 50
    """Events that are read, counted from the end."""
    temperature: float = 0.07
    """Divides the cosine in the softmax."""
    id_dropout: float = 0.2
    """Share of items trained on without their id, so that content alone serves unseen ones."""
    dropout: float = 0.2
    """On the representations and inside the MLPs."""
    batch_events: int = 1024
    """Events in a batch: each is a target, and a negative for the others."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            num_epochs=12, learning_rate=2e-3, weight_decay=0.01, patience=3
        )
    )
    """Epochs, learning rate and seed."""

    def __post_init__(self) -> None:
        for name in ("width", "hidden_width", "num_means", "max_history"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch_events < 2:
            raise ValueError(f"batch_events must be at least 2, got {self.batch_events}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        for name in ("id_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class TwoTowerOutput:
    """What a training step gives."""

    loss: Tensor
    """float []: mean over the batch's targets."""


class TwoTowerModel(nn.Module):
    """Both towers over a catalogue of N items.

    Args:
        content: float [N, Dc]: content embedding of every item.
        counts: int64 [N]: training events of every item; without any, an item has no id part.
        config: sizes.
    """

    content: Tensor
    counts: Tensor

    def __init__(self, content: Tensor, counts: Tensor, config: TwoTowerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("content", content.float(), persistent=False)
        self.register_buffer("counts", counts, persistent=False)
        self.content_projection = nn.Linear(content.shape[1], width)
        self.content_norm = nn.LayerNorm(width)
        self.item_embedding = nn.Embedding(len(counts), width)
        nn.init.normal_(self.item_embedding.weight, std=0.1)
        self.item_mlp = _mlp(width, config)
        self.place_logits = nn.Parameter(_half_lives(config.num_means, config.max_history))
        self.empty_state = nn.Parameter(torch.zeros((config.num_means + 1) * width))
        self.user_mlp = _mlp((config.num_means + 1) * width + 1, config)
        self.user_skip = nn.Parameter(torch.full((config.num_means + 1, 1), 1.0))
        self.dropout = nn.Dropout(config.dropout)

    def item_inputs(self, item_index: Tensor) -> Tensor:
        """float [..., D]: an item's representation: projected content plus the learned id part.

        In training the id part is left out at random; unseen items never have one.
        """
        has_id = self.counts[item_index] > 0
        if self.training and self.config.id_dropout > 0:
            has_id = has_id & (
                torch.rand_like(has_id, dtype=torch.float32) >= self.config.id_dropout
            )
        content = self.content_norm(self.content_projection(self.content[item_index]))
        id_part = self.item_embedding(item_index) * has_id[..., None]
        return self.dropout(content + id_part)  # type: ignore[no-any-return]

    def item_vectors(self, inputs: Tensor) -> Tensor:
        """float [..., D] of length 1: the item tower on representations [..., D]."""
        return nn.functional.normalize(inputs + self.item_mlp(inputs), dim=-1)

    def user_vectors(self, features: Tensor, num_events: Tensor) -> Tensor:
        """float [P, D] of length 1: the user tower.

        Args:
            features: float [P, H + 1, D]: the means of each history, then its last item.
            num_events: int64 [P]: events read; the learned empty state replaces features of none.
        """
        empty = self.empty_state.view(features.shape[1:])
        features = torch.where((num_events == 0)[:, None, None], empty, features)
        length = torch.log1p(num_events.float())[:, None]
        mixed = self.user_mlp(torch.cat([features.flatten(1), length], dim=1))
        return nn.functional.normalize(mixed + (features * self.user_skip).sum(1), dim=-1)

    @torch.inference_mode()
    def catalogue(self) -> tuple[Tensor, Tensor]:
        """float [N, D] twice: representations and vectors of all items; call it in eval mode."""
        items = torch.arange(len(self.counts), device=self.counts.device)
        inputs = torch.cat([self.item_inputs(chunk) for chunk in items.split(CATALOGUE_CHUNK)])
        vectors = [self.item_vectors(chunk) for chunk in inputs.split(CATALOGUE_CHUNK)]
        return inputs, torch.cat(vectors)

    def read_histories(self, item_index: Tensor, item_inputs: Tensor) -> Tensor:
        """float [B, D]: the user vector of each history.

        Args:
            item_index: int64 [B, T], oldest first, NO_ITEM behind the end.
            item_inputs: float [N, D]: representations of the catalogue.
        """
        item_index = latest_events(item_index, self.config.max_history)
        valid = item_index != NO_ITEM  # [B, T]
        lag = valid.flip(1).cumsum(1).flip(1)  # [B, T], 1 at the last event
        inputs = item_inputs[item_index.clamp(min=0)]  # [B, T, D]
        weights = self._weights(lag, valid)  # [H, B, T]
        means = torch.einsum("hbt,btd->bhd", weights, inputs)
        last = torch.einsum("bt,btd->bd", (valid & (lag == 1)).float(), inputs)
        return self.user_vectors(torch.cat([means, last[:, None]], 1), valid.sum(1))

    def forward(
        self, item_index: Tensor, piece: Tensor, user: Tensor, position: Tensor, is_target: Tensor
    ) -> TwoTowerOutput:
        """The loss of every prefix in a flat batch (see `PrefixBatches`); all arguments [E]."""
        features = self._prefix_features(self.item_inputs(item_index), piece)[is_target]
        target = item_index[is_target]  # [P]
        num_events = position[is_target].clamp(max=self.config.max_history)
        loss = in_batch_softmax_loss(
            self.user_vectors(features, num_events),
            self.item_vectors(self.item_inputs(target)),
            target=target,
            user=user[is_target],
            log_frequency=torch.log(self.counts[target].float() / self.counts.sum()),
            temperature=self.config.temperature,
        )
        return TwoTowerOutput(loss=loss)

    def _prefix_features(self, inputs: Tensor, piece: Tensor) -> Tensor:
        """float [E, H + 1, D]: for each event, the means of the events before it and the last.

        Events stand in blocks as long as a history: a block reads itself and the one before it.
        """
        events, block = len(piece), self.config.max_history
        padding = -events % block
        inputs = nn.functional.pad(inputs, (0, 0, block, padding))
        piece = nn.functional.pad(piece, (block, padding), value=-1)
        keys = inputs.unfold(0, 2 * block, block).transpose(1, 2)  # [X, 2 block, D]
        key_piece = piece.unfold(0, 2 * block, block)  # [X, 2 block]
        row = torch.arange(2 * block, device=piece.device)
        lag = (row[block:, None] - row)[None]  # [1, block, 2 block]
        inside = (key_piece[:, block:, None] == key_piece[:, None]) & (lag >= 1) & (lag <= block)
        weights = self._weights(lag, inside).transpose(0, 1).flatten(1, 2)  # [X, H block, 2 block]
        means = (weights @ keys).unflatten(1, (-1, block)).transpose(1, 2).flatten(0, 1)
        is_first = piece[block:] != piece[block - 1 : -1]
        last = inputs[block - 1 : -1].masked_fill(is_first[:, None], 0.0)
        return torch.cat([means, last[:, None]], dim=1)[:events]

    def _weights(self, lag: Tensor, inside: Tensor) -> Tensor:
        """float [H, …]: weight of each event by its place from the end; sums to 1 (0 if empty)."""
        place = (lag - 1).clamp(0, self.config.max_history - 1)
        weights = self.place_logits.exp()[:, place] * inside
        return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


def _mlp(input_width: int, config: TwoTowerConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(input_width, config.hidden_width),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden_width, config.width),
    )


def _half_lives(num_means: int, max_history: int) -> Tensor:
    """float [H, max_history]: log-weights that fade with half-lives of 1, 3, 9, … places."""
    place = torch.arange(max_history, dtype=torch.float32)
    half_life = 3.0 ** torch.arange(num_means, dtype=torch.float32)
    return -place * torch.log(torch.tensor(2.0)) / half_life[:, None]
