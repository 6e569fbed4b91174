"""Finished runs of benchmarks.tokenizers: kept with every target's rank, averaged, compared."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.evaluation import BootstrapConfig, bootstrap_mean, compare_paired, ndcg_at, recall_at

__all__ = ["Run", "find_runs", "load_runs", "markdown", "save_run", "write_results"]

K = 10
METRICS = {"recall@10": recall_at, "ndcg@10": ndcg_at}
REFERENCES = ("rqvae-text", "random")
"""What every other arm is compared with."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One generator, trained on the codes of one arm."""

    record: dict[str, Any]
    """`arm`, `dataset`, `seed`, what the tokenizer's health was, and `identity`."""
    ranks: dict[str, npt.NDArray[np.uint8]]
    """By `validation generative` and so on, uint8 [B]: the place of each target, 0 where it is not
    among the first 10."""

    @property
    def name(self) -> str:
        """`dataset/arm-seed`."""
        return f"{self.record['dataset']}/{self.record['arm']}-{self.record['seed']}"


def save_run(home: Path, run: Run) -> None:
    """Writes a finished run; `run.json` is written last."""
    home.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(home / "ranks.npz", allow_pickle=False, **run.ranks)
    (home / "run.json").write_text(json.dumps(run.record, indent=1))


def find_runs(work: Path) -> dict[str, Run]:
    """The finished runs of a work folder, by name."""
    runs = {}
    for file in sorted(work.glob("*/*/run.json")):
        with np.load(file.parent / "ranks.npz", allow_pickle=False) as ranks:
            run = Run(record=json.loads(file.read_text()), ranks=dict(ranks))
        runs[run.name] = run
    return runs


def load_runs(out: Path) -> dict[str, Run]:
    """The runs of a results file, by name; none where there is no such file."""
    if not out.is_file():
        return {}
    runs = {}
    with np.load(out.with_suffix(".npz"), allow_pickle=False) as ranks:
        for record in json.loads(out.read_text())["runs"]:
            run = Run(record=record, ranks={})
            start = f"{run.name}/"
            run.ranks.update(
                {key[len(start) :]: ranks[key] for key in ranks.files if key.startswith(start)}
            )
            runs[run.name] = run
    return runs


def write_results(out: Path, runs: Mapping[str, Run], environment: Mapping[str, Any]) -> None:
    """Writes the table as JSON, and every target's rank as a compressed .npz beside it."""
    ordered = [runs[name] for name in sorted(runs)]
    out.parent.mkdir(parents=True, exist_ok=True)
    ranks = {f"{run.name}/{key}": values for run in ordered for key, values in run.ranks.items()}
    np.savez_compressed(out.with_suffix(".npz"), allow_pickle=False, **ranks)
    results = {
        "environment": dict(environment),
        "arms": summarise(ordered),
        "runs": [run.record for run in ordered],
    }
    out.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")


def summarise(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One entry a data set and arm: means over seeds, intervals over people, paired differences."""
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.record["dataset"], run.record["arm"]].append(run)
    return [
        {
            "dataset": dataset,
            "arm": arm,
            "seeds": [run.record["seed"] for run in group],
            "tokenizer": _mean_health(group),
            "figures": {key: _figures(group, key) for key in group[0].ranks},
            "gains": {
                reference: {
                    key: _gain(group, groups[dataset, reference], key) for key in group[0].ranks
                }
                for reference in REFERENCES
                if reference != arm and (dataset, reference) in groups
            },
        }
        for (dataset, arm), group in groups.items()
    ]


def _mean_health(group: Sequence[Run]) -> dict[str, Any]:
    """Means over the seeds of what the tokenizers' health says; nothing for random codes."""
    healths = [run.record["tokenizer"] for run in group if run.record["tokenizer"]]
    if not healths:
        return {}
    scalars = ("native_collision_rate", "collisions", "explained_variance")
    levels = [health["levels"] for health in healths]
    return {
        **{name: float(np.mean([health[name] for health in healths])) for name in scalars},
        **{
            name: np.mean([[level[name] for level in each] for each in levels], axis=0).tolist()
            for name in ("use", "perplexity")
        },
    }


def _values(group: Sequence[Run], key: str, metric: str) -> Floats:
    """float64 [B]: each person's mean over the seeds."""
    judged = [METRICS[metric](run.ranks[key][:, None].astype(np.int64), K) for run in group]
    return np.asarray(np.mean(judged, axis=0))


def _figures(group: Sequence[Run], key: str) -> dict[str, Any]:
    figures = {}
    for metric in METRICS:
        estimate = bootstrap_mean(_values(group, key, metric), BootstrapConfig())
        by_seed = [float(_values([run], key, metric).mean()) for run in group]
        figures[metric] = {**asdict(estimate), "by_seed": by_seed}
    return figures


def _gain(group: Sequence[Run], reference: Sequence[Run], key: str) -> dict[str, Any]:
    """What an arm gains over the reference, over the seeds that both have."""
    seeds = {run.record["seed"] for run in group} & {run.record["seed"] for run in reference}
    ours, theirs = (
        [run for run in runs if run.record["seed"] in seeds] for runs in (group, reference)
    )
    gains: dict[str, Any] = {"seeds": sorted(seeds)}
    for metric in METRICS if seeds else ():
        found = compare_paired(
            _values(ours, key, metric), _values(theirs, key, metric), BootstrapConfig()
        )
        gains[metric] = {**asdict(found.difference), "p_value": found.p_value}
    return gains


def markdown(entries: Sequence[Mapping[str, Any]]) -> str:
    """A table with one row a data set and arm."""
    columns = (
        *("data", "Semantic IDs", "seeds", "native collisions", "validation R@10"),
        *("test R@10 (95 % interval)", "test N@10", "more than `rqvae-text`", "dense R@10"),
    )
    rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    by_merit = sorted(
        entries,
        key=lambda entry: (
            entry["dataset"],
            -entry["figures"]["validation generative"]["recall@10"]["mean"],
        ),
    )
    return "\n".join([*rows, *(f"| {' | '.join(_cells(entry))} |" for entry in by_merit)])


def _cells(entry: Mapping[str, Any]) -> list[str]:
    health, figures = entry["tokenizer"], entry["figures"]
    test = figures["test generative"]
    gain = entry["gains"].get(REFERENCES[0], {}).get("test generative", {}).get("recall@10")
    return [
        entry["dataset"],
        f"`{entry['arm']}`",
        str(len(entry["seeds"])),
        f"{health['native_collision_rate']:.2%}" if health else "–",
        f"{figures['validation generative']['recall@10']['mean']:.4f}",
        _with_interval(test["recall@10"]),
        f"{test['ndcg@10']['mean']:.4f}",
        _with_interval(gain, sign="+") if gain else "–",
        f"{figures['test dense']['recall@10']['mean']:.4f}",
    ]


def _with_interval(estimate: Mapping[str, float], sign: str = "") -> str:
    mean, low, high = (f"{estimate[name]:{sign}.4f}" for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
