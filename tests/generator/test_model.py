"""The model against transformers' own blocks, against itself one step at a time, and its losses."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2Model

from genrec.decoding import beam_search
from genrec.generator import GenerativeRecommender, GeneratorConfig
from genrec.generator.decoder import DecoderWeights, GeneratorDecoder
from genrec.generator.paths import Paths
from genrec.interactions import NO_ITEM

HISTORIES = torch.tensor(
    [[3, 14, 15, 9, 2, 6], [5, 3, 5, NO_ITEM, NO_ITEM, NO_ITEM], [NO_ITEM] * 6]
)
LENGTHS = torch.tensor([6, 3, 0])


def as_gpt2(model: GenerativeRecommender) -> GPT2Model:
    """GPT-2 with the encoder's weights: pre-norm, causal, learned positions, tanh GELU."""
    config = model.config
    twin = GPT2Model(
        GPT2Config(
            vocab_size=config.num_items,
            n_positions=config.history,
            n_embd=config.width,
            n_layer=config.encoder_layers,
            n_head=config.num_heads,
            activation_function="gelu_new",
        )
    )
    weights: dict[str, Tensor] = {
        "wte.weight": model.item_tables().items,
        "wpe.weight": model.positions.weight,
        "ln_f.weight": model.encoder_norm.weight,
        "ln_f.bias": model.encoder_norm.bias,
    }
    for i, block in enumerate(model.encoder_blocks):
        attention = block.self_attention
        for theirs, ours in (("ln_1", block.self_norm), ("ln_2", block.feed_norm)):
            weights[f"h.{i}.{theirs}.weight"] = ours.weight
            weights[f"h.{i}.{theirs}.bias"] = ours.bias
        joined = [attention.query, attention.key_value]
        weights[f"h.{i}.attn.c_attn.weight"] = torch.cat([part.weight for part in joined]).T
        weights[f"h.{i}.attn.c_attn.bias"] = torch.cat([part.bias for part in joined])
        for theirs_name, linear in (
            ("attn.c_proj", attention.output),
            ("mlp.c_fc", block.widen),
            ("mlp.c_proj", block.narrow),
        ):
            weights[f"h.{i}.{theirs_name}.weight"] = linear.weight.T
            weights[f"h.{i}.{theirs_name}.bias"] = linear.bias
    missing, unexpected = twin.load_state_dict(weights, strict=False)
    assert not unexpected
    assert not [name for name in missing if not name.endswith(("attn.bias", "masked_bias"))]
    twin.train(False)
    return twin


