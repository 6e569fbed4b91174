"""The whole comparison over stand-ins whose answers are known, and its report."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec import artifacts
from genrec.errors import InputError
from genrec.evaluation import (
    REPORT_KIND,
    SEGMENT_METRICS,
    CompareConfig,
    compare,
    comparison_table,
    describe_environment,
    headline,
    render_report,
    save_report,
)
from genrec.interactions import Source
from genrec.semantic_ids.inspection import inspect_ids
from genrec.semantic_ids.picture import ids_picture
from tests.evaluation.stubs import (
    DANGEROUS_TITLE,
    NUM_ITEMS,
    NUM_PEOPLE,
    all_methods,
    circle_ids,
    circle_split,
    circle_world,
    constant,
    order_blind,
    perfect,
)

CONFIG = CompareConfig(
    budget_ms=1e6, deadline_users=20, timed_requests=5, batch_size=16, num_resamples=200
)
CIRCLE_IDS = circle_ids(
    np.array([[item // 10, item % 10] for item in range(NUM_ITEMS)], dtype=np.uint16)
)
ADDED: dict[str, Any] = {
    "environment": describe_environment(["genrec", "compare", "--run", "runs/<b>demo</b>"]),
    "semantic_ids": inspect_ids(CIRCLE_IDS, catalogue=circle_world().catalogue).to_json()
    | {"alarms": ["level 1 looks <odd>"], "notes": ["made of <paper>"]},
}


def compared(sources: dict[str, Source], **options: Any) -> dict[str, Any]:
    config = options.pop("config", CONFIG)
    return compare(circle_world(), circle_split(), sources, config, **options) | ADDED


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return compared(all_methods())


def test_the_report_has_what_a_reader_may_rely_on(report: dict[str, Any]) -> None:
    assert report["dataset"] == "circle"
    assert report["split"] == "leave-last-out"
    assert report["repeats"] == "mask"
    assert report["budget_ms"] == 1e6
    assert report["history"] == 50
    assert report["num_users"] == NUM_PEOPLE
    assert list(report["methods"]) == [*all_methods(), "combined_shuffled"]
    for name in all_methods():
        row = report["methods"][name]
        for metric in ("recall@5", "ndcg@5", "recall@10", "ndcg@10", "recall@10_in_budget"):
            assert 0.0 <= row[metric] <= 1.0
        low, high = row["recall@10_ci95"]
        assert low <= row["recall@10"] <= high
        assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p95"] <= row["latency_ms"]["p99"]
        assert 0.0 <= row["within_budget"] <= 1.0
        assert sum(row["served_by"].values()) == pytest.approx(1.0)
        assert row["invalid"]["total"] == 0


def test_known_answers_come_out(report: dict[str, Any]) -> None:
    assert report["methods"]["generative"]["recall@10"] == 1.0
    assert report["methods"]["generative"]["ndcg@10"] == 1.0
    assert report["methods"]["popularity"]["recall@10"] == _share_of_first_ten()
    assert report["best"] == "generative"


def _share_of_first_ten() -> float:
    """Of people whose target is among the ten lowest items that they have not had."""
    hits = 0
    for walk in circle_world().histories:
        *history, target = walk.tolist()
        hits += target in [item for item in range(NUM_ITEMS) if item not in history][:10]
    return hits / NUM_PEOPLE


def test_an_ample_budget_costs_nothing(report: dict[str, Any]) -> None:
    row = report["methods"]["generative"]
    assert row["served_by"] == {"generative": 1.0}
    assert row["within_budget"] == 1.0
    assert row["recall@10_in_budget"] == row["recall@10_without_deadline"] == 1.0
    assert row["deadline_cost"]["difference"] == 0.0


def test_a_budget_that_nobody_can_keep_leaves_nothing() -> None:
    config = CompareConfig(budget_ms=1e-6, deadline_users=8, timed_requests=2, num_resamples=100)
    row = compared(all_methods(), config=config)["methods"]["generative"]
    assert row["recall@10"] == 1.0
    assert row["within_budget"] == 0.0
    assert row["recall@10_in_budget"] == 0.0
    assert row["served_by"] == {"popularity": 1.0}
    assert row["deadline_cost"]["difference"] == 1.0


def test_who_lives_on_order_loses_it_to_the_shuffle(report: dict[str, Any]) -> None:
    control = report["order_control"]
    change = control["differences"]["ndcg@10"]
    assert control["method"] == "combined"
    assert change["difference"] > 0.3
    assert change["excludes_zero"]
    assert change["difference"] == pytest.approx(
        report["methods"]["combined"]["ndcg@10"] - report["methods"]["combined_shuffled"]["ndcg@10"]
    )
    example = control["example"]
    assert example["rank"] == 1
    assert example["history"] != example["shuffled"]
    assert example["answer"] != example["answer_shuffled"]


def test_who_is_blind_to_order_loses_exactly_nothing() -> None:
    control = compared(all_methods() | {"combined": order_blind("combined")})["order_control"]
    for change in control["differences"].values():
        assert change["difference"] == 0.0
        assert change["ci95"] == [0.0, 0.0]
    assert control["example"] is None
    assert control["mean_shared_items"] == 10.0


def test_each_pair_is_compared_once_and_against_its_references(report: dict[str, Any]) -> None:
    pairs = [frozenset((row["first"], row["second"])) for row in report["paired"]]
    assert len(pairs) == 2 * len(set(pairs))  # two metrics
    assert {row["second"] for row in report["paired"]} == {"generative", "dense", "two_tower"}
    assert all(row["p_holm"] >= row["p_value"] for row in report["paired"])


def test_the_same_seed_gives_the_same_accuracy(report: dict[str, Any]) -> None:
    again = compared(all_methods())
    assert again["paired"] == report["paired"]
    assert again["order_control"] == report["order_control"]


def test_segments_divide_the_figures_of_the_tables(report: dict[str, Any]) -> None:
    for kind in ("history", "target"):
        rows = [row for row in report["segments"] if row["segment"].startswith(kind)]
        assert sum(row["num_users"] for row in rows) == NUM_PEOPLE
        for name in all_methods():
            hits = [row["num_users"] * row["methods"][name]["recall@10"] for row in rows]
            whole = report["methods"][name]["recall@10"]
            assert sum(hits) / NUM_PEOPLE == pytest.approx(whole)


def test_without_a_history_everybody_is_given_one_list(report: dict[str, Any]) -> None:
    nobody = report["no_history"]
    among_the_first_ten = sum(int(walk[-1]) < 10 for walk in circle_world().histories)
    assert nobody["num_users"] == NUM_PEOPLE
    assert list(nobody["methods"]) == list(all_methods())
    found = nobody["methods"]["popularity"]["recall@10"]
    assert found == pytest.approx(among_the_first_ten / NUM_PEOPLE)
    assert [item["item_id"] for item in nobody["lists"]["popularity"]] == [
        f"i{item}" for item in range(10)
    ]
    assert nobody["shared_with_popularity"]["popularity"] == 10
    assert "learnt empty state" in nobody["made_by"]["combined"]


def test_the_page_shows_segments_warns_of_few_people_and_names_what_makes_the_list(
    report: dict[str, Any],
) -> None:
    assert {row["few"] for row in report["segments"]} == {True, False}
    page = render_report(report)
    assert "more than 5 events" in page
    assert "fewer than 30 people" in page
    assert "a learnt empty state" in page
    zeros: dict[str, Any] = dict.fromkeys(SEGMENT_METRICS, 0.0)
    zeros |= {f"{name}_ci95": [0.0, 0.0] for name in SEGMENT_METRICS}
    row = report["segments"][0]
    missed = row | {"methods": row["methods"] | {"dense": row["methods"]["dense"] | zeros}}
    assert "0.0000<br><small>nobody" in render_report(report | {"segments": [missed]})
    many = [row for row in report["segments"] if not row["few"]]
    assert "fewer than 30 people" not in render_report(report | {"segments": many})


def test_predictions_stand_in_the_same_tables(tmp_path: Path) -> None:
    target = circle_split().test.target
    rows = {
        "user_id": [f"u{u}" for u in range(NUM_PEOPLE - 4)],
        "item_id": [f"i{target[u]}" for u in range(NUM_PEOPLE - 4)],
        "rank": [1] * (NUM_PEOPLE - 4),
    }
    pl.DataFrame(rows).write_parquet(tmp_path / "mine.parquet")
    found = compared(all_methods(), predictions={"<i>mine</i>": tmp_path / "mine.parquet"})
    row = found["methods"]["<i>mine</i>"]
    assert row["recall@10"] == pytest.approx(1 - 4 / NUM_PEOPLE)
    assert row["num_missing_users"] == 4
    assert row["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert any(pair["first"] == "<i>mine</i>" for pair in found["paired"])
    assert all("<i>mine</i>" in segment["methods"] for segment in found["segments"])
    page = render_report(found)
    assert "4 of the people tested have no list in it" in page
    assert "<i>mine</i>" not in page


@pytest.mark.parametrize("name", ["dense", "combined_shuffled"])
def test_predictions_cannot_take_the_name_of_a_row(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        compared(all_methods(), predictions={name: tmp_path / "any.parquet"})


def test_a_comparison_without_its_fallbacks_is_refused() -> None:
    with pytest.raises(InputError, match="two_tower"):
        compared({"popularity": constant("popularity")})


@pytest.mark.parametrize(
    "option", ["history", "budget_ms", "deadline_users", "timed_requests", "batch_size"]
)
def test_a_configuration_without_sense_is_refused(option: str) -> None:
    with pytest.raises(InputError, match=option):
        CompareConfig(**{option: 0})


@pytest.mark.parametrize("budget_ms", [-1.0, float("nan"), float("inf")])
def test_a_budget_that_is_no_time_is_refused_before_anything_is_measured(budget_ms: float) -> None:
    with pytest.raises(InputError, match="above 0 and finite"):
        CompareConfig(budget_ms=budget_ms)


def test_the_report_is_saved_and_read_back_the_same(report: dict[str, Any], tmp_path: Path) -> None:
    config = {"budget_ms": 50.0}
    save_report(tmp_path / "report", report, config=config, seed=0, parents={})
    assert artifacts.is_current(tmp_path / "report", kind=REPORT_KIND, config=config, seed=0)
    saved = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert saved == report
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert page == render_report(saved)


def test_a_figure_that_is_not_a_number_is_never_saved(
    report: dict[str, Any], tmp_path: Path
) -> None:
    broken = report | {"budget_ms": math.nan}
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_report(tmp_path / "report", broken, config={}, seed=0, parents={})
    assert not (tmp_path / "report").exists()


class Page(HTMLParser):
    """Collects what a page would load, its text and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.styles: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "data", "action", "srcset", "poster"):
                self.loaded.append(f"{tag} {name}={value}")
            if name == "style":
                self.styles.append(value or "")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "style":
            self.styles.append(data)


