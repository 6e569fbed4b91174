"""New items without a new fit: do they land among their like, and how long does one take?

`python -m benchmarks.add_items --run runs/beauty --out docs/results/add_items.json`

5 % of the items are held out: neither their texts nor any event with them takes part in the fit,
nor in the training of the retriever whose item vectors the codes describe beside the texts. Then
they are added one by one, by their texts alone, and compared with the fitted items. The rate
of an item is the share of the fitted items under its prefix with which it shares a category; an
item under whose prefix no other fitted item stands has no rate. Two definitions of sharing:

- `most_specific`: the last entry of `categories` is the same ("Nail Polish").
- `any`: they have an entry in common that at most 10 % of the catalogue has; brands are entries.

`random` is the rate with all fitted items instead of those under the prefix. Times are of one call
of `SemanticIdStore.add` on one thread, with everything: encoding, lock, search, write and fsync.
Where other work keeps all processors busy, a process that waited for the disk may have to wait for
the clock's next tick as well; `chrt -f 1 python -m …` measures without that, as the result says.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer
from rich.console import Console
from rich.table import Table
from scipy import sparse

from genrec import console
from genrec.embeddings import ItemEmbeddings
from genrec.evaluation import describe_environment
from genrec.interactions import (
    Histories,
    InteractionDataset,
    Protocol,
    split_histories,
)
from genrec.semantic_ids import (
    LinearQuantizer,
    Preparation,
    ResidualKMeansConfig,
    SemanticIds,
    SemanticIdStore,
    categories_of,
)
from genrec.semantic_ids.prefixes import PrefixGroups

from .held_out import HELD_OUT, fit_without, hold_out

app = console.program(__doc__)

COLUMN = "categories"
NUM_ITEMS_AT_SCALE, WIDTH_AT_SCALE, NUM_ADDED_AT_SCALE = 1_000_000, 64, 500
ITEMS_AT_ONCE = 1024

Rows = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint16]
Json = dict[str, Any]


@app.command()
def benchmark(
    run: Annotated[Path, typer.Option(help="A run folder with data/ and embeddings/.")],
    out: Annotated[Path, typer.Option(help="The JSON to write.")] = Path(
        "docs/results/add_items.json"
    ),
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this many less one.", min=1)] = 5,
) -> None:
    """Runs everything, prints it, and writes it."""
    torch.set_num_threads(1)
    subject = Subject.of(run)
    # On the disk of the run: where nothing is really written, fsync costs nothing.
    with tempfile.TemporaryDirectory(dir=run) as folder:
        trials = [trial(subject, seed, Path(folder) / str(seed)) for seed in range(seeds)]
        scale = at_scale(Path(folder) / "scale")
    report = {
        "data": subject.dataset.name,
        "held_out": HELD_OUT,
        "category_column": COLUMN,
        "agreement": combined([each["agreement"] for each in trials]),
        "existing_codes_unchanged": all(each["existing_codes_unchanged"] for each in trials),
        "trials": trials,
        "at_scale": scale,
        "real_time_priority": os.sched_getscheduler(0) == os.SCHED_FIFO,
        "environment": describe_environment(
            ["python", "-m", "benchmarks.add_items", *sys.argv[1:]]
        ),
    }
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    show(report)
    console.say(f"wrote {out}")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A data set, the vectors of its items, and what counts as sharing a category."""

    dataset: InteractionDataset
    train: Histories
    text: npt.NDArray[np.float32]
    labels: dict[str, sparse.csr_array]
    """By definition, [N, C]: 1 where an item has a category."""

    @classmethod
    def of(cls, run: Path) -> Subject:
        """What stands in a run folder."""
        dataset = InteractionDataset.load(run / "data")
        categories = categories_of(dataset.catalogue, COLUMN)
        assert categories is not None
        last = dataset.catalogue.table[COLUMN].list.last().fill_null("").to_numpy()
        names, column = np.unique(last.astype(str), return_inverse=True)
        where = (np.arange(len(column)), column)
        specific = sparse.coo_array((np.ones(len(column)), where), (len(column), len(names)))
        return cls(
            dataset=dataset,
            train=split_histories(dataset.histories, Protocol.LEAVE_LAST_OUT).train,
            text=np.asarray(ItemEmbeddings.load(run / "embeddings").vectors),
            labels={"most_specific": specific.tocsr(), "any": categories.counted[0]},
        )


