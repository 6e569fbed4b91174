"""The engines of the decoding benchmark: ours, transformers' `generate`, and a plain beam search.

All of them answer the same question: the M best items of each of B histories, each with the sum of
the log-probabilities of its tokens.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig

from benchmarks.decoding_figures import Answer
from benchmarks.decoding_subjects import Catalogue, Point, Subject
from genrec.decoding import PrefixIndex, beam_search
from genrec.generator import GeneratorSource, GeneratorTraining, Mode
from genrec.generator.model import make_model
from genrec.generator.tiger import T5Decoder
from genrec.generator.tiger.shape import END, PAD
from genrec.interactions import NO_ITEM, RequestBatch

__all__ = ["DefaultEngine", "Engine", "GenrecEngine", "NaiveEngine", "TransformersEngine"]

NO_BEAM = -1e8
"""transformers gives beams that do not exist -10^9 instead of -inf."""
CONTENT_WIDTH = 384
"""Of the default text model; a request does not read content."""


class Engine(Protocol):
    """What is timed."""

    name: str

    def prepare(self, item_index: Tensor) -> Any:
        """The question as the engine takes it, from histories int64 [B, T]; not timed."""

    def search(self, question: Any) -> Any:
        """Finds; timed."""

    def answer(self, question: Any) -> Answer:
        """The same search, read out; not timed."""


class GenrecEngine:
    """T5's weights behind our beam search."""

    name = "genrec"

    def __init__(self, subject: Subject, point: Point) -> None:
        self.weights, self.index = subject.weights, subject.catalogue.index
        self.prepare, self.num_beams = subject.tokens, point.beam

    def search(self, question: Tensor) -> Any:
        """See `Engine`."""
        decoder = T5Decoder(self.weights, self.index, question)
        return beam_search(
            decoder, self.index, num_requests=len(question), num_beams=self.num_beams
        )

    def answer(self, question: Tensor) -> Answer:
        """See `Engine`."""
        beams = self.search(question)
        return Answer(item_index=beams.item_index.numpy(), score=beams.log_prob.numpy())


class TransformersEngine:
    """`generate` with `prefix_allowed_tokens_fn`, set up as well as we know.

    The continuations of every prefix stand ready in a dict; the cache is used; the generation
    config is made once; attention is transformers' default (SDPA), which measured faster than eager
    attention. Making item ids of the tokens is not timed.
    """

    name = "transformers"

    def __init__(self, subject: Subject, point: Point) -> None:
        self.model: Any = subject.model
        self.catalogue, self.shape = subject.catalogue, subject.shape
        self.prepare, self.num_beams = subject.tokens, point.beam
        self.continuations = subject.continuations
        self.config = self._config(point)
        self.config_with_scores = self._config(point, output_scores=True)

    @staticmethod
    def _config(point: Point, **options: Any) -> GenerationConfig:
        return GenerationConfig(
            num_beams=point.beam,
            num_return_sequences=point.beam,
            max_new_tokens=point.levels,
            length_penalty=0.0,
            early_stopping=True,
            do_sample=False,
            use_cache=True,
            return_dict_in_generate=True,
            pad_token_id=PAD,
            eos_token_id=END,
            decoder_start_token_id=PAD,
            **options,
        )

    def allowed(self, _: int, prefix: Tensor) -> list[int]:
        """What may follow a beam's tokens; padding where the beam is none."""
        return self.continuations.get(tuple(prefix.tolist()[1:]), [PAD])

    def search(self, question: Tensor) -> Any:
        """See `Engine`."""
        return self._generate(question, self.config)

    def answer(self, question: Tensor) -> Answer:
        """See `Engine`."""
        found = self._generate(question, self.config_with_scores)
        codes = found.sequences[:, 1:].numpy() - np.array(self.shape.first_tokens)
        score = found.sequences_scores.view(len(question), -1)
        return Answer(
            item_index=self.catalogue.items_of(codes).reshape(score.shape),
            score=score.masked_fill(score < NO_BEAM, -torch.inf).numpy(),
        )

    def _generate(self, question: Tensor, config: GenerationConfig) -> Any:
        return self.model.generate(
            question,
            attention_mask=torch.ones_like(question),
            generation_config=config,
            prefix_allowed_tokens_fn=self.allowed,
        )


