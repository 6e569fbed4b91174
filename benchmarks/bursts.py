"""Whether answers stay in time, and how soon the asked method is back after a burst of load.

`python -m benchmarks.bursts --run runs/demo --out docs/results/bursts.json`

- `bursts`: eight threads ask at once for a while, then one thread asks 200 times on the quiet
  machine: how often the asked method answered, after how many requests it did first, and how many
  answers were late.
- `sizes`: one thread asks for lists of every length after histories of every length, in an order
  that is drawn: how many answers came later than the budget and the slack.

Everything runs on one thread of PyTorch, with the budget that is given. Where other work keeps all
processors busy, `chrt -f 1 python -m …` measures without it, as the result says.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.markdown import markdown_table, put_between_marks
from benchmarks.results import write_text
from genrec import artifacts, console
from genrec.evaluation import describe_environment
from genrec.funnel import Question, RecommendedList, Recommender

app = console.program(__doc__)

NUM_THREADS = 8
BURST_SECONDS = (0.3, 0.5, 0.7, 0.9)
ROUNDS = 3
QUIET_REQUESTS = 200
QUIET_LENGTH = 20
K = 10
KS = (10, 100, 1000, None)
"""Items asked for; None asks for all."""
LENGTHS = (0, 10, 1000, 1_000_000)
SLACK_MS = 5.0
REST = 0.1
"""Of the time of every quiet answer: a process of real-time priority is stopped where it never
rests."""

Json = dict[str, Any]


@app.command()
def benchmark(
    run: Annotated[Path, typer.Option(help="A trained run.")],
    out: Annotated[Path, typer.Option(help="The JSON to write.")] = Path(
        "docs/results/bursts.json"
    ),
    method: Annotated[str, typer.Option(help="Asked for.")] = "combined",
    budget_ms: Annotated[float, typer.Option(help="Of every request.", min=1.0)] = 50.0,
    requests: Annotated[int, typer.Option(help="Of `sizes`.", min=1)] = 1000,
    page: Annotated[Path | None, typer.Option(help="A document to put the tables into.")] = None,
) -> None:
    """Measures, prints and writes."""
    torch.set_num_threads(1)
    recommender = Recommender.load(run, method=method)
    report: Json = {
        "method": method,
        "budget_ms": budget_ms,
        "slack_ms": SLACK_MS,
        "num_items": recommender.dataset.num_items,
        "num_threads": NUM_THREADS,
        "warm_up_ms": dict(recommender.warm_up_ms),
        "bursts": measure_bursts(recommender, budget_ms),
        "sizes": measure_sizes(recommender, budget_ms, requests),
        "made_by": {
            kind: dict(artifacts.read(run / kind, kind=kind).config) for kind in ("generator",)
        },
        "real_time_priority": os.sched_getscheduler(0) == os.SCHED_FIFO,
        "environment": describe_environment(["python", "-m", "benchmarks.bursts", *sys.argv[1:]]),
    }
    write_text(out, json.dumps(report, indent=1) + "\n")
    show(report)
    if page is not None:
        for name, (head, rows) in tables(report).items():
            put_between_marks(page, name, markdown_table(head, rows))
    console.say(f"wrote {out}")


def draw_history(recommender: Recommender, length: int, seed: int) -> list[str]:
    """Item ids, each as likely as any other."""
    drawn = np.random.default_rng(seed).integers(0, recommender.dataset.num_items, length)
    return recommender.dataset.catalogue.ids(drawn.tolist())


def measure_bursts(recommender: Recommender, budget_ms: float) -> list[Json]:
    """Every length of burst, `ROUNDS` times, one after another on the same recommender."""
    histories = [draw_history(recommender, QUIET_LENGTH, seed) for seed in range(QUIET_REQUESTS)]
    ask_quietly(recommender, histories, budget_ms)
    rows = []
    for seconds in BURST_SECONDS * ROUNDS:
        during = burst(recommender, histories, seconds, budget_ms)
        after = ask_quietly(recommender, histories, budget_ms)
        served = [each.served_by == recommender.method for each in after]
        rows.append(
            {
                "seconds": seconds,
                "during": len(during),
                "during_share": share(each.served_by == recommender.method for each in during),
                "during_p99_ms": float(np.quantile([each.total_ms for each in during], 0.99)),
                "share": share(served),
                "first": served.index(True) + 1 if any(served) else None,
                "late": num_late(after, budget_ms),
                "p99_ms": float(np.quantile([each.total_ms for each in after], 0.99)),
            }
        )
    return rows


def burst(
    recommender: Recommender, histories: Sequence[Sequence[str]], seconds: float, budget_ms: float
) -> list[RecommendedList]:
    """What the threads were answered while all of them asked without a pause."""
    answers: list[RecommendedList] = []
    until = time.perf_counter() + seconds

    def ask(thread: int) -> None:
        place = thread
        while time.perf_counter() < until:
            question = Question(history=histories[place % len(histories)])
            answers.append(recommender.answer(question, k=K, budget_ms=budget_ms))
            place += NUM_THREADS

    threads = [threading.Thread(target=ask, args=(each,)) for each in range(NUM_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def ask_quietly(
    recommender: Recommender, histories: Sequence[Sequence[str]], budget_ms: float
) -> list[RecommendedList]:
    """One answer after another."""
    return [ask_once(recommender, Question(history=history), K, budget_ms) for history in histories]


def ask_once(
    recommender: Recommender, question: Question, k: int, budget_ms: float
) -> RecommendedList:
    """The answer without its items, which nobody keeps; and a rest."""
    answer = replace(recommender.answer(question, k=k, budget_ms=budget_ms), items=[])
    time.sleep(REST * answer.total_ms / 1000.0)
    return answer


def measure_sizes(recommender: Recommender, budget_ms: float, requests: int) -> list[Json]:
    """All pairs of KS and LENGTHS equally often, in a drawn order."""
    num_items = recommender.dataset.num_items
    pairs = [(k or num_items, length) for k in KS for length in LENGTHS]
    questions = {length: draw_history(recommender, length, length) for length in LENGTHS}
    answers: dict[tuple[int, int], list[RecommendedList]] = {pair: [] for pair in pairs}
    order = np.random.default_rng(0).permutation(np.arange(requests) % len(pairs))
    for place in order.tolist():
        k, length = pairs[place]
        question = Question(history=questions[length])
        answers[pairs[place]].append(ask_once(recommender, question, k, budget_ms))
    return [
        {
            "k": k,
            "history": length,
            "requests": len(found),
            "share": share(each.served_by == recommender.method for each in found),
            "p50_ms": float(np.median([each.total_ms for each in found])),
            "most_ms": max(each.total_ms for each in found),
            "late": num_late(found, budget_ms),
        }
        for (k, length), found in answers.items()
        if found
    ]


def num_late(answers: Sequence[RecommendedList], budget_ms: float) -> int:
    """How many came later than the budget and the slack."""
    return sum(each.total_ms > budget_ms + SLACK_MS for each in answers)


def share(happened: Any) -> float:  # Any: whatever numpy makes a list of booleans of
    """Of all, how much of it was true."""
    return float(np.mean(list(happened)))


def tables(report: Json) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Head and rows of each table, by the name of its marks."""
    bursts = [
        [
            f"{row['seconds']:.1f}",
            f"{row['during']:,}",
            f"{row['during_share']:.0%}",
            f"{row['share']:.1%}",
            "never" if row["first"] is None else str(row["first"]),
            f"{row['p99_ms']:.1f}",
            str(row["late"]),
        ]
        for row in report["bursts"]
    ]
    sizes = [
        [
            f"{row['k']:,}",
            f"{row['history']:,}",
            str(row["requests"]),
            f"{row['share']:.0%}",
            f"{row['p50_ms']:.1f}",
            f"{row['most_ms']:.1f}",
            str(row["late"]),
        ]
        for row in report["sizes"]
    ]
    method = report["method"]
    after = [f"{method} of {QUIET_REQUESTS} after", "first at", "p99 ms", "late"]
    return {
        "bursts": (["burst s", "answers in it", f"{method} in it", *after], bursts),
        "sizes": (["k", "history", "requests", method, "p50 ms", "most ms", "late"], sizes),
    }


def show(report: Json) -> None:
    """The tables for people."""
    for head, rows in tables(report).values():
        table = Table(*head)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    late = sum(row["late"] for row in report["sizes"])
    console.say(f"{late} of {sum(row['requests'] for row in report['sizes']):,} sizes were late")


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
