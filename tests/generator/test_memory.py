"""Ranking the whole of a large catalogue for many people takes memory that is bounded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_BYTES = 2**30
ROOT = Path(__file__).parents[2]
PROGRAM = """
import resource, sys
import numpy as np, torch
from genrec.generator import GeneratorConfig, GeneratorSource, Mode
from genrec.generator.model import make_model
from genrec.interactions import NO_ITEM, Histories, RequestBatch

mode, num_items, people, codes_a_level = sys.argv[1], 100_000, 64, 64
torch.set_num_threads(1)
draw = np.random.default_rng(0)
drawn = draw.choice(codes_a_level**4, num_items, replace=False)
codes = np.stack([drawn // codes_a_level**n % codes_a_level for n in range(4)], axis=1)
config = GeneratorConfig(num_items=num_items, codebook_sizes=[codes_a_level] * 4, content_width=8)
model = make_model(config, codes=codes, content=draw.normal(size=(num_items, 8)))
source = GeneratorSource(model, Mode(mode))
histories = [draw.integers(0, num_items, 50).tolist() for _ in range(people)]
requests = RequestBatch.from_histories(Histories.from_lists(histories)).without_seen()
source.recommend(requests.rows(0, 1), 10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = source.recommend(requests, num_items)
assert int((found.item_index != NO_ITEM).sum(1).min()) >= num_items - 50
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["generative", "dense", "combined"])
def test_all_of_a_hundred_thousand_items_are_ranked_for_64_people_within_a_gigabyte(
    mode: str,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    assert int(done.stdout) <= LIMIT_BYTES
