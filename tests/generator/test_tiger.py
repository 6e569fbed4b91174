"""Our forward of T5 and our search over it, against transformers' own, weight by weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention

from genrec.decoding import Beams, PrefixIndex, beam_search
from genrec.errors import InputError
from genrec.generator.tiger import T5Decoder, T5Weights, TigerShape, tiger_t5
from genrec.generator.tiger.positions import distance_buckets
from genrec.generator.tiger.shape import PAD

# Heads whose widths do not add up to the width: 3 * 8, not 32.
SHAPE = TigerShape(
    codebook_sizes=(5, 4, 6), width=32, num_layers=2, num_heads=3, head_width=8, feed_forward=48
)
NUM_ITEMS = 60
LEVELS = SHAPE.num_levels
HISTORY = 4
LENGTHS = (4, 1, 3)


@pytest.fixture
def codes() -> Tensor:
    """int64 [N, L]: half of all Semantic IDs there can be."""
    everything = np.indices(SHAPE.codebook_sizes).reshape(LEVELS, -1).T
    chosen = np.random.default_rng(0).choice(len(everything), NUM_ITEMS, replace=False)
    return torch.from_numpy(everything[chosen])


@pytest.fixture
def index(codes: Tensor) -> PrefixIndex:
    return PrefixIndex(codes.numpy().astype(np.uint16))


@pytest.fixture(params=[True, False], ids=["scaled head", "unscaled head"])
def model(request: pytest.FixtureRequest) -> T5ForConditionalGeneration:
    """A T5 as if trained: no weight, the gains of the norms included, has its first value."""
    made = tiger_t5(SHAPE, seed=0)
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += 0.3 * parameter.data.std(correction=0).clamp(min=0.5) * noise
    made.config.scale_decoder_outputs = request.param
    return made


@pytest.fixture
def tokens(codes: Tensor) -> Tensor:
    """int64 [B, P]: three histories, two of them padded."""
    items = torch.randint(NUM_ITEMS, (3, HISTORY), generator=torch.Generator().manual_seed(2))
    padded = SHAPE.tokens(codes[items]).flatten(1)
    for row, length in enumerate(LENGTHS):
        padded[row, length * LEVELS :] = PAD
    return padded


def search(
    model: T5ForConditionalGeneration, index: PrefixIndex, tokens: Tensor, beams: int | list[int]
) -> Beams:
    decoder = T5Decoder(T5Weights(model, SHAPE), index, tokens)
    return beam_search(decoder, index, num_requests=len(tokens), num_beams=beams)


@torch.no_grad()
def item_log_probs(model: T5ForConditionalGeneration, tokens: Tensor, codes: Tensor) -> Tensor:
    """float [B, N]: transformers' teacher-forced log-probability of every item."""
    wanted = SHAPE.tokens(codes)  # [N, L]
    starts = torch.full((len(codes), 1), PAD)
    rows = []
    for history in tokens:
        repeated = history.expand(len(codes), -1)
        logits = model(
            input_ids=repeated,
            attention_mask=(repeated != PAD).long(),
            decoder_input_ids=torch.cat([starts, wanted[:, :-1]], dim=1),
        ).logits
        steps = logits.log_softmax(-1).gather(2, wanted[..., None])
        rows.append(steps.sum((1, 2)))
    return torch.stack(rows)


def allowed_tokens(codes: Tensor) -> Callable[[int, Tensor], list[int]]:
    """What `generate` asks for: the tokens that continue a prefix."""
    children: dict[tuple[int, ...], set[int]] = {}
    for path in SHAPE.tokens(codes).tolist():
        for level, token in enumerate(path):
            children.setdefault(tuple(path[:level]), set()).add(token)
    return lambda _, prefix: sorted(children[tuple(prefix[1:].tolist())])


@pytest.mark.parametrize("both_ways", [True, False])
def test_distances_fall_into_the_buckets_of_transformers(both_ways: bool) -> None:
    offset = torch.arange(-300, 301)
    ours = distance_buckets(offset, num_buckets=32, both_ways=both_ways, max_distance=128)
    theirs = T5Attention._relative_position_bucket(offset, both_ways, 32, 128)
    assert torch.equal(ours, theirs)


def test_the_encoder_is_transformers(model: T5ForConditionalGeneration, tokens: Tensor) -> None:
    seen = tokens != PAD
    with torch.no_grad():
        theirs = model.encoder(input_ids=tokens, attention_mask=seen.long()).last_hidden_state
    unseen = torch.zeros(tokens.shape).masked_fill(~seen, -torch.inf)[:, None, None]
    ours = T5Weights(model, SHAPE).encode(tokens, unseen)
    torch.testing.assert_close(ours[seen], theirs[seen], atol=1e-4, rtol=0)


