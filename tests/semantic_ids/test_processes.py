"""Two processes fit every tokenizer together: they end, agree, and do it as well as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from genrec import artifacts
from genrec.embeddings import ItemEmbeddings
from genrec.interactions import DATA_KIND, Catalogue, Histories, InteractionDataset, Repeats
from genrec.semantic_ids import SemanticIds
from genrec.training.processes import from_main, gathered, own_share, processes

CHECKOUT = Path(__file__).parents[2]

PROGRAM = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
import torch
from genrec.errors import GenrecError, InputError
from genrec.semantic_ids import (
    COLLABORATIVE, CodebookUpdate, Modality, ProductConfig, ResidualKMeansConfig, RqVaeConfig,
    fit_semantic_ids,
)
from genrec.training.processes import from_main, gathered, own_share, processes

def vectors_of(num_items, width, seed=0):
    generator = np.random.default_rng(seed)
    centres = 2 * generator.normal(size=(30, width))
    noise = generator.normal(size=(num_items, width))
    return (centres[generator.integers(0, 30, num_items)] + noise).astype(np.float32)

SIZES = {"num_levels": 3, "num_codes": 32}
RQVAE = {**SIZES, "hidden_width": 32, "latent_width": 12}
METHODS = {
    "rkmeans": ResidualKMeansConfig(**SIZES),
    "opq": ProductConfig(**SIZES),
    "rqvae": RqVaeConfig(**RQVAE),
    "rqvae-gradient": RqVaeConfig(
        **RQVAE, codebook_update=CodebookUpdate.GRADIENT, sinkhorn_last_level=True
    ),
    "rqvae-aligned": RqVaeConfig(**RQVAE, alignment_weight=10.0),
}

def fit(num_items, config, fused):
    learnt = {
        COLLABORATIVE: Modality(
            vectors=vectors_of(num_items, 6, seed=1),
            weight=1.0,
            confidence=np.linspace(0, 1, num_items, dtype=np.float32) if num_items > 1 else None,
        )
    }
    aligned = getattr(config, "alignment_weight", 0.0) > 0
    ids = fit_semantic_ids(
        vectors_of(num_items, 16), config, modalities=learnt if fused or aligned else None
    )
    digest = hashlib.sha256(ids.codes.tobytes() + ids.native_codes.tobytes())
    for tensor in ids.quantizer.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return {
        "digest": digest.hexdigest(),
        "explained": ids.explained_variance,
        "collisions": ids.health.native_collision_rate,
        "distinct": len(np.unique(ids.codes, axis=0)),
    }

def error_of(kind, call):
    try:
        call()
    except kind as error:
        return [type(error).__name__, str(error)]

def fail():
    raise InputError("only the main process sees this")

folder = Path(sys.argv[1])
state = processes()
broken = vectors_of(50, 4)
broken[7] = np.nan
rows = np.arange(7 * 3, dtype=np.uint16).reshape(7, 3)
found = {
    "processes": state.num_processes,
    "fits": {name: fit(2000, config, fused=False) for name, config in METHODS.items()},
    "fused": fit(2000, METHODS["rkmeans"], fused=True),
    "tiny": [
        fit(num_items, METHODS[name], fused=False)
        for num_items in (1, 3) for name in ("rkmeans", "opq", "rqvae")
    ],
    "refused": error_of(InputError, lambda: fit_semantic_ids(broken, METHODS["rkmeans"])),
    "main failed": error_of(GenrecError, lambda: from_main(fail)),
    "gathered": gathered(rows[own_share(7)], 7).tolist(),
    "one gathered": gathered(rows[:1][own_share(1)], 1).tolist(),
    "from main": from_main(lambda: {"index": torch.tensor([state.process_index])})["index"].item(),
}
(folder / f"{state.process_index}.json").write_text(json.dumps(found))
"""