def test_the_encoder_is_gpt2s(model: GenerativeRecommender) -> None:
    with torch.no_grad():
        ours = model.encode(model.item_tables(), HISTORIES)
        theirs = as_gpt2(model)(input_ids=HISTORIES.clamp(min=0)).last_hidden_state
    torch.testing.assert_close(ours[0], theirs[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[1, :3], theirs[1, :3], atol=1e-5, rtol=1e-5)


def test_a_state_knows_nothing_of_what_comes_after(model: GenerativeRecommender) -> None:
    changed = HISTORIES.clone()
    changed[0, 4:] = 1
    with torch.no_grad():
        tables = model.item_tables()
        before, after = model.encode(tables, HISTORIES), model.encode(tables, changed)
    assert torch.equal(before[0, :4], after[0, :4])
    assert not torch.allclose(before[0, 4:], after[0, 4:])


def test_the_generative_head_is_a_distribution_over_the_catalogue(
    model: GenerativeRecommender,
) -> None:
    with torch.inference_mode():
        tables = model.item_tables()
        states = model.encode(tables, HISTORIES)
        decoder = GeneratorDecoder(DecoderWeights(model), tables, states, LENGTHS)
        beams = beam_search(decoder, model.index, num_requests=3, num_beams=60)
    torch.testing.assert_close(beams.log_prob.exp().sum(1), torch.ones(3), atol=1e-4, rtol=0)


def test_stepwise_decoding_gives_what_training_scores(model: GenerativeRecommender) -> None:
    """Beam search with caches, and all levels at once, are two ways to the same number."""
    with torch.inference_mode():
        tables = model.item_tables()
        states = model.encode(tables, HISTORIES)
        decoder = GeneratorDecoder(DecoderWeights(model), tables, states, LENGTHS)
        beams = beam_search(decoder, model.index, num_requests=3, num_beams=60)
        memory, seen = model.decoder_memory(states, LENGTHS)
        starts = model.last_states(states, LENGTHS)[:, None].expand(-1, 60, -1)
        decoded = model.decode_paths(tables, starts, memory, seen[:, None], beams.item_index)
        paths = Paths(model.index, beams.item_index.flatten())
        steps = paths.taken(
            model.path_log_probs(tables, model.queries(decoded).flatten(0, 1), paths)
        )
    torch.testing.assert_close(steps.sum(-1).view(3, 60), beams.log_prob, atol=1e-4, rtol=1e-4)


def test_the_loss_of_a_position_is_that_of_its_history_alone(
    model: GenerativeRecommender,
) -> None:
    """One pass over a sequence trains every prefix: each target's loss as if asked on its own."""
    nothing = torch.empty(0, dtype=torch.int64)
    sequence, target = HISTORIES[:1, :5], HISTORIES[:1, 1:6]
    with torch.no_grad():
        joint = model(item_index=sequence, target=target, opening=nothing)
        alone = []
        for position in range(5):
            asked = torch.full_like(target, NO_ITEM)
            asked[0, position] = target[0, position]
            prefix = sequence[:, : position + 1]
            alone.append(model(prefix, asked[:, : position + 1], nothing))
    for name in ("generative_loss", "dense_loss"):
        mean = torch.stack([getattr(each, name) for each in alone]).mean()
        torch.testing.assert_close(getattr(joint, name), mean, atol=1e-5, rtol=1e-5)


def test_the_decoder_is_taught_what_the_dense_head_says_of_every_step(
    model: GenerativeRecommender,
) -> None:
    """Each step's target: the dense softmax of the items beneath each child, over its parent's."""
    opening = torch.tensor([5, 9])
    asked = {"item_index": HISTORIES[:1, :5], "target": HISTORIES[:1, 1:6], "opening": opening}
    model.config.taught_share = 0.0
    untaught = model(**asked)
    model.config.taught_share = 1.0
    taught = model(**asked)
    assert torch.equal(taught.dense_loss, untaught.dense_loss)
    with torch.no_grad():
        tables = model.item_tables()
        empty = model.empty_state.expand(2, -1)
        states = torch.cat([model.encode(tables, HISTORIES[:1, :5])[0], empty])
        probability = model.dense_logits(tables, states).softmax(1)  # [7, N]
        total, wanted = 0.0, torch.cat([HISTORIES[0, 1:6], opening])
        for row in range(len(wanted)):
            lengths = torch.tensor([row + 1 if row < 5 else 0])
            decoded = model.decode_paths(
                tables,
                states[None, row : row + 1],
                *model.decoder_memory(states[None, : min(row, 4) + 1], lengths),
                wanted[None, row : row + 1],
            )
            paths = Paths(model.index, wanted[row : row + 1])
            log_probs = model.path_log_probs(tables, model.queries(decoded)[0], paths)
            for level, edges in enumerate(paths.edges):
                beneath = [
                    probability[row, model.index.items_below(level, child[None])[1]].sum()
                    for child in edges.child[edges.is_child]
                ]
                share = torch.stack(beneath) / sum(beneath)
                total -= float((share * log_probs[level][edges.is_child]).sum())
    torch.testing.assert_close(taught.generative_loss, torch.tensor(total / 7), rtol=1e-4, atol=0)


def test_a_lesson_does_not_change_the_teacher(model: GenerativeRecommender) -> None:
    """Of the decoder's loss alone, no gradient comes to the scale of the dense head."""
    model.config.taught_share = 0.5
    nothing = torch.empty(0, dtype=torch.int64)
    found = model(HISTORIES[:1, :5], HISTORIES[:1, 1:6], nothing)
    (gradient,) = torch.autograd.grad(found.generative_loss, [model.log_scales])
    assert gradient[0] == 0
    assert gradient[1] != 0


def test_a_node_vector_is_the_mean_direction_of_its_items(model: GenerativeRecommender) -> None:
    with torch.no_grad():
        tables = model.item_tables()
    for level, vectors in enumerate(tables.nodes):
        for node in range(len(vectors)):
            members = model.index.path_of(torch.arange(60))[:, level] == node
            mean = F.normalize(tables.directions[members].sum(0), dim=0)
            torch.testing.assert_close(vectors[node], mean, atol=1e-5, rtol=1e-5)


def test_a_residual_begins_at_nothing_and_moves_its_own_node_alone(
    model: GenerativeRecommender,
) -> None:
    config = copy.deepcopy(model.config)
    assert isinstance(config, GeneratorConfig)
    config.residual_nodes = model.index.num_nodes
    richer = GenerativeRecommender(config)
    richer.train(False)
    missing, unexpected = richer.load_state_dict(model.state_dict(), strict=False)
    assert (missing, unexpected) == (["node_residuals.weight"], [])
    with torch.no_grad():
        before, same = model.item_tables().nodes, richer.item_tables().nodes
        assert all(torch.equal(each, other) for each, other in zip(before, same, strict=True))
        assert richer.node_residuals is not None
        second_of_level_1 = config.residual_nodes[0] + 1
        richer.node_residuals.weight[second_of_level_1, 0] = 100.0
        after = richer.item_tables().nodes
    moved = [
        (level, node)
        for level, vectors in enumerate(after)
        for node in (vectors != before[level]).any(-1).nonzero()[:, 0].tolist()
    ]
    assert moved == [(1, 1)]
    torch.testing.assert_close(after[1].norm(dim=-1), torch.ones(len(after[1])))
    beneath = richer.index.path_of(torch.arange(60))[:, 1] == 1
    richer.known[beneath] = False  # what nobody has used has no residual
    with torch.no_grad():
        richer.node_residuals.weight[:] = 5.0
        mean = richer.item_tables().directions[beneath].sum(0)
        unknown = richer.item_tables().nodes[1][1]
    torch.testing.assert_close(unknown, F.normalize(mean, dim=0))


@torch.no_grad()
def test_an_unknown_item_has_no_part_of_its_own_and_borrows_one(
    model: GenerativeRecommender,
) -> None:
    encoder, before = model.item_encoder, model.item_tables().items
    model.known[7] = False
    encoder.own.weight[7] += 100.0
    after = model.item_tables().items
    others = torch.arange(60) != 7
    assert torch.equal(after[others], before[others])
    relatives = model.relatives()
    assert relatives is not None
    assert relatives.shares.sum() > 0
    shared = encoder.shared(model.codes, model.content)[7]
    borrowed = relatives.mean_of(encoder.own.weight)[0] * encoder.scale
    torch.testing.assert_close(after[7], shared + borrowed)
    model.train()
    torch.testing.assert_close(model.item_tables().items[7], shared)  # while others learn: none


def test_saving_and_loading_keeps_every_answer(
    model: GenerativeRecommender, tmp_path: Path
) -> None:
    model.save_pretrained(str(tmp_path))
    loaded = GenerativeRecommender.from_pretrained(str(tmp_path))
    loaded.train(False)
    with torch.no_grad():
        ours = model.dense_logits(model.item_tables(), model.encode(model.item_tables(), HISTORIES))
        tables = loaded.item_tables()
        theirs = loaded.dense_logits(tables, loaded.encode(tables, HISTORIES))
    assert torch.equal(ours, theirs)
    assert torch.equal(model.index.leaf_item, loaded.index.leaf_item)
