"""A complete, tiny run folder, made by the real programs, for every test that needs one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from genrec.__main__ import main as genrec_command
from genrec.artifacts import read
from genrec.embeddings import ItemEmbeddings
from genrec.interactions import Catalogue, Histories, InteractionDataset, Repeats

NUM_CHAINS = 6
CHAIN_LENGTH = 10
NUM_ITEMS = NUM_CHAINS * CHAIN_LENGTH
NUM_USERS = 150
NOISE = 0.1
CONTENT_WIDTH = 16


@pytest.fixture(scope="session")
def planted_data() -> InteractionDataset:
    """60 items in 6 chains: an item is followed by the next of its chain, but for some noise."""
    return planted_dataset()


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over `planted_data`; tests must not change it (copy it to do so)."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        make_tiny_run(run)
    finally:
        torch.set_num_threads(threads)
    return run


def planted_dataset() -> InteractionDataset:
    """The data set of `planted_data`, always the same."""
    generator = np.random.default_rng(0)
    histories, times = [], []
    for user in range(NUM_USERS):
        item = int(generator.integers(NUM_ITEMS))
        history = [item]
        for _ in range(int(generator.integers(4, 9))):
            item = _next_in_chain(item)
            if generator.random() < NOISE:
                item = int(generator.integers(NUM_ITEMS))
            if item in history:
                break
            history.append(item)
        histories.append(history)
        times.append([1_600_000_000 + 86_400 * user + 60 * place for place in range(len(history))])
    names = [f"part {item % CHAIN_LENGTH} of series {item // CHAIN_LENGTH}" for item in _items()]
    table = pl.DataFrame({"item_id": [f"i{item}" for item in _items()], "title": names})
    return InteractionDataset(
        name="planted chains",
        catalogue=Catalogue(table),
        user_ids=[f"u{user}" for user in range(NUM_USERS)],
        histories=Histories.from_lists(histories, times),
        repeats=Repeats.MASK,
        extra=pl.DataFrame(),
    )


def make_tiny_run(run: Path, split: str = "leave-last-out") -> None:
    """Every part of a run folder; content vectors are planted instead of read from titles."""
    at = ["--run", str(run), "--split", split]
    planted_dataset().save(run / "data", source="planted")
    embeddings = ItemEmbeddings(vectors=_planted_vectors(), model="planted")
    embeddings.save(run / "embeddings", parents={"data": read(run / "data", kind="data")})
    genrec_command(["train", "two-tower", *at, "--epochs", "5"])
    options = [f"--{name}={run / name}" for name in ("data", "embeddings")]
    options += [f"--two-tower={run / 'two_tower'}", f"--out={run / 'semantic_ids'}"]
    genrec_command(["tokenize", *options, "--split", split, "--levels", "3", "--codes", "16"])
    genrec_command(["train", "generator", *at, "--epochs", "8"])
    genrec_command(["train", "ranker", *at])


def _items() -> range:
    return range(NUM_ITEMS)


def _next_in_chain(item: int) -> int:
    chain, place = divmod(item, CHAIN_LENGTH)
    return chain * CHAIN_LENGTH + (place + 1) % CHAIN_LENGTH


def _planted_vectors() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """float32 [N, CONTENT_WIDTH]: items of a chain lie together, each at a place of its own."""
    generator = np.random.default_rng(1)
    chains = generator.normal(size=(NUM_CHAINS, CONTENT_WIDTH))
    places = generator.normal(size=(CHAIN_LENGTH, CONTENT_WIDTH))
    chain, place = np.divmod(np.arange(NUM_ITEMS), CHAIN_LENGTH)
    vectors = chains[chain] + 0.5 * places[place]
    return np.ascontiguousarray(vectors, dtype=np.float32)
