"""A small generator over a small catalogue, with random weights and a fixed seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrec.generator import GenerativeRecommender, GeneratorConfig
from genrec.generator.model import make_model

NUM_ITEMS = 60


def random_codes(num_items: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    """int32 [N, 3]: unique codes, 6 values a level, in no order."""
    random = np.random.default_rng(seed)
    drawn = random.permutation(6**3)[:num_items]
    return np.stack([drawn // 36, drawn // 6 % 6, drawn % 6], axis=1).astype(np.int32)


@pytest.fixture
def model() -> GenerativeRecommender:
    torch.manual_seed(0)
    config = GeneratorConfig(
        num_items=NUM_ITEMS,
        codebook_sizes=[6, 6, 6],
        content_width=8,
        history=8,
        width=16,
        num_heads=2,
        encoder_layers=2,
        decoder_layers=2,
        dropout=0.1,
    )
    content = np.random.default_rng(1).standard_normal((NUM_ITEMS, 8)).astype(np.float32)
    made = make_model(config, codes=random_codes(NUM_ITEMS), content=content)
    with torch.no_grad():  # large enough weights that every part of the model matters
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    made.train(False)
    return made
