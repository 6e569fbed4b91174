"""Whatever is permitted, nothing else is ever generated: a hundred thousand drawn requests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from genrec.evaluation import Faults
from genrec.evaluation.offline import count_faults
from genrec.generator import GeneratorConfig, GeneratorSource, Mode
from genrec.generator.model import make_model
from genrec.interactions import NO_ITEM, Histories, RequestBatch

NUM_REQUESTS, AT_ONCE, NUM_ITEMS, NUM_CODES, K = 100_000, 500, 2_000, 16, 10
SHARES = (0.0, 0.002, 0.1, 0.9)


def drawn_requests(draw: np.random.Generator) -> RequestBatch:
    """Histories, filters of one's own or for all, and items left out."""
    lengths = draw.integers(0, 12, AT_ONCE)
    histories = [draw.integers(0, NUM_ITEMS, length).tolist() for length in lengths]
    rows = 1 if draw.random() < 0.3 else AT_ONCE
    shares = draw.choice(SHARES, (rows, 1))
    return replace(
        RequestBatch.from_histories(Histories.from_lists(histories)),
        allowed=torch.from_numpy(draw.random((rows, NUM_ITEMS)) < shares),
        excluded=torch.from_numpy(draw.integers(NO_ITEM, NUM_ITEMS, (AT_ONCE, 30))),
    )


@pytest.mark.slow
def test_nothing_is_generated_that_is_not_permitted() -> None:
    draw = np.random.default_rng(0)
    drawn = draw.choice(NUM_CODES**4, NUM_ITEMS, replace=False)
    codes = np.stack([drawn // NUM_CODES**n % NUM_CODES for n in range(4)], axis=1)
    torch.manual_seed(0)
    config = GeneratorConfig(
        num_items=NUM_ITEMS,
        codebook_sizes=[NUM_CODES] * 4,
        content_width=8,
        history=8,
        width=16,
        num_heads=2,
    )
    model = make_model(config, codes=codes, content=draw.normal(size=(NUM_ITEMS, 8)))
    source = GeneratorSource(model, Mode.GENERATIVE, num_beams=K)
    faults = Faults()
    for _ in range(0, NUM_REQUESTS, AT_ONCE):
        requests = drawn_requests(draw)
        faults += count_faults(source.recommend(requests, K), requests, NUM_ITEMS)
    assert faults == Faults()
