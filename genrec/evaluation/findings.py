"""What a comparison says, in sentences drawn from its figures and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrec.evaluation.figures import Json

__all__ = ["headline"]

PERCENT = "\N{NO-BREAK SPACE}%"


def headline(report: Mapping[str, Any]) -> list[str]:
    """The findings of a comparison, the most important first, one sentence or two each."""
    sentences = [_winner(report), *_lead(report), *_deadline(report), _order(report)]
    faults = sum(row["invalid"]["total"] for row in report["methods"].values())
    if faults:
        sentences.append(
            f"Warning: {faults:,} recommended entries do not exist, are not permitted, stand twice "
            "or are missing; see the accuracy table."
        )
    return sentences


def _winner(report: Mapping[str, Any]) -> str:
    best, row = report["best"], report["methods"][report["best"]]
    low, high = row["recall@10_ci95"]
    return (
        f"{best} is the most accurate: for {_percent(row['recall@10'])} of {report['num_users']:,} "
        f"people the next item is among its first ten (95{PERCENT} interval {_percent(low)} to "
        f"{_percent(high)})."
    )


def _lead(report: Mapping[str, Any]) -> list[str]:
    """The best against the second best, and against popularity."""
    best, methods = report["best"], report["methods"]
    others = [name for name in methods if name not in (best, report["order_control"]["row"])]
    if not others:
        return []
    second = max(others, key=lambda name: methods[name]["recall@10"])
    pair = _pair(report, second, best)
    if pair["difference"] == 0.0:
        return [f"{second} finds as many: on this data the two cannot be told apart by recall@10."]
    low, high = -pair["ci95"][1], -pair["ci95"][0]
    verdict = (
        "the interval excludes 0"
        if pair["excludes_zero"]
        else "the interval includes 0, so the order of these two is open"
    )
    return [
        f"It leads {second} by {_points(-pair['difference'])} ({_interval(low, high)}): "
        f"{verdict} (Holm-adjusted p {_p_value(pair['p_holm'])})."
    ]


def _deadline(report: Mapping[str, Any]) -> list[str]:
    """Who wins under the budget, and whom the budget costs most."""
    timed = {
        name: row
        for name, row in report["methods"].items()
        if row["recall@10_in_budget"] is not None
    }
    if not timed:
        return []
    winner = max(timed, key=lambda name: timed[name]["recall@10_in_budget"])
    found = _percent(timed[winner]["recall@10_in_budget"])
    also = "is also the most accurate" if winner == report["best"] else "is the most accurate"
    sentence = (
        f"Within an enforced {report['budget_ms']:g} ms on one thread, {winner} {also} ({found}, "
        f"on {report['deadline_users']:,} of these people): "
        f"{_percent(timed[winner]['within_budget'])} of its answers are in time and "
        f"{_percent(timed[winner]['served_by'].get(winner, 0.0))} its own."
    )
    hit = max(timed, key=lambda name: timed[name]["deadline_cost"]["difference"])
    cost = timed[hit]["deadline_cost"]
    if cost["difference"] <= 0.0:
        return [f"{sentence} The deadline costs no method any recall."]
    return [
        f"{sentence} The deadline costs {hit} most: {_points(cost['difference'])} of recall@10 "
        f"({_interval(*cost['ci95'])}), {_percent(timed[hit]['served_by'].get(hit, 0.0))} "
        "of its answers its own."
    ]


def _order(report: Mapping[str, Any]) -> str:
    control = report["order_control"]
    change = control["differences"]["recall@10"]
    interval = _interval(*change["ci95"])
    name = control["method"]
    if not change["excludes_zero"]:
        return (
            f"With every history shuffled, {name} finds {_points(change['difference'])} of "
            f"recall@10 less (true minus shuffled, {interval}): no evidence that it uses the order."
        )
    verb = "loses" if change["difference"] > 0 else "gains"
    return (
        f"The order counts: with every history shuffled, {name} {verb} "
        f"{_points(abs(change['difference']))} of recall@10 (true minus shuffled, {interval})."
    )


def _pair(report: Mapping[str, Any], first: str, second: str) -> Json:
    for pair in report["paired"]:
        if (pair["first"], pair["second"], pair["metric"]) == (first, second, "recall@10"):
            return dict(pair)
    raise KeyError(f"the report compares no {first} with {second}")


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f}{PERCENT}"


def _points(difference: float) -> str:
    return f"{_rounded(difference):.2f} points".replace("-", "−")


def _interval(low: float, high: float) -> str:
    """In points, with real minus signs and nothing that breaks before a unit."""
    bounds = f"{_rounded(low):+.2f} to {_rounded(high):+.2f}".replace("-", "−")
    return f"95{PERCENT} interval {bounds}"


def _rounded(share: float) -> float:
    """In points, to two decimals, without a negative zero."""
    return round(100.0 * share, 2) + 0.0


def _p_value(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"