def test_every_step_is_transformers_teacher_forced(
    model: T5ForConditionalGeneration, tokens: Tensor, codes: Tensor, index: PrefixIndex
) -> None:
    """Beams change places between the steps, so that each must find its own ancestors."""
    decoder = T5Decoder(T5Weights(model, SHAPE), index, tokens)
    items = torch.tensor([[7, 0, 41], [3, 59, 7], [12, 30, 2]])  # [B, M]
    paths = index.path_of(items)  # [B, M, L]
    request = torch.arange(3)[:, None]
    steps = [decoder.log_probs[:, None].expand(-1, 3, -1)]
    decoder.advance(0, request.expand(-1, 3), paths[..., 0])
    steps.append(decoder.log_probs.view(3, 3, -1))
    moved = torch.tensor([[2, 0, 1], [0, 2, 1], [1, 0, 2]])
    decoder.advance(1, request * 3 + moved, paths[..., 1].gather(1, moved))
    back = moved.argsort(1)[..., None].expand(-1, -1, SHAPE.vocabulary_size)
    steps.append(decoder.log_probs.view(3, 3, -1).gather(1, back))
    ours = torch.stack(steps, dim=2)  # [B, M, L, V]

    inputs = torch.cat([torch.full((3, 3, 1), PAD), SHAPE.tokens(codes[items])], dim=2)
    repeated = tokens.repeat_interleave(3, dim=0)
    with torch.no_grad():
        theirs = model(
            input_ids=repeated,
            attention_mask=(repeated != PAD).long(),
            decoder_input_ids=inputs[..., :LEVELS].flatten(0, 1),
        ).logits.log_softmax(-1)
    torch.testing.assert_close(ours.flatten(0, 1), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("num_beams", [3, 8])
def test_beams_are_those_of_generate(
    model: T5ForConditionalGeneration,
    tokens: Tensor,
    codes: Tensor,
    index: PrefixIndex,
    num_beams: int,
) -> None:
    """8 beams are more than the 5 first codes."""
    typed_for_no_model: Any = model
    theirs = typed_for_no_model.generate(
        tokens,
        attention_mask=(tokens != PAD).long(),
        num_beams=num_beams,
        num_return_sequences=num_beams,
        max_new_tokens=LEVELS,
        prefix_allowed_tokens_fn=allowed_tokens(codes),
        length_penalty=0.0,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
    )
    ours = search(model, index, tokens, num_beams)
    found = SHAPE.tokens(codes)[ours.item_index].flatten(0, 1)
    assert torch.equal(found, theirs.sequences[:, 1:])
    scores = theirs.sequences_scores
    torch.testing.assert_close(ours.log_prob.flatten(), scores, atol=1e-4, rtol=0)


@pytest.mark.parametrize("num_beams", [NUM_ITEMS, NUM_ITEMS + 7], ids=["exactly N", "more than N"])
def test_beams_as_wide_as_the_catalogue_rank_it_exactly(
    model: T5ForConditionalGeneration,
    tokens: Tensor,
    codes: Tensor,
    index: PrefixIndex,
    num_beams: int,
) -> None:
    scores, order = item_log_probs(model, tokens, codes).sort(dim=1, descending=True)
    ours = search(model, index, tokens, num_beams)
    assert torch.equal(ours.item_index[:, :NUM_ITEMS], order)
    torch.testing.assert_close(ours.log_prob[:, :NUM_ITEMS], scores, atol=1e-4, rtol=0)
    assert (ours.log_prob[:, NUM_ITEMS:] == -torch.inf).all()


def test_beams_that_widen_from_level_to_level_keep_their_ancestors(
    model: T5ForConditionalGeneration, tokens: Tensor, codes: Tensor, index: PrefixIndex
) -> None:
    ours = search(model, index, tokens, [2, 6, 3])
    truth = item_log_probs(model, tokens, codes).gather(1, ours.item_index)
    torch.testing.assert_close(ours.log_prob, truth, atol=1e-4, rtol=0)


def test_items_of_a_single_code_are_ranked_by_its_token() -> None:
    shape = TigerShape(
        codebook_sizes=(7,), width=16, num_layers=1, num_heads=2, head_width=8, feed_forward=16
    )
    model, codes = tiger_t5(shape, seed=0), torch.arange(7)[:, None]
    index, tokens = PrefixIndex(codes.numpy().astype(np.uint16)), shape.tokens(codes[[3, 5]]).T
    decoder = T5Decoder(T5Weights(model, shape), index, tokens)
    found = beam_search(decoder, index, num_requests=1, num_beams=7)
    with torch.no_grad():
        start = torch.full((1, 1), PAD)
        logits = model(input_ids=tokens, decoder_input_ids=start).logits[:, 0]
    truth = logits.log_softmax(-1).gather(1, shape.tokens(codes).T)
    torch.testing.assert_close(found.log_prob, truth.gather(1, found.item_index), atol=1e-4, rtol=0)


def test_a_history_without_tokens_is_refused(
    model: T5ForConditionalGeneration, tokens: Tensor, index: PrefixIndex
) -> None:
    tokens[1] = PAD
    with pytest.raises(InputError, match="at least one item"):
        T5Decoder(T5Weights(model, SHAPE), index, tokens)


def test_codebooks_of_another_model_are_refused() -> None:
    other = TigerShape(codebook_sizes=(5, 4, 7))
    with pytest.raises(InputError, match="make 18 tokens, the T5 has 17"):
        T5Weights(tiger_t5(SHAPE, seed=0), other)


def test_a_gated_t5_is_refused() -> None:
    config = T5Config(
        vocab_size=17, d_model=16, d_ff=16, num_layers=1, feed_forward_proj="gated-gelu"
    )
    with pytest.raises(InputError, match="must be relu"):
        T5Weights(T5ForConditionalGeneration(config), SHAPE)


def test_the_seed_decides_the_weights_and_nothing_else() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = (tiger_t5(SHAPE, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.shared.weight, second.shared.weight)
    assert not torch.equal(first.shared.weight, other.shared.weight)


def test_a_shape_without_levels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one code"):
        TigerShape(codebook_sizes=())
