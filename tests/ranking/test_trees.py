"""The text of a ranker's trees: what LightGBM wrote goes through, nothing misleading does."""

from __future__ import annotations

import re
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from genrec.errors import ArtifactError
from genrec.ranking.trees import read_trees

NAMES = ["one", "two", "three"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A few trees over three features."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 3))
    label = (features[:, 0] > 0).astype(np.int8)
    data = lightgbm.Dataset(features, label, group=[20] * 10, feature_name=NAMES)
    settings = {"objective": "lambdarank", "num_leaves": 6, "min_data_in_leaf": 5, "verbosity": -1}
    booster = lightgbm.train({**settings, "num_threads": 1}, data, num_boost_round=4)
    booster.save_model(str(tmp_path / "trees.txt"))
    return tmp_path / "trees.txt"


def test_trees_predict_as_they_were_saved(saved: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(50, 3))
    expected = lightgbm.Booster(model_file=str(saved)).predict(rows, num_threads=1)
    found = lightgbm.Booster(model_str=read_trees(saved, NAMES)).predict(rows, num_threads=1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"^tree$", "forest"),
        (r"version=v4", "version=v9"),
        (r"num_class=1", "num_class=1000000000"),
        (r"max_feature_idx=2", "max_feature_idx=99"),
        (r"feature_names=one", "feature_names=other"),
        (r"tree_sizes=\d+", "tree_sizes=999999999"),
        (r"^num_leaves=\d+", "num_leaves=1000000000"),
        (r"^num_leaves=\d+", "num_leaves=3"),
        (r"^num_cat=0", "num_cat=5"),
        (r"^is_linear=0", "is_linear=1"),
        (r"^split_feature=\d", "split_feature=9"),
        (r"^threshold=\S+", "threshold=nan"),
        (r"^threshold=\S+", "threshold=1e999"),
        (r"^decision_type=\d", "decision_type=1"),
        (r"^left_child=-?\d+", "left_child=0"),
        (r"^left_child=-?\d+", "left_child=-99"),
        (r"^right_child=-?\d+", "right_child=1000000"),
        (r"^leaf_value=\S+ ", "leaf_value="),
        (r"^leaf_value=\S+", "leaf_value=[]"),
        (r"^shrinkage=.*$", "shrinkage=0.1\nextra=1"),
        (r"end of trees", "no end"),
    ],
)
@pytest.mark.parametrize("sizes_agree", [True, False])
def test_a_text_that_would_mislead_the_parser_is_refused(
    saved: Path, pattern: str, replacement: str, sizes_agree: bool
) -> None:
    text = saved.read_text()
    altered = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert altered != text
    if sizes_agree and not pattern.startswith("tree_sizes"):
        blocks = re.split(r"(?=^Tree=)", altered.partition("end of trees")[0], flags=re.MULTILINE)
        sizes = " ".join(str(len(block.encode())) for block in blocks[1:])
        altered = re.sub(r"tree_sizes=.*", f"tree_sizes={sizes}", altered)
    saved.write_text(altered)
    with pytest.raises(ArtifactError, match="holds no trees of a ranker"):
        read_trees(saved, NAMES)