def test_the_page_loads_nothing(report: dict[str, Any]) -> None:
    page = Page()
    page.feed(render_report(report))
    assert page.loaded == []
    assert not any("url(" in style or "@import" in style for style in page.styles)
    assert not {"link", "iframe", "img", "base"} & set(page.tags)
    assert page.tags.count("table") >= 6


def test_titles_and_names_are_escaped(report: dict[str, Any]) -> None:
    control = report["order_control"]
    example = control["example"] | {
        "history": [{"item_id": "i0", "title": DANGEROUS_TITLE}],
        "target": {"item_id": "i0", "title": DANGEROUS_TITLE},
    }
    page = render_report(report | {"order_control": control | {"example": example}})
    assert '<script>alert("1")' not in page
    assert "&lt;script&gt;alert(" in page
    assert "<b>demo</b>" not in page
    assert "<odd>" not in page
    assert "<paper>" not in page


def test_the_semantic_ids_have_a_section_with_figures_examples_and_the_picture(
    report: dict[str, Any],
) -> None:
    catalogue = circle_world().catalogue
    picture = ids_picture(CIRCLE_IDS, catalogue=catalogue)
    page = Page()
    page.feed(render_report(report, picture))
    assert page.loaded == []
    html = render_report(report, picture)
    assert "level 1 looks &lt;odd&gt;" in html
    assert html.count("semantic-id-tree") >= 1
    example = report["semantic_ids"]["examples"][0]
    assert f"<code>{example['codes'][0]}-{example['codes'][1]}</code>" in html
    assert "1 code, 9 others" in html
    assert "not measured" in html
    assert '<script>alert("1")' not in html
    assert "semantic-id-tree" not in render_report(report)