def trial(subject: Subject, seed: int, folder: Path) -> Json:
    """Holds items out, fits the others, adds them, and compares."""
    num_items = subject.dataset.num_items
    generator = np.random.default_rng(seed)
    held, fitted = hold_out(num_items, generator)
    ids = fit_without(
        subject.train, subject.text, fitted, seed=seed, work=folder.with_name(f"{seed}-training")
    )
    ids.save(folder)
    names = subject.dataset.catalogue.ids(held)
    # Their order is that in which they are added, and it is not that of the catalogue.
    order = generator.permutation(len(held))
    times = add_one_by_one(folder, [names[row] for row in order], subject.text[held[order]])
    store = SemanticIdStore.open(folder)
    compaction = seconds(store.compact)
    codes = store.codes
    return {
        "seed": seed,
        "num_fitted": len(fitted),
        "num_added": len(held),
        "existing_codes_unchanged": bool((codes[: len(fitted)] == ids.codes).all()),
        "num_not_nearest": int((codes != store.native_codes)[len(fitted) :].any(axis=1).sum()),
        "agreement": agreements(
            subject.labels, codes, np.concatenate([fitted, held[order]]), len(fitted)
        ),
        "ms_per_item": times,
        "compaction_seconds": compaction,
    }


def add_one_by_one(folder: Path, names: list[str], content: npt.NDArray[np.float32]) -> Json:
    """Milliseconds of each call: percentiles; the first calls, which warm up, take part."""
    store = SemanticIdStore.open(folder)
    taken = []
    for row, name in enumerate(names):
        started = time.perf_counter()
        store.add([name], content[row : row + 1])
        taken.append(1e3 * (time.perf_counter() - started))
    p50, p95, p99 = np.percentile(taken, [50, 95, 99]).round(3).tolist()
    return {"p50": p50, "p95": p95, "p99": p99, "max": round(max(taken), 3), "num": len(taken)}


def agreements(
    labels: dict[str, sparse.csr_array], codes: Codes, items: Rows, num_fitted: int
) -> Json:
    """By definition and number of first codes: the rates of added and of fitted items.

    Args:
        labels: of the catalogue.
        codes: [N, L], of the fitted items and then those that were added.
        items: [N], the place in the catalogue of each row of `codes`.
        num_fitted: how many of the rows were fitted.
    """
    report: Json = {}
    for name, matrix in labels.items():
        shared = matrix[items]
        random = rate(shared, codes[:, :0], num_fitted, added=True)["rate"]
        for depth in (1, 2):
            added, fitted = (
                rate(shared, codes[:, :depth], num_fitted, added=which) for which in (True, False)
            )
            report[f"{name}, first {depth}"] = {
                "added": added,
                "fitted": fitted,
                "random": random,
                "ratio": added["rate"] / fitted["rate"],
                "ratio_of_pairs": added["rate_of_pairs"] / fitted["rate_of_pairs"],
            }
    return report


def rate(labels: sparse.csr_array, prefixes: Codes, num_fitted: int, *, added: bool) -> Json:
    """How often items share a category with the fitted items under their prefix."""
    groups = PrefixGroups(np.column_stack([prefixes, np.arange(len(prefixes))]))
    shares, num_pairs, num_sharing, num_asked = [], 0, 0.0, 0
    for number in range(len(groups.sizes)):
        rows = groups.rows(number)
        fitted = rows[rows < num_fitted]
        asking = rows[rows >= num_fitted] if added else fitted
        num_asked += len(asking)
        num_mates = len(fitted) - (not added)
        if num_mates < 1:
            continue
        mates = labels[fitted].T.tocsr()
        for start in range(0, len(asking), ITEMS_AT_ONCE):
            ours = labels[asking[start : start + ITEMS_AT_ONCE]]
            sharing = ((ours @ mates) > 0).sum(axis=1).astype(np.float64)
            if not added:
                sharing -= np.diff(ours.indptr) > 0  # with itself
            shares.extend((sharing / num_mates).tolist())
            num_pairs += len(sharing) * num_mates
            num_sharing += sharing.sum()
    return {
        "rate": float(np.mean(shares)),
        "rate_of_pairs": float(num_sharing / num_pairs),
        "share_with_prefix_mates": len(shares) / num_asked,
        "num_pairs": num_pairs,
    }


