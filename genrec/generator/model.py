"""The generator: a causal encoder over items, a dense head, and a decoder over Semantic IDs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from genrec.decoding import PrefixIndex
from genrec.errors import ArtifactError
from genrec.generator.config import GeneratorConfig
from genrec.generator.hub import ModelWithCard
from genrec.generator.items import (
    ItemEncoder,
    ItemTables,
    NodeResiduals,
    node_sums,
    node_vectors,
)
from genrec.generator.layers import Block, Dropout
from genrec.generator.losses import (
    ItemSampler,
    child_log_probs,
    full_softmax_loss_and_masses,
    sampled_softmax_loss,
)
from genrec.generator.paths import Paths
from genrec.generator.relatives import Relatives, UsedItems
from genrec.interactions import NO_ITEM
from genrec.training.processes import as_main_drew

__all__ = ["GenerativeRecommender", "GeneratorOutput", "make_model"]

INITIAL_SCALE = 1 / 0.07


@dataclass
class GeneratorOutput(ModelOutput):
    """The losses of one batch, each a mean over its targets; 0 where it has none."""

    loss: Tensor | None = None
    """What is minimised: the two beneath, added."""
    generative_loss: Tensor | None = None
    """-log p of the target's Semantic ID, over all levels; for the share that the decoder is
    taught, of what the dense head would have said instead of the target."""
    dense_loss: Tensor | None = None
    """-log p of the target under the dense head."""


class GenerativeRecommender(ModelWithCard):
    """Encodes a history and generates the next item's Semantic ID.

    One token per item; a causal encoder whose state at position t predicts item t + 1; a decoder of
    L steps whose every step scores the children of the trie node reached so far by their node
    vectors; and a dense head on the same states. Codes and content of the catalogue are buffers, so
    that a saved model is whole.
    """

    config_class = GeneratorConfig
    base_model_prefix = "generator"
    main_input_name = "item_index"

    codes: Tensor
    content: Tensor
    content_centre: Tensor
    known: Tensor
    followers: Tensor
    follower_strengths: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self._index: PrefixIndex | None = None
        self.sampler: ItemSampler | None = None
        """Draws for `dense_samples`; None draws all items alike."""
        width, heads = config.width, config.num_heads
        shape = (config.num_items, config.num_levels)
        self.register_buffer("codes", torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("content", torch.zeros(config.num_items, config.content_width))
        self.register_buffer("content_centre", torch.zeros(config.content_width))
        self.register_buffer("known", torch.ones(config.num_items, dtype=torch.bool))
        shape = (config.num_items, config.num_followers)
        self.register_buffer("followers", torch.full(shape, NO_ITEM, dtype=torch.int32))
        self.register_buffer("follower_strengths", torch.zeros(shape))
        self.item_encoder = ItemEncoder(config)
        self.node_residuals = (
            NodeResiduals(config.residual_nodes, config) if config.residual_nodes else None
        )
        self.positions = nn.Embedding(config.history, width)
        self.dropout = Dropout(config.dropout)
        self.encoder = nn.ModuleList(
            Block(width, heads, config.dropout, crosses=False) for _ in range(config.encoder_layers)
        )
        self.encoder_norm = nn.LayerNorm(width)
        self.empty_state = nn.Parameter(torch.zeros(width))
        self.levels = nn.Embedding(config.num_levels, width)
        self.prefix = nn.Linear(width, width)
        self.decoder = nn.ModuleList(
            Block(width, heads, config.dropout, crosses=True) for _ in range(config.decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.log_scales = nn.Parameter(torch.full((2,), INITIAL_SCALE).log())
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, NodeResiduals):
            nn.init.zeros_(module.weight)

    @property
    def encoder_blocks(self) -> list[Block]:
        """The blocks over the history, first to last."""
        return [cast(Block, block) for block in self.encoder]

    @property
    def decoder_blocks(self) -> list[Block]:
        """The blocks over the codes, first to last."""
        return [cast(Block, block) for block in self.decoder]

    @property
    def index(self) -> PrefixIndex:
        """The prefixes of the codes that the model was saved with, where its weights are."""
        if self._index is None:
            self._index = PrefixIndex(self.codes.cpu().numpy())
        return self._index.to(self.device)

    def get_input_embeddings(self) -> None:  # type: ignore[override]
        """None: items are a sum of parts, and FSDP must not shard one of them on its own."""

    def use_index(self, index: PrefixIndex) -> None:
        """Takes the prefixes of the model's codes as they were saved, instead of sorting anew.

        Raises:
            ArtifactError: they are those of another number of items or levels.
        """
        if (index.num_items, index.num_levels) != tuple(self.codes.shape):
            raise ArtifactError(
                f"the saved index has {index.num_items} items with {index.num_levels} codes, the "
                f"model {list(self.codes.shape)}; train the generator again"
            )
        self._index = index

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.empty_state.device

    def item_tables(self) -> ItemTables:
        """The vectors of all items and nodes under the present weights."""
        relatives = None if self.training else self.relatives()
        items = self.item_encoder(self.codes, self.content, self.known, relatives)
        directions = F.normalize(items, dim=-1)
        nodes = node_vectors(self.node_totals(directions, self.index))
        if not torch.is_grad_enabled():  # a single query reads it column by column, much faster
            directions = directions.T.contiguous().T
        return ItemTables(items=items, directions=directions, nodes=nodes, index=self.index)

    def used_items(self) -> UsedItems:
        """What new items are compared with."""
        return UsedItems(self.codes, self.content, self.known)

    def relatives(self) -> Relatives | None:
        """Of the items without training events; None where all have some."""
        if self.known.all():
            return None
        return self.used_items().relatives(self.codes[~self.known], self.content[~self.known])

    def node_totals(self, directions: Tensor, index: PrefixIndex) -> list[Tensor]:
        """Per level, float [nodes, D]: what each node's vector is the direction of.

        Args:
            directions: float [N, D], of the items.
            index: of the items that the model was trained with.
        """
        sums = node_sums(directions, index)
        if self.node_residuals is None:
            return sums
        totals: list[Tensor] = self.node_residuals(
            sums, node_sums(self.known[:, None].float(), index)
        )
        return totals

    def encode(self, tables: ItemTables, item_index: Tensor) -> Tensor:
        """float [B, T, D]: the state after each event.

        Args:
            tables: of the present weights.
            item_index: int64 [B, T], NO_ITEM behind the end; T at most `config.history`.
        """
        places = torch.arange(item_index.shape[1], device=item_index.device)
        hidden = tables.items[item_index.clamp(min=0)] + self.positions(places)
        hidden = self.dropout(hidden)
        for block in self.encoder_blocks:
            hidden = block.feed_forward(block.attend_self(hidden))
        normed: Tensor = self.encoder_norm(hidden)
        return normed

    def last_states(self, states: Tensor, lengths: Tensor) -> Tensor:
        """float [B, D]: the state after the last event; the learnt empty state without events."""
        rows = torch.arange(states.shape[0], device=states.device)
        last = states[rows, (lengths - 1).clamp(min=0)]
        return torch.where(lengths[:, None] > 0, last, self.empty_state)

    def decoder_memory(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder attends to: states [B, T, D] and bool [B, T], True where it may look.

        A history without events shows the empty state, so that nobody attends to nothing.
        """
        places = torch.arange(states.shape[1], device=states.device)
        empty = (lengths == 0)[:, None]
        seen = (places < lengths[:, None]) | (empty & (places == 0))
        return torch.where(empty[..., None], self.empty_state, states), seen

    def dense_logits(self, tables: ItemTables, states: Tensor) -> Tensor:
        """float [..., N]: scaled cosine of states [..., D] with every item."""
        return self.dense_queries(states) @ tables.directions.T

    def dense_queries(self, states: Tensor) -> Tensor:
        """float, as `states`: scaled unit vectors; their product with a direction is a logit."""
        return F.normalize(states, dim=-1) * self.log_scales[0].exp()

    def decoder_inputs(self, tables: ItemTables, level: int, nodes: Tensor) -> Tensor:
        """float [..., D]: what the decoder reads at `level`, standing at `nodes` above it.

        At level 0 everybody stands at the root, and `nodes` gives only the shape.
        """
        place = self.levels.weight[level]
        if level == 0:
            return place.expand(*nodes.shape, -1)
        reached: Tensor = self.prefix(tables.nodes[level - 1][nodes])
        return place + reached

    def queries(self, decoded: Tensor) -> Tensor:
        """float, as `decoded`: scaled unit queries; their dot product with a node is its logit."""
        return F.normalize(self.decoder_norm(decoded), dim=-1) * self.log_scales[1].exp()

    def forward(self, item_index: Tensor, target: Tensor, opening: Tensor) -> GeneratorOutput:
        """The losses of every position that has a target, and of people who have no events yet.

        Args:
            item_index: int64 [B, T], NO_ITEM behind the end.
            target: int64 [B, T]: what came next, NO_ITEM where nothing is asked.
            opening: int64 [F]: items that windows begin with, asked of the empty state.
        """
        tables = self.item_tables()
        states = self.encode(tables, item_index)
        length = target.shape[1]
        past = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        asked = target != NO_ITEM  # [B, T]
        decoded = self.decode_paths(tables, states, states, past, target.clamp(min=0))[asked]
        empty = self.empty_state.expand(opening.numel(), 1, -1)  # [F, 1, D]
        opened = self.decode_paths(tables, empty, empty, past[:1, :1], opening[:, None])
        paths = Paths(tables.index, torch.cat([target[asked], opening]))  # R of them
        dense_queries = self.dense_queries(torch.cat([states[asked], empty[:, 0]]))
        dense_loss, masses = self._dense_loss(tables, dense_queries, paths)
        queries = self.queries(torch.cat([decoded, opened[:, 0]]))  # [R, L, D]
        log_probs = self.path_log_probs(tables, queries, paths)
        learnt = paths.taken(log_probs).sum()
        if masses:
            learnt = torch.lerp(learnt, paths.expected(log_probs, masses), self.config.taught_share)
        generative_loss = -learnt / max(len(paths.leaves), 1)
        return GeneratorOutput(
            loss=dense_loss + generative_loss,
            generative_loss=generative_loss,
            dense_loss=dense_loss,
        )

    def _dense_loss(
        self, tables: ItemTables, queries: Tensor, paths: Paths
    ) -> tuple[Tensor, list[Tensor]]:
        """float32 []: the softmax over all items, or over a sample that all processes share.

        Where the decoder is taught, also what that softmax says of every child along the paths.
        """
        if not self.config.dense_samples:
            leaves = tables.directions[tables.index.leaf_item.long()]
            spans = paths.spans() if self.config.taught_share else []
            return full_softmax_loss_and_masses(queries, leaves, paths.leaves, spans)
        if self.sampler is None:
            self.sampler = ItemSampler(torch.zeros(self.config.num_items))
        sampled, log_expected = (
            as_main_drew(each.to(queries.device))
            for each in self.sampler.draw(self.config.dense_samples)
        )
        wanted = tables.index.items_at(paths.leaves)
        loss = sampled_softmax_loss(queries, tables.directions, wanted, sampled, log_expected)
        return loss, []

    def decode_paths(
        self, tables: ItemTables, starts: Tensor, memory: Tensor, seen: Tensor, items: Tensor
    ) -> Tensor:
        """float [B, P, L, D]: the decoder along the paths of P items a history, all levels at once.

        Args:
            tables: of the present weights.
            starts: float [B, P, D]: the state that each path starts from.
            memory: float [B, T, D]: the states that the decoder attends to.
            seen: bool, broadcastable to [B, P, T]: which of them each path may look at.
            items: int64 [B, P].
        """
        batch, paths = items.shape
        levels = self.config.num_levels
        above = F.pad(tables.index.path_of(items), (1, 0))  # [B, P, L + 1], the root first
        inputs = torch.stack(
            [self.decoder_inputs(tables, level, above[..., level]) for level in range(levels)],
            dim=2,
        )  # [B, P, L, D]
        hidden = self.dropout(inputs + starts[:, :, None])
        seen = seen.expand(*seen.shape[:-2], paths, -1).repeat_interleave(levels, dim=-2)
        mask = seen if seen.ndim == 2 else seen[:, None]  # [(B, 1,) P * L, T]
        for block in self.decoder_blocks:
            hidden = block.attend_self(hidden.flatten(0, 1)).view(
                batch, paths * levels, self.config.width
            )
            hidden = block.attend_cross(hidden, block.cross_attention.project(memory), mask)
            hidden = block.feed_forward(hidden).unflatten(1, (paths, levels))
        decoded: Tensor = hidden
        return decoded

    def path_log_probs(self, tables: ItemTables, queries: Tensor, paths: Paths) -> list[Tensor]:
        """Per level, float32 [E]: log-probability of every child that the paths choose from.

        Args:
            tables: of the present weights.
            queries: float [R, L, D].
            paths: R of them.
        """
        return [
            child_log_probs(queries[:, level], tables.nodes[level], edges)
            for level, edges in enumerate(paths.edges)
        ]


def make_model(config: GeneratorConfig, **buffers: Any) -> GenerativeRecommender:
    """A model with fresh weights over this catalogue.

    Args:
        config: its shape.
        buffers: `codes` [N, L], `content` [N, content_width], `content_centre` [content_width],
            `known` [N], `followers` and `follower_strengths` [N, F] as arrays.
    """
    model = GenerativeRecommender(config)
    for name, values in buffers.items():
        buffer = model.get_buffer(name)
        buffer.copy_(torch.as_tensor(values).to(buffer.dtype))
    return model
