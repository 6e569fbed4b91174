"""A run folder becomes sources, or says what it lacks; a real run answers through the face."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import genrec
from genrec import artifacts
from genrec.__main__ import main as genrec_command
from genrec.errors import ArtifactError, ArtifactMissingError, BusyError, InputError
from genrec.funnel import (
    METHODS,
    Question,
    Recommender,
    has_refit,
    load_sources,
    loading,
    recommend_file,
)
from genrec.funnel.sources import digests
from genrec.generator import GeneratorSource, PrefixLimit, SlateConfig, load_generator
from genrec.interactions import InteractionDataset, Source
from tests.conftest import make_tiny_run


@pytest.fixture
def copied_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A run folder that a test may damage."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.fixture(scope="module")
def recommender(tiny_run: Path) -> Recommender:
    return genrec.Recommender.load(tiny_run)


def test_the_sources_come_in_the_order_of_the_tables(tiny_run: Path) -> None:
    sources = load_sources(tiny_run)
    assert tuple(sources) == METHODS
    assert all(source.name == name for name, source in sources.items())


def test_without_a_run_folder_the_demo_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match="genrec demo"):
        load_sources(tmp_path / "none")


@pytest.mark.parametrize(
    ("part", "command"),
    [
        ("data", "genrec data import"),
        ("generator", "genrec train generator"),
        ("two_tower", "genrec train two-tower"),
        ("ranker", "genrec train ranker"),
    ],
)
def test_a_missing_part_names_the_command_that_makes_it(
    copied_run: Path, part: str, command: str
) -> None:
    shutil.rmtree(copied_run / part)
    with pytest.raises(ArtifactMissingError, match=command):
        load_sources(copied_run)


@pytest.mark.parametrize("part", ["data", "generator", "two_tower", "ranker"])
def test_a_missing_or_altered_file_is_found_before_it_is_parsed(
    copied_run: Path, part: str
) -> None:
    file = max(
        (each for each in (copied_run / part).rglob("*") if each.is_file()),
        key=lambda each: (each.name != "manifest.json", each.stat().st_size),
    )
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="altered"):
        load_sources(copied_run)
    file.unlink()
    with pytest.raises(ArtifactError, match="missing"):
        load_sources(copied_run)


def test_models_of_other_data_are_refused(
    copied_run: Path, planted_data: InteractionDataset
) -> None:
    planted_data.save(copied_run / "data", source="another import")
    with pytest.raises(ArtifactError, match="made from another data"):
        load_sources(copied_run)


def test_a_part_that_is_no_longer_needed_may_be_gone(copied_run: Path) -> None:
    shutil.rmtree(copied_run / "embeddings")
    assert load_sources(copied_run)


def test_refit_models_serve_only_if_all_are_there(
    copied_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not has_refit(copied_run)
    shutil.copytree(copied_run / "two_tower", copied_run / "refit" / "two_tower")
    assert not has_refit(copied_run)
    assert "is not used" in caplog.text
    assert not Recommender.load(copied_run, warm_up=False).refit
    with pytest.raises(ArtifactMissingError, match=r"train generator --run .* --refit"):
        Recommender.load(copied_run, refit=True)
    for name in ("generator", "ranker"):
        shutil.copytree(copied_run / name, copied_run / "refit" / name)
    assert Recommender.load(copied_run, warm_up=False).refit
    assert not Recommender.load(copied_run, refit=False, warm_up=False).refit


@pytest.mark.parametrize("fails", [True, False])
def test_a_run_that_is_replaced_while_it_loads_is_loaded_again(
    copied_run: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    loadings = []

    def load_and_replace(*arguments: Any, **options: Any) -> dict[str, Source]:
        loadings.append(digests(copied_run))
        sources = load_sources(*arguments, **options)
        if len(loadings) == 1:
            rewrite(copied_run / "ranker")
            if fails:
                raise RuntimeError("the shapes of two models do not fit")
        return sources

    monkeypatch.setattr(loading, "load_sources", load_and_replace)
    loaded = Recommender.load(copied_run, warm_up=False)
    assert len(loadings) == 2
    assert loadings[0] != loadings[1]
    assert loaded.digests == digests(copied_run) == loadings[1]


def test_a_run_that_is_replaced_for_ever_is_busy_and_one_that_fails_says_why(
    copied_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_and_replace(*arguments: Any, **options: Any) -> dict[str, Source]:
        rewrite(copied_run / "ranker")
        return load_sources(*arguments, **options)

    monkeypatch.setattr(loading, "load_sources", load_and_replace)
    with pytest.raises(BusyError, match="is being replaced again and again"):
        Recommender.load(copied_run, warm_up=False)


def rewrite(path: Path) -> None:
    """The same artefact again, under another digest."""
    old = artifacts.read(path, kind=path.name)
    with artifacts.writing(
        path, kind=old.kind, config={**old.config, "again": old.digest}, seed=old.seed
    ) as folder:
        for file in path.iterdir():
            if file.name != artifacts.MANIFEST_NAME:
                shutil.copy(file, folder / file.name)


def test_the_next_of_the_chain_is_recommended(recommender: Recommender) -> None:
    found = recommender.recommend(history=["i10", "i11", "i12"], k=5)
    assert "i13" in [item.item_id for item in found]
    assert [item.rank for item in found] == [1, 2, 3, 4, 5]
    titles = {item.item_id: item.title for item in found}
    assert titles["i13"] == "part 3 of series 1"
    assert {item.served_by for item in found} == {"combined"}


def test_another_order_gives_another_list(recommender: Recommender) -> None:
    forth = recommender.recommend(history=["i10", "i31"], k=5)
    back = recommender.recommend(history=["i31", "i10"], k=5)
    assert [item.item_id for item in forth] != [item.item_id for item in back]


def test_a_deadline_is_answered_by_whoever_fits(recommender: Recommender) -> None:
    at_leisure = recommender.recommend(["i1"], budget_ms=60_000)
    assert {item.served_by for item in at_leisure} == {"combined"}
    in_no_time = recommender.recommend(["i1"], budget_ms=0.01)
    assert {item.served_by for item in in_no_time} == {"popularity"}


def test_loading_says_how_long_each_stage_takes(recommender: Recommender) -> None:
    assert set(recommender.warm_up_ms) == {"combined", "two_tower_ranked", "two_tower"}
    assert all(taken > 0 for taken in recommender.warm_up_ms.values())


@pytest.mark.parametrize("device", ["tpu-of-tomorrow", "meta", "cuda:99", "cpu:1"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(device: str) -> None:
    with pytest.raises(InputError, match=r"no device|not available.*device='cpu'"):
        load_sources("nowhere", device=device)
    with pytest.raises(InputError, match="device"):
        Recommender.load("nowhere", device=device)


def test_on_the_cpu_the_generator_answers_without_graphs(tiny_run: Path) -> None:
    generative = load_sources(tiny_run, device="cpu")["generative"]
    assert type(generative) is GeneratorSource
    assert generative.model.device == torch.device("cpu")


def test_an_unknown_method_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two_tower_ranked"):
        Recommender.load(tmp_path, method="magic")


def test_a_file_of_people_is_answered_from_a_run(
    tiny_run: Path, recommender: Recommender, tmp_path: Path
) -> None:
    histories, out = tmp_path / "histories.csv", tmp_path / "out.parquet"
    histories.write_text("user_id,item_id,position\nnew,i10,0\nnew,i11,1\nother,i40,0\n")
    recommend_file(recommender, histories, out, k=3)
    rows = pl.read_parquet(out)
    assert rows["user_id"].to_list() == ["new"] * 3 + ["other"] * 3
    expected = [item.item_id for item in recommender.recommend(["i10", "i11"], k=3)]
    assert rows["item_id"].to_list()[:3] == expected


def test_a_recommender_makes_slates_under_its_limit(
    tiny_run: Path, recommender: Recommender
) -> None:
    limit = PrefixLimit(levels=1, items=1)
    slates = recommender.using(method="generative", slate=SlateConfig(prefix_limit=limit))
    items = slates.recommend(["i10", "i11"], k=4)
    assert [item.served_by for item in items] == ["generative_slate"] * 4
    generator = load_generator(tiny_run / "generator")
    shown = recommender.dataset.catalogue.index(item.item_id for item in items)
    assert len(set(generator.codes[shown, 0].tolist())) == 4
    assert slates.using(repeats="allow").recommend([], k=1)[0].served_by == "generative_slate"
    assert recommender.recommend([], k=1)[0].served_by == "combined"


def test_a_slate_that_cannot_be_in_time_gives_way_to_a_list(recommender: Recommender) -> None:
    slates = recommender.using(slate=SlateConfig())
    in_time = slates.answer(Question(history=["i10"]), budget_ms=60_000)
    hurried = slates.answer(Question(history=["i10"]), budget_ms=0.01)
    assert in_time.served_by == "combined_slate"
    assert hurried.served_by != "combined_slate"
    assert len(hurried.items) == len(in_time.items) == 10


def test_a_file_of_lists_is_not_up_to_date_for_slates(
    recommender: Recommender, tmp_path: Path
) -> None:
    histories, out = tmp_path / "histories.csv", tmp_path / "out.parquet"
    histories.write_text("user_id,item_id,position\nnew,i10,0\n")
    slates = recommender.using(slate=SlateConfig())
    recommend_file(recommender, histories, out, k=3)
    assert not recommend_file(slates, histories, out, k=3).up_to_date
    assert recommend_file(slates, histories, out, k=3).up_to_date
    assert set(pl.read_parquet(out)["served_by"]) == {"combined_slate"}


def _command(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    genrec_command(["recommend", *words])
    return capsys.readouterr().out


def test_the_command_prints_json_for_programs(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--run", str(tiny_run), "--history", "i10, i11,i12", "-k", "2", "--json")
    tree = json.loads(_command(capsys, *words))
    assert tree["served_by"] == "combined"
    assert tree["backend"] == "torch"
    assert not tree["refit"]
    assert [item["rank"] for item in tree["items"]] == [1, 2]
    assert set(tree["items"][0]) == {"rank", "item_id", "title", "score"}
    assert tree["total_ms"] >= tree["stage_ms"]["combined"] > 0


def test_the_command_prints_a_table_for_people(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--run", str(tiny_run), "--user", "u0", "--method", "dense", "-k", "3")
    text = _command(capsys, *words)
    assert "of series" in text
    assert "served by dense" in text
    assert "training part of the data" in text


def test_the_command_makes_slates(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--run", str(tiny_run), "--history", "i10,i11", "-k", "4", "--slate", "--json")
    tree = json.loads(_command(capsys, *words))
    assert tree["served_by"] == "combined_slate"
    assert len({item["item_id"] for item in tree["items"]}) == 4
    assert tree["total_ms"] >= tree["stage_ms"]["combined_slate"] > 0


def test_the_command_takes_a_json_history_and_a_budget(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--history", '["i10", "i11"]', "--budget-ms", "60000", "--repeats", "allow", "--json")
    assert len(json.loads(_command(capsys, "--run", str(tiny_run), *words))["items"]) == 10


def test_the_command_answers_a_file_and_then_finds_it_up_to_date(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    histories, out = tmp_path / "histories.csv", tmp_path / "out.parquet"
    histories.write_text("user_id,item_id,timestamp\nnew,i10,5\nother,i40,7\n")
    words = ("--run", str(tiny_run), "--histories", str(histories), "--out", str(out))
    assert "20 rows for 2 people" in _command(capsys, *words)
    assert "up to date" in _command(capsys, *words)
    assert json.loads(_command(capsys, *words, "--json"))["up_to_date"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--history", "i1", "--histories", "file"],
        ["--histories", "file"],
        ["--history", "i1", "--out", "file"],
        ["--histories", "f.csv", "--out", "o.parquet", "--budget-ms", "5"],
        ["--history", "[1,"],
        ["--history", "i1", "--method", "magic"],
        ["--history", "i1", "--method", "popularity", "--slate"],
        ["--history", "i1", "-k", "0"],
        ["--history", "i1", "--repeats", "perhaps"],
        ["--user", "nobody"],
    ],
)
def test_bad_words_are_one_message_and_exit_code_2(
    tiny_run: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        genrec_command(["recommend", "--run", str(tiny_run), *words])
    assert left.value.code == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1


@pytest.mark.slow
@pytest.mark.parametrize("split", ["leave-last-out", "global-temporal"])
def test_refit_trains_on_all_data_and_serves_it(
    copied_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    run = copied_run
    if split != "leave-last-out":
        run = tmp_path / split
        make_tiny_run(run, split)
        capsys.readouterr()
    words = ("--run", str(run), "--history", "i10,i11", "--refit", "--json")
    assert json.loads(_command(capsys, *words))["refit"]
    refitted = artifacts.read(run / "refit" / "ranker", kind="ranker")
    assert refitted.config["split"] == split