def launched(num_processes: int, *words: str) -> subprocess.CompletedProcess[str]:
    """What `python WORDS` does, on so many processes."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(num_processes)]
    return subprocess.run(
        [sys.executable, *(launch if num_processes > 1 else []), *words],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def run(folder: Path, num_processes: int) -> list[dict[str, Any]]:
    """What each process found."""
    folder.mkdir()
    script = folder / "fits.py"
    script.write_text(PROGRAM)
    done = launched(num_processes, str(script), str(folder))
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(num_processes)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("runs") / "alone", 1)[0]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run(tmp_path_factory.mktemp("runs") / "both", 2)


@pytest.mark.slow
def test_two_processes_end_with_the_same_ids_and_weights(both: list[dict[str, Any]]) -> None:
    first, second = both
    assert first["processes"] == second["processes"] == 2
    for name in ("fits", "fused", "tiny", "gathered", "from main"):
        assert first[name] == second[name], name


@pytest.mark.slow
def test_two_processes_fit_the_same_again(
    both: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert run(tmp_path_factory.mktemp("runs") / "again", 2) == both


@pytest.mark.slow
def test_two_processes_fit_as_well_as_one(
    alone: dict[str, Any], both: list[dict[str, Any]]
) -> None:
    assert alone["processes"] == 1
    for name, one in alone["fits"].items():
        two = both[0]["fits"][name]
        assert two["explained"] == pytest.approx(one["explained"], rel=0.05), name
        assert two["collisions"] == pytest.approx(one["collisions"], abs=0.05), name
        assert two["distinct"] == 2000


@pytest.mark.slow
def test_what_no_chance_decides_is_the_same_on_one_process_as_on_two(
    alone: dict[str, Any], both: list[dict[str, Any]]
) -> None:
    for name in ("rkmeans", "opq"):
        assert both[0]["fits"][name]["digest"] == alone["fits"][name]["digest"], name
    assert both[0]["fused"] == alone["fused"]


@pytest.mark.slow
def test_a_catalogue_smaller_than_the_processes_is_fitted(both: list[dict[str, Any]]) -> None:
    assert [fitted["distinct"] for fitted in both[0]["tiny"]] == [1, 1, 1, 3, 3, 3]


@pytest.mark.slow
def test_what_one_process_refuses_all_refuse(both: list[dict[str, Any]]) -> None:
    for found in both:
        kind, message = found["refused"]
        assert kind == "InputError"
        assert "rows [7]" in message
    assert both[0]["main failed"] == ["InputError", "only the main process sees this"]
    assert both[1]["main failed"] == ["GenrecError", "only the main process sees this"]


@pytest.mark.slow
def test_shares_come_together_in_order(both: list[dict[str, Any]]) -> None:
    assert both[0]["gathered"] == np.arange(21).reshape(7, 3).tolist()
    assert both[0]["one gathered"] == [[0, 1, 2]]
    assert both[1]["from main"] == 0


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A run folder with data and embeddings of 80 items."""
    drawn = np.random.default_rng(0)
    dataset = InteractionDataset(
        name="planted",
        catalogue=Catalogue(pl.DataFrame({"item_id": [f"i{item}" for item in range(80)]})),
        user_ids=[f"u{user}" for user in range(20)],
        histories=Histories.from_lists([drawn.permutation(80)[:6].tolist() for _ in range(20)]),
        repeats=Repeats.MASK,
        extra=pl.DataFrame(),
    )
    dataset.save(tmp_path / "data", source="planted")
    vectors = drawn.normal(size=(80, 12)).astype(np.float32)
    ItemEmbeddings(vectors=vectors, model="planted").save(
        tmp_path / "embeddings", parents={"data": artifacts.read(tmp_path / "data", kind=DATA_KIND)}
    )
    return tmp_path


def tokenized(run: Path, out: str, num_processes: int, codes: int) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the program."""
    folders = [f"--data={run / 'data'}", f"--embeddings={run / 'embeddings'}", f"--out={run / out}"]
    sizes = ["--method=rkmeans", "--inputs=text", "--levels=2", f"--codes={codes}"]
    done = launched(num_processes, "-m", "tokenizer.semantic_ids", *folders, *sizes)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_program_on_two_processes_writes_and_prints_once(planted: Path) -> None:
    code, printed, errors = tokenized(planted, "both", 2, codes=9)
    assert code == 0, errors
    assert printed.count("wrote") == printed.count("variance explained") == 1
    tokenized(planted, "one", 1, codes=9)
    both, one = (SemanticIds.load(planted / name) for name in ("both", "one"))
    np.testing.assert_array_equal(both.codes, one.codes)
    _, printed, _ = tokenized(planted, "both", 2, codes=9)
    assert printed.count("up to date") == 1


@pytest.mark.slow
def test_the_program_on_two_processes_ends_where_it_must_refuse(planted: Path) -> None:
    code, _, errors = tokenized(planted, "both", 2, codes=3)
    assert code != 0
    assert "give 9 ids, too few for 80 items" in errors
    assert not (planted / "both").exists()


def test_alone_nothing_is_sent() -> None:
    assert processes().num_processes == 1
    assert own_share(5) == slice(0, 5)
    rows = np.arange(6).reshape(3, 2)
    assert gathered(rows, 3) is rows
    given = {"x": torch.zeros(2)}
    assert from_main(lambda: given) is given
    assert not torch.distributed.is_initialized()