def combined(trials: list[Json]) -> Json:
    """Means over the trials, and the lowest and highest ratio."""
    report: Json = {}
    for name in trials[0]:
        each = [single[name] for single in trials]
        ratios = [single["ratio"] for single in each]
        report[name] = {
            "added": float(np.mean([single["added"]["rate"] for single in each])),
            "fitted": float(np.mean([single["fitted"]["rate"] for single in each])),
            "random": float(np.mean([single["random"] for single in each])),
            "ratio": float(np.mean(ratios)),
            "ratios": ratios,
            "ratio_of_pairs": float(np.mean([single["ratio_of_pairs"] for single in each])),
            "added_with_prefix_mates": float(
                np.mean([single["added"]["share_with_prefix_mates"] for single in each])
            ),
            "fitted_with_prefix_mates": float(
                np.mean([single["fitted"]["share_with_prefix_mates"] for single in each])
            ),
        }
    return report


def at_scale(folder: Path) -> Json:
    """The same times where a million items have ids; their codes are drawn, for no fit is timed."""
    generator = np.random.default_rng(0)
    config = ResidualKMeansConfig()
    shape = (config.num_levels, config.num_codes, WIDTH_AT_SCALE)
    codebooks = generator.normal(size=shape).astype(np.float32)
    codebooks *= 0.5 ** np.arange(config.num_levels, dtype=np.float32)[:, None, None]
    preparation = Preparation(width=WIDTH_AT_SCALE, out_width=WIDTH_AT_SCALE, rotates=False)
    num_ids = config.num_codes**config.num_levels
    drawn = np.unique(generator.integers(num_ids, size=NUM_ITEMS_AT_SCALE))
    digits = [drawn // config.num_codes**level % config.num_codes for level in (3, 2, 1, 0)]
    codes = np.stack(digits, axis=1).astype(np.uint16)
    quantizer = LinearQuantizer(preparation, torch.from_numpy(codebooks), WIDTH_AT_SCALE)
    SemanticIds(
        codes=codes,
        native_codes=codes,
        config=config,
        quantizer=quantizer,
        explained_variance=0.0,
    ).save(folder)
    # Every other item wants the id of one that is there.
    content = generator.normal(size=(NUM_ADDED_AT_SCALE, WIDTH_AT_SCALE)).astype(np.float32)
    wanted = codes[generator.integers(len(codes), size=NUM_ADDED_AT_SCALE // 2)].astype(np.int64)
    content[::2] = codebooks[np.arange(config.num_levels), wanted].sum(axis=1)
    times = add_one_by_one(folder, [str(item) for item in range(NUM_ADDED_AT_SCALE)], content)
    opening = seconds(lambda: SemanticIdStore.open(folder))
    store = SemanticIdStore.open(folder)
    return {
        "num_items": len(codes),
        "ms_per_item": times,
        "opening_seconds": opening,
        "compaction_seconds": seconds(store.compact),
    }


def seconds(action: Any) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    action()
    return round(time.perf_counter() - started, 3)


def show(report: Json) -> None:
    """Prints the rates and the times."""
    table = Table("shares a category", "added", "fitted", "ratio", "random", "with mates")
    for name, each in report["agreement"].items():
        table.add_row(
            name,
            f"{each['added']:.3f}",
            f"{each['fitted']:.3f}",
            f"{each['ratio']:.2f} ({min(each['ratios']):.2f}–{max(each['ratios']):.2f})",
            f"{each['random']:.3f}",
            f"{each['added_with_prefix_mates']:.1%} and {each['fitted_with_prefix_mates']:.1%}",
        )
    Console().print(table)
    for name, each in [("", report["trials"][0]), ("of a million, ", report["at_scale"])]:
        ms = each["ms_per_item"]
        console.say(
            f"{name}one item: p50 {ms['p50']} ms, p95 {ms['p95']} ms, p99 {ms['p99']} ms; "
            f"compaction: {each['compaction_seconds']} s"
        )


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
