"""The two towers on two communities that share no item."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file

from genrec import artifacts
from genrec.errors import ArtifactError, InputError
from genrec.interactions import NO_ITEM, Histories, Protocol, RequestBatch, split_histories
from genrec.retrieval import (
    ItemIndex,
    PrefixBatches,
    TwoTower,
    TwoTowerConfig,
    TwoTowerModel,
    TwoTowerSource,
    fit_two_tower,
)
from tests.retrieval.conftest import COLD_ITEMS

FIRST, SECOND = set(range(12)), set(range(12, 24))


def ask(two_tower: TwoTower, histories: list[list[int]], k: int) -> list[list[int]]:
    """The items found for these histories, seen ones masked."""
    requests = RequestBatch.from_histories(Histories.from_lists(histories)).without_seen()
    return TwoTowerSource(two_tower).recommend(requests, k).item_index.tolist()


def test_a_history_retrieves_its_own_community(two_tower: TwoTower) -> None:
    first, second = ask(two_tower, [[0, 5, 7, 2], [13, 20, 15, 22]], 8)
    assert set(first) <= FIRST | {COLD_ITEMS[0]}
    assert set(second) <= SECOND | {COLD_ITEMS[1]}


def test_an_item_that_was_never_seen_is_found_by_its_content(two_tower: TwoTower) -> None:
    first, second = ask(two_tower, [[0, 5, 7, 2], [13, 20, 15, 22]], 9)
    assert COLD_ITEMS[0] in first
    assert COLD_ITEMS[1] not in first
    assert COLD_ITEMS[1] in second
    assert COLD_ITEMS[0] not in second


def test_an_unseen_item_in_the_history_speaks_through_its_content(two_tower: TwoTower) -> None:
    first, second = ask(two_tower, [[COLD_ITEMS[0]], [COLD_ITEMS[1]]], 8)
    assert set(first) <= FIRST
    assert set(second) <= SECOND


def test_an_empty_history_gets_a_full_list(two_tower: TwoTower) -> None:
    (items,) = ask(two_tower, [[]], 10)
    assert len(set(items)) == 10
    assert NO_ITEM not in items


def test_flat_training_batches_and_single_requests_read_a_history_alike(
    community_content: npt.NDArray[np.float32],
) -> None:
    draw = np.random.default_rng(3)
    people = [draw.integers(0, 26, length).tolist() for length in (1, 2, 4, 5, 6, 13)]
    histories = Histories.from_lists(people)
    config = TwoTowerConfig(width=8, hidden_width=8, max_history=4, batch_events=8)
    model = TwoTowerModel(torch.from_numpy(community_content), torch.ones(26), config).eval()
    inputs, _ = model.catalogue()
    checked = 0
    batches = PrefixBatches(histories, batch_events=8, max_history=4, seed=0)
    for batch in batches.epoch(0):
        features = model._prefix_features(inputs[batch["item_index"]], batch["piece"])
        num_events = batch["position"].clamp(max=4)
        vectors = model.user_vectors(features, num_events)
        for row in batch["is_target"].nonzero()[:, 0].tolist():
            prefix = people[int(batch["user"][row])][: int(batch["position"][row])]
            alone = model.read_histories(torch.tensor([[*prefix, NO_ITEM]]), inputs)
            torch.testing.assert_close(vectors[row], alone[0], atol=1e-5, rtol=0)
            checked += 1
    assert checked == histories.item_index.size


def test_only_the_last_events_are_read(two_tower: TwoTower) -> None:
    recent = [0, 5, 7, 2] * 12 + [1, 3]  # as many as are read
    assert len(recent) == two_tower.model.config.max_history
    model = two_tower.model
    vectors = [
        model.read_histories(torch.tensor([row]), two_tower.item_inputs)[0]
        for row in (recent, [20, 21, *recent])
    ]
    torch.testing.assert_close(*vectors)


def test_a_saved_two_tower_answers_as_before(two_tower: TwoTower, tmp_path: Path) -> None:
    config = {"two_tower": asdict(two_tower.model.config)}
    two_tower.save(tmp_path / "two_tower", config=config, parents={})
    loaded = TwoTower.load(tmp_path / "two_tower")
    questions = [[0, 5], [], [14, 24]]
    assert ask(loaded, questions, 30) == ask(two_tower, questions, 30)
    assert loaded.counts.tolist() == two_tower.counts.tolist()
    assert loaded.result == two_tower.result


def test_a_clustered_index_is_saved_as_its_clusters(
    two_tower: TwoTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genrec.retrieval.saved.EXACT_UP_TO", 5)
    clustered = replace(two_tower, index=ItemIndex.build(two_tower.index.vectors, exact_up_to=5))
    config = {"two_tower": asdict(two_tower.model.config)}
    clustered.save(tmp_path / "two_tower", config=config, parents={})
    loaded = TwoTower.load(tmp_path / "two_tower")
    assert ask(loaded, [[0, 5], []], 5) == ask(clustered, [[0, 5], []], 5)
    clusters = clustered.index.clusters()
    clusters["cluster_of"][0] = 10**6
    with artifacts.writing(tmp_path / "other", kind="two_tower", config=config) as folder:
        for file in (tmp_path / "two_tower").iterdir():
            if file.name != artifacts.MANIFEST_NAME:
                shutil.copy(file, folder)
        save_file(clusters, folder / "clusters.safetensors")
    with pytest.raises(ArtifactError, match=r"clusters\.safetensors.* beyond the"):
        TwoTower.load(tmp_path / "other")


@pytest.mark.parametrize("name", ["model.safetensors", "items.safetensors", "counts.npy"])
def test_an_altered_file_is_refused_before_it_is_parsed(
    name: str, two_tower: TwoTower, tmp_path: Path
) -> None:
    config = {"two_tower": asdict(two_tower.model.config)}
    two_tower.save(tmp_path / "two_tower", config=config, parents={})
    file = tmp_path / "two_tower" / name
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(bytes(body))
    with pytest.raises(ArtifactError, match=f"{name} was altered"):
        TwoTower.load(tmp_path / "two_tower")


def test_validation_chooses_an_epoch_and_the_same_seed_gives_the_same_vectors(
    community_histories: Histories,
    community_content: npt.NDArray[np.float32],
    small_config: TwoTowerConfig,
    tmp_path: Path,
) -> None:
    split = split_histories(community_histories, Protocol.LEAVE_LAST_OUT)
    fitted = [
        fit_two_tower(
            split.train,
            community_content,
            small_config,
            validation=split.validation,
            mask_seen=True,
            work_dir=tmp_path / str(attempt),
        )
        for attempt in range(2)
    ]
    torch.testing.assert_close(*(each.index.vectors for each in fitted), atol=0, rtol=0)
    assert fitted[0].result.best_metrics["recall@10"] == 1.0  # 12 items, 6 of them seen


def test_an_item_without_content_is_refused(small_config: TwoTowerConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="item_index 3 has no content embedding"):
        fit_two_tower(
            Histories.from_lists([[0, 3]]),
            np.ones((3, 2), dtype=np.float32),
            small_config,
            validation=None,
            mask_seen=False,
            work_dir=tmp_path,
        )


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"temperature": 0.0}, {"id_dropout": 1.0}, {"batch_events": 1}]
)
def test_a_configuration_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TwoTowerConfig(**wrong)  # type: ignore[arg-type]


def test_the_id_part_of_an_unseen_item_is_never_used(
    community_content: npt.NDArray[np.float32],
) -> None:
    counts = torch.ones(26, dtype=torch.int64)
    counts[COLD_ITEMS[0]] = 0
    config = TwoTowerConfig(width=8, hidden_width=8)
    model = TwoTowerModel(torch.from_numpy(community_content), counts, config).eval()
    before, _ = model.catalogue()
    with torch.no_grad():
        model.item_embedding.weight += 1.0
    after, _ = model.catalogue()
    unchanged = (before == after).all(1)
    assert unchanged.nonzero()[:, 0].tolist() == [COLD_ITEMS[0]]
