"""Two communities that share no item, and a small two-tower trained on them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from genrec.interactions import Histories
from genrec.retrieval import TwoTower, TwoTowerConfig, fit_two_tower
from genrec.training import TrainingConfig

ITEMS_PER_COMMUNITY = 12
COLD_ITEMS = (24, 25)
"""In no history; their content is that of the first and of the second community."""


@pytest.fixture(scope="session")
def community_content() -> npt.NDArray[np.float32]:
    """float32 [26, 8]: the community in the first two columns, noise in the others."""
    content = np.random.default_rng(0).normal(0, 0.3, (26, 8)).astype(np.float32)
    community = np.array([0] * 12 + [1] * 12 + [0, 1])
    content[:, :2] = 2 * np.eye(2, dtype=np.float32)[community]
    return content


@pytest.fixture(scope="session")
def community_histories() -> Histories:
    """120 people, each with 8 items of their own community."""
    draw = np.random.default_rng(1)
    people = [
        (draw.permutation(ITEMS_PER_COMMUNITY)[:8] + 12 * (person % 2)).tolist()
        for person in range(120)
    ]
    return Histories.from_lists(people)


@pytest.fixture(scope="session")
def small_config() -> TwoTowerConfig:
    """Small and quick."""
    training = TrainingConfig(num_epochs=6, learning_rate=5e-3, weight_decay=0.01)
    return TwoTowerConfig(width=16, hidden_width=16, batch_events=128, training=training)


@pytest.fixture(scope="session")
def two_tower(
    community_histories: Histories,
    community_content: npt.NDArray[np.float32],
    small_config: TwoTowerConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> TwoTower:
    """Trained on the two communities."""
    return fit_two_tower(
        community_histories,
        community_content,
        small_config,
        validation=None,
        mask_seen=False,
        work_dir=tmp_path_factory.mktemp("work"),
    )