def test_an_item_without_title_is_shown_by_its_id(report: dict[str, Any]) -> None:
    control = report["order_control"]
    example = control["example"] | {"target": {"item_id": "i29", "title": None}}
    page = render_report(report | {"order_control": control | {"example": example}})
    assert "What came next was <b>i29</b>" in page


def test_the_findings_say_who_wins_and_whether_it_is_sure(report: dict[str, Any]) -> None:
    spaced = [sentence.replace("\N{NO-BREAK SPACE}", " ") for sentence in headline(report)]
    assert spaced[0].startswith("generative is the most accurate: for 100.0 % of 40 people")
    assert spaced[1].startswith("dense finds as many")  # on a circle, the items are enough
    assert "The deadline costs no method any recall." in spaced[2]
    assert spaced[3].startswith("The order counts")
    assert len(spaced) == 4


def test_the_findings_admit_that_order_does_not_count() -> None:
    found = compared(all_methods() | {"combined": order_blind("combined")})
    assert "no evidence that it uses the order" in headline(found)[-1]


def test_the_findings_name_a_lead_that_excludes_zero() -> None:
    sources = {name: constant(name) for name in all_methods()}
    found = compared(sources | {"dense": perfect("dense", circle_split())})
    assert found["best"] == "dense"
    assert "the interval excludes 0" in headline(found)[1]


def test_the_findings_leave_a_lead_open_that_includes_zero(report: dict[str, Any]) -> None:
    pair = {"difference": -0.01, "ci95": [-0.03, 0.01], "excludes_zero": False, "p_holm": 0.4}
    paired = [each | pair for each in report["paired"]]
    sentence = headline(report | {"paired": paired})[1]
    assert sentence.startswith("It leads dense by 1.00 points")
    assert "interval −1.00 to +3.00" in sentence
    assert "the interval includes 0, so the order of these two is open" in sentence


def test_invalid_entries_are_warned_of(report: dict[str, Any]) -> None:
    row = report["methods"]["dense"]
    faulty = row | {"invalid": row["invalid"] | {"total": 3}}
    warned = headline(report | {"methods": report["methods"] | {"dense": faulty}})
    assert warned[-1].startswith("Warning: 3 recommended entries")


def test_the_terminal_table_has_a_row_a_method(report: dict[str, Any]) -> None:
    assert comparison_table(report).row_count == len(report["methods"])
