"""What an encoded history saves that is kept, and what a slate costs.

`python -m benchmarks.user_state --run runs/beauty --out docs/results/user_state.json`

- `append`: one new event on a kept state beside encoding the whole window anew, on one thread.
- `slates`: a slate of 10 for one person with a full window, by the number of beams, on one thread.
  Both on the default model with random weights over 12,101 items; the arms take turns, ratios are
  of neighbours.
- `agreement`: slates of few beams beside those of 50, on people of a trained run: the share of
  first items that are the same, of items that are in both, of slates that are the same throughout,
  and the log-probability of a whole slate. Left out without `--run`.

Where other work keeps all processors busy, `chrt -f 1 python -m …` measures without it, as the
result says.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from genrec import artifacts, console
from genrec.evaluation import describe_environment
from genrec.generator import (
    DEFAULT_BEAMS,
    GenerativeRecommender,
    GeneratorConfig,
    GeneratorSource,
    GeneratorTraining,
    HistoryEncoder,
    Mode,
    SlateConfig,
    SlateSource,
    load_generator,
)
from genrec.generator.combination import Weights
from genrec.generator.items import ItemTables
from genrec.generator.model import make_model
from genrec.interactions import (
    Histories,
    InteractionDataset,
    Protocol,
    RequestBatch,
    split_histories,
)

app = console.program(__doc__)

NUM_ITEMS = 12_101
LENGTHS = (10, 25, 49)
BEAMS = (1, 5, 10, 20, 50)
SLATE_SIZE = 10
REPEATS = {"append": 200, "slates": 30}
WARM_UP = 3
REST = 0.1
"""Of the time of every run: a process of real-time priority is stopped where it never rests."""
NUM_PEOPLE = 200

Json = dict[str, Any]
Arms = Mapping[str, Callable[[], object]]


@app.command()
def benchmark(
    run: Annotated[Path | None, typer.Option(help="A trained run, for `agreement`.")] = None,
    out: Annotated[Path, typer.Option(help="The JSON to write.")] = Path(
        "docs/results/user_state.json"
    ),
) -> None:
    """Runs everything, prints it, and writes it."""
    torch.set_num_threads(1)
    model = random_model()
    with torch.inference_mode():
        tables = model.item_tables()
        report: Json = {
            "num_items": NUM_ITEMS,
            "slate_size": SLATE_SIZE,
            "append": [measure_append(model, tables, length) for length in LENGTHS],
            "slates": [measure_slates(model, tables, mode) for mode in Mode],
        }
    if run is not None:
        searching = (Mode.GENERATIVE, Mode.COMBINED)
        report["agreement"] = [measure_agreement(run, mode) for mode in searching]
    report["real_time_priority"] = os.sched_getscheduler(0) == os.SCHED_FIFO
    report["environment"] = describe_environment(
        ["python", "-m", "benchmarks.user_state", *sys.argv[1:]]
    )
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    show(report)
    console.say(f"wrote {out}")


def random_model() -> GenerativeRecommender:
    """The default size, over items with random codes."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    config = GeneratorConfig(num_items=NUM_ITEMS, num_followers=GeneratorTraining().followers)
    codes = generator.choice(256**config.num_levels, NUM_ITEMS, replace=False)
    levels = [codes // 256**level % 256 for level in range(config.num_levels)]
    content = generator.standard_normal((NUM_ITEMS, config.content_width)).astype(np.float32)
    lists = (NUM_ITEMS, config.num_followers)
    model = make_model(
        config,
        codes=np.stack(levels, axis=1),
        content=content,
        followers=generator.integers(0, NUM_ITEMS, lists),
        follower_strengths=generator.random(lists),
    )
    model.train(False)
    return model


def random_history(length: int) -> torch.Tensor:
    """int64 [1, T]."""
    return torch.from_numpy(np.random.default_rng(length).integers(0, NUM_ITEMS, (1, length)))


def measure_append(model: GenerativeRecommender, tables: ItemTables, length: int) -> Json:
    """The last event of a history of this length."""
    history = random_history(length)
    encoder = HistoryEncoder(model)
    before = encoder.append(tables, encoder.start(1), history[:, :-1])
    times = in_turn(
        {
            "anew": lambda: model.encode(tables, history),
            "append": lambda: encoder.append(tables, before, history[:, -1:]),
        },
        REPEATS["append"],
    )
    ratios = times["anew"] / times["append"]
    return {
        "history": length,
        **{f"{arm}_p50_ms": float(np.median(each)) for arm, each in times.items()},
        "ratio": float(np.median(ratios)),
        "ratio_range": [float(each) for each in np.quantile(ratios, (0.05, 0.95))],
        "state_bytes": encoder.append(tables, before, history[:, -1:]).num_bytes,
    }


def measure_slates(model: GenerativeRecommender, tables: ItemTables, mode: Mode) -> Json:
    """Every number of beams for one person; the dense head has none."""
    source = GeneratorSource(model, mode, tables=tables)
    history = random_history(model.config.history - 1).tolist()
    asked = RequestBatch.from_histories(Histories.from_lists(history)).without_seen()
    beams = (SlateConfig().num_beams,) if mode is Mode.DENSE else BEAMS
    arms = {str(each): SlateSource(source, SlateConfig(num_beams=each)) for each in beams}
    times = in_turn(
        {name: lambda arm=arm: arm.recommend(asked, SLATE_SIZE) for name, arm in arms.items()},
        REPEATS["slates"],
    )
    most = times[str(beams[-1])]
    return {
        "mode": str(mode),
        "by_beams": {
            name: {
                "p50_ms": float(np.median(each)),
                "p99_ms": float(np.quantile(each, 0.99)),
                "share_of_most_beams": float(np.median(each / most)),
            }
            for name, each in times.items()
        },
    }


def measure_agreement(run: Path, mode: Mode) -> Json:
    """Slates of few beams beside those of the default for lists, for people of a trained run."""
    dataset = InteractionDataset.load(run / "data")
    questions = split_histories(dataset.histories, Protocol.LEAVE_LAST_OUT).test
    people = np.random.default_rng(0).choice(
        len(questions), min(NUM_PEOPLE, len(questions)), replace=False
    )
    histories = questions.histories.select(np.sort(people))
    asked = RequestBatch.from_histories(histories).without_seen()
    source = GeneratorSource(load_generator(run / "generator"), mode)

    def slates(num_beams: int) -> tuple[torch.Tensor, torch.Tensor]:
        made = SlateSource(source, SlateConfig(num_beams=num_beams)).recommend(asked, SLATE_SIZE)
        return made.item_index, made.score[:, -1]

    reference, _ = slates(DEFAULT_BEAMS)
    by_beams = {}
    for num_beams in BEAMS:
        items, log_prob = slates(num_beams)
        by_beams[str(num_beams)] = {
            "same_first_item": float((items[:, 0] == reference[:, 0]).float().mean()),
            "items_in_both": float(
                (items[:, :, None] == reference[:, None]).any(-1).float().mean()
            ),
            "same_slate": float((items == reference).all(1).float().mean()),
            "mean_log_prob": float(log_prob.mean()),
        }
    return {
        "mode": str(mode),
        "data": dataset.name,
        "people": len(asked),
        "made_by": {
            kind: dict(artifacts.read(run / kind, kind=kind).config)
            for kind in ("semantic_ids", "generator")
        },
        "combination": asdict(Weights.of(source.model.config)),
        "by_beams": by_beams,
    }


def in_turn(arms: Arms, repeats: int) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Milliseconds of every repeat; the arms take turns, so that all meet the same disturbances."""
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    for repeat in range(repeats + WARM_UP):
        for arm, run_once in arms.items():
            started = time.perf_counter()
            run_once()
            seconds = time.perf_counter() - started
            time.sleep(REST * seconds)
            if repeat >= WARM_UP:
                times[arm].append(1e3 * seconds)
    return {arm: np.array(each) for arm, each in times.items()}


def show(report: Json) -> None:
    """The tables for people."""
    append = Table("history", "anew p50 ms", "append p50 ms", "ratio (5–95 %)", "state kB")
    for row in report["append"]:
        low, high = row["ratio_range"]
        append.add_row(
            str(row["history"]),
            f"{row['anew_p50_ms']:.2f}",
            f"{row['append_p50_ms']:.2f}",
            f"{row['ratio']:.2f} ({low:.2f}–{high:.2f})",
            f"{row['state_bytes'] / 1e3:.0f}",
        )
    slates = Table("slates of", "beams", "p50 ms", "p99 ms", "share of most beams")
    for group in report["slates"]:
        for beams, row in group["by_beams"].items():
            slates.add_row(
                group["mode"],
                beams,
                f"{row['p50_ms']:.1f}",
                f"{row['p99_ms']:.1f}",
                f"{row['share_of_most_beams']:.2f}",
            )
    agreement = Table("slates of", "beams", "same first", "items in both", "same slate", "log p")
    for group in report.get("agreement", ()):
        for beams, row in group["by_beams"].items():
            agreement.add_row(group["mode"], beams, *(f"{each:.3f}" for each in row.values()))
    for table in (append, slates, agreement):
        if table.row_count:
            Console().print(table)


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