class NaiveEngine:
    """Beam search as one writes it first: transformers' T5 step by step, vectorised masks.

    Every beam has its own cross-attention keys, and after every step all caches are copied into
    the order of the new beams. Unlike `generate` it starts with one beam a user and reads the
    permitted tokens from our index without a loop over beams.
    """

    name = "naive"

    def __init__(self, subject: Subject, point: Point) -> None:
        self.model: Any = subject.model
        self.index: PrefixIndex = subject.catalogue.index
        self.first_tokens, self.num_codes = subject.shape.first_tokens, point.codes
        self.prepare, self.num_beams = subject.tokens, point.beam

    def search(self, question: Tensor) -> Any:
        """See `Engine`."""
        batch = len(question)
        states = self.model.encoder(input_ids=question).last_hidden_state
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        tokens = torch.full((batch, 1), PAD)  # [B * M, 1]
        nodes = torch.zeros(batch, dtype=torch.int64)  # [B * M]
        scores = torch.zeros(batch, 1)  # [B, M]
        for level, first in enumerate(self.first_tokens):
            logits = self.model(
                encoder_outputs=(states,), decoder_input_ids=tokens, past_key_values=cache
            ).logits[:, -1]
            log_probs = logits.log_softmax(-1)[:, first : first + self.num_codes]
            children = self._children(level, nodes, alive=scores.flatten() > -torch.inf)
            total = scores.view(-1, 1) + log_probs.masked_fill(children == NO_ITEM, -torch.inf)
            total = total.view(batch, -1)  # [B, M * K]
            scores, best = total.topk(min(self.num_beams, total.shape[1]), dim=1)
            first_row = torch.arange(batch)[:, None] * (len(nodes) // batch)
            parents = (first_row + best // self.num_codes).flatten()
            nodes = children[parents, (best % self.num_codes).flatten()].clamp(min=0)
            tokens = (first + best % self.num_codes).view(-1, 1)
            if level + 1 < len(self.first_tokens):
                cache.reorder_cache(parents)
                states = states[parents]
        return nodes.view(batch, -1), scores

    def _children(self, level: int, nodes: Tensor, alive: Tensor) -> Tensor:
        """int64 [R, K]: the child under each code; NO_ITEM where there is none."""
        edges = self.index.expand(level, nodes, alive)
        row, child = edges.row[edges.is_child], edges.child[edges.is_child]
        children = torch.full((len(nodes), self.num_codes), NO_ITEM)
        children[row, self.index.codes_at(level, child)] = child
        return children

    def answer(self, question: Tensor) -> Answer:
        """See `Engine`."""
        leaves, score = self.search(question)
        items = self.index.items_at(leaves).masked_fill(score == -torch.inf, NO_ITEM)
        return Answer(item_index=items.numpy(), score=score.numpy())


class DefaultEngine:
    """Our own generator in its default size, fresh weights, asked as a recommender is asked.

    Its window is as long as the history where the default would cut it, so that it reads all of it.
    """

    name = "genrec"

    def __init__(self, catalogue: Catalogue, point: Point) -> None:
        longest = max(GeneratorTraining().history, point.history)
        training = GeneratorTraining(history=longest + longest % 2)
        shape = training.shape(
            len(catalogue.codes), (point.codes,) * point.levels, content_width=CONTENT_WIDTH
        )
        model = make_model(shape, codes=catalogue.codes.astype(np.int32))
        self.source = GeneratorSource(model, Mode.GENERATIVE, num_beams=point.beam)
        self.num_beams = point.beam

    def prepare(self, item_index: Tensor) -> RequestBatch:
        """See `Engine`."""
        return RequestBatch(
            item_index=item_index,
            event_time=torch.zeros_like(item_index),
            user_index=torch.full((len(item_index),), -1),
        )

    def search(self, question: RequestBatch) -> Any:
        """See `Engine`."""
        return self.source.recommend(question, self.num_beams)

    def answer(self, question: RequestBatch) -> Answer:
        """See `Engine`."""
        found = self.search(question)
        return Answer(item_index=found.item_index.numpy(), score=found.score.numpy())
