"""A model card says what is known of the model, in a form that people and hubs read."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard, ModelCardData

from genrec import artifacts
from genrec.generator import GenerativeRecommender, save_generator
from genrec.interactions import InteractionDataset, Protocol
from genrec.training import FitResult
from tests.generator.facts import RESULT, facts_of

NOTHING_MEASURED = FitResult(
    best_epoch=3, best_metrics={}, curve=[{"epoch": n, "loss": 1.0} for n in (1, 2, 3)],
    train_seconds=12.0,
)  # fmt: skip


@pytest.fixture
def card(model: GenerativeRecommender, planted_data: InteractionDataset, tmp_path: Path) -> str:
    return written(model, planted_data, tmp_path)


def written(
    model: GenerativeRecommender,
    dataset: InteractionDataset,
    folder: Path,
    protocol: Protocol = Protocol.LEAVE_LAST_OUT,
    *,
    refit: bool = False,
) -> str:
    """The card of a generator that was made from a folder of data."""
    dataset.save(folder / "data", source="test")
    parents = {"data": artifacts.read(folder / "data", kind="data")}
    save_generator(
        folder / "generator",
        model,
        NOTHING_MEASURED if refit else RESULT,
        facts=facts_of(dataset, protocol, refit=refit),
        config={},
        seed=0,
        parents=parents,
    )
    return (folder / "generator" / "README.md").read_text(encoding="utf-8")


def test_the_front_matter_is_what_hubs_read(card: str) -> None:
    front = ModelCard(card).data
    assert isinstance(front, ModelCardData)
    assert front.tags is not None and front.eval_results is not None
    assert front.library_name == "genrec"
    assert "semantic-ids" in front.tags
    assert front.license == "unknown"
    found = {
        (each.dataset_name, each.metric_name, each.metric_type): each.metric_value
        for each in front.eval_results
    }
    assert found == {
        ("planted chains", "generative ndcg@10, validation", "ndcg@10"): 0.1234,
        ("planted chains", "dense ndcg@10, validation", "ndcg@10"): 0.2345,
    }


def test_every_fact_is_the_datas_and_the_trainings(card: str, model: GenerativeRecommender) -> None:
    parameters = sum(each.numel() for each in model.parameters())
    for row in (
        "| people | 150 |",
        "| items | 60 |",
        "| events | 1,066 |",
        "| first and last event | 2020-09-13T12:26:40Z to 2021-02-09T12:30:40Z |",
        f"| parameters | {parameters:,} |",
        "| epochs | 3, the weights are those after epoch 2 |",
        "| seconds | 321, validation included |",
        "| `training.seed` | 0 |",
        "| dense | ndcg@10 | 0.2345 |",
        "| `dense_samples` | 0 |",  # what None came to
        f"| `taught_share` | {model.config.taught_share} |",
    ):
        assert row in card
    assert "On 77 validation questions" in card
    assert "left out of the answer (`mask`" in card
    assert "Leave-last-out trains on events of some people that came after" in card


def test_the_digests_name_the_files_beside_it_and_the_parents(card: str, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        digest = artifacts.sha256(tmp_path / "generator" / name)
        assert f"| `{name}` | `{digest}` |" in card
    data = artifacts.read(tmp_path / "data", kind="data")
    assert f"| data | `{data.digest}` |" in card


def test_items_without_training_events_are_counted(
    model: GenerativeRecommender, planted_data: InteractionDataset, tmp_path: Path
) -> None:
    model.known[:7] = False
    assert "**Items without training events**: 7 of 60." in written(model, planted_data, tmp_path)


def test_a_global_temporal_card_claims_no_leak(
    model: GenerativeRecommender, planted_data: InteractionDataset, tmp_path: Path
) -> None:
    card = written(model, planted_data, tmp_path, Protocol.GLOBAL_TEMPORAL)
    assert "Global-temporal: training ends at the 80 % quantile" in card
    assert "- **Time.**" not in card


def test_a_refit_card_has_no_figures_and_says_why(
    model: GenerativeRecommender, planted_data: InteractionDataset, tmp_path: Path
) -> None:
    card = written(model, planted_data, tmp_path, refit=True)
    assert "  results: []\n" in card.split("---")[1]
    assert "None was measured with these weights." in card
    assert "nothing was held back" in card


def test_the_code_in_the_card_runs(card: str, tmp_path: Path) -> None:
    code = card.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(code.replace("PATH_OR_REPOSITORY", str(tmp_path / "generator")), names)
    assert names["answer"].item_index.shape == (1, 10)  # type: ignore[attr-defined]
