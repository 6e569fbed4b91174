"""LightGBM's text of a model, checked line by line: its own parser trusts what it is given.

Only the kind that `fit_ranker` writes is let through: one numeric tree an iteration, every child
behind its parent, every array as long as the tree needs it. The parameters behind the trees, which
an answer does not depend on, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from genrec.checked import read_regular
from genrec.errors import ArtifactError

__all__ = ["read_trees"]

NUMBER = re.compile(r"-?\d{1,40}(\.\d{1,40})?(e[-+]?\d{1,3})?", re.ASCII)
INTEGER = re.compile(r"-?\d{1,12}", re.ASCII)
FEATURE_INFO = re.compile(r"none|\[[-+.:e\d]+\]", re.ASCII)
FIXED = {
    "version": "v4",
    "num_class": "1",
    "num_tree_per_iteration": "1",
    "label_index": "0",
    "objective": "lambdarank",
}
MOST_LEAVES = 1 << 17
OF_NODES = ("split_gain", "threshold", "internal_value", "internal_weight", "internal_count")
OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
WHOLE = ("split_feature", "decision_type", "left_child", "right_child")
TREE_KEYS = {
    *("num_leaves", "num_cat", "is_linear", "shrinkage"),
    *OF_NODES,
    *OF_LEAVES,
    *WHOLE,
}


def read_trees(path: Path, feature_names: Sequence[str]) -> str:
    """The text of a ranker's trees that LightGBM may parse.

    Args:
        path: what `Booster.save_model` wrote.
        feature_names: the features that the trees read, in order.

    Raises:
        ArtifactError: it is not such a text.
    """
    try:
        text = read_regular(path).decode("utf-8")
        return _checked(text, list(feature_names))
    except (ValueError, KeyError) as error:
        raise ArtifactError(
            f"{path} holds no trees of a ranker over these features ({error}); train it again"
        ) from error


def _checked(text: str, feature_names: list[str]) -> str:
    trees, end, _ = text.partition("end of trees\n")
    if not end:
        raise ValueError("its trees have no end")
    header, *blocks = re.split(r"(?=^Tree=)", trees, flags=re.MULTILINE)
    sizes = _require_header(header, feature_names)
    if sizes != [len(block.encode()) for block in blocks]:
        raise ValueError(f"{len(blocks)} trees are not of the sizes that stand above them")
    for number, block in enumerate(blocks):
        name, *lines = block.rstrip("\n").split("\n")
        if name != f"Tree={number}":
            raise ValueError(f"{name:.40} stands in the place of tree {number}")
        _require_tree(_fields(lines), len(feature_names), f"tree {number}")
    return trees + end


def _require_header(header: str, feature_names: list[str]) -> list[int]:
    """The bytes of every tree."""
    first, *lines = header.strip("\n").split("\n")
    fields = _fields(lines)
    sizes = _integers(fields.pop("tree_sizes"), "tree_sizes")
    infos = fields.pop("feature_infos").split(" ")
    if len(infos) != len(feature_names) or not all(map(FEATURE_INFO.fullmatch, infos)):
        raise ValueError(f"feature_infos of {len(infos)} features")
    wanted = {
        **FIXED,
        "max_feature_idx": str(len(feature_names) - 1),
        "feature_names": " ".join(feature_names),
    }
    if first != "tree" or fields != wanted:
        wrong = [name for name in {**fields, **wanted} if fields.get(name) != wanted.get(name)]
        raise ValueError(f"its header differs in {wrong[:5] or first!r:.80}")
    return sizes


def _require_tree(fields: dict[str, str], num_features: int, place: str) -> None:
    if set(fields) != TREE_KEYS:
        raise ValueError(f"{place} has other lines than a tree: {sorted(set(fields) ^ TREE_KEYS)}")
    if (fields["num_cat"], fields["is_linear"]) != ("0", "0"):
        raise ValueError(f"{place} is categorical or linear")
    [num_leaves] = _integers(fields["num_leaves"], place)
    if not 1 <= num_leaves <= MOST_LEAVES:
        raise ValueError(f"{place} has {num_leaves} leaves")
    num_nodes = num_leaves - 1
    for name in (*OF_NODES, "shrinkage"):
        _require_numbers(fields[name], 1 if name == "shrinkage" else num_nodes, f"{place}, {name}")
    for name in OF_LEAVES:
        if name == "leaf_value" or num_nodes or fields[name]:
            _require_numbers(fields[name], num_leaves, f"{place}, {name}")
    _require_splits(fields, num_leaves, num_features, place)


def _require_splits(fields: dict[str, str], num_leaves: int, num_features: int, place: str) -> None:
    """Every split is numeric, of a feature that is there, and leads away from the root."""
    num_nodes = num_leaves - 1
    features, decisions, left, right = (_integers(fields[name], place) for name in WHOLE)
    if {len(each) for each in (features, decisions, left, right)} != {num_nodes}:
        raise ValueError(f"{place} has not {num_nodes} splits in every line")
    if not all(0 <= feature < num_features for feature in features):
        raise ValueError(f"{place} splits by a feature that is none of {num_features}")
    if not all(0 <= decision < 16 and not decision & 1 for decision in decisions):
        raise ValueError(f"{place} has decisions that are not numeric")
    for node, children in enumerate(zip(left, right, strict=True)):
        if any(0 <= child <= node for child in children):
            raise ValueError(f"{place}: node {node} leads back to one before it")
    reached = sorted([*left, *right])
    if reached != [*range(-num_leaves, 0), *range(1, num_nodes)] and num_nodes:
        raise ValueError(f"{place} does not reach each node and each leaf once")


def _fields(lines: list[str]) -> dict[str, str]:
    pairs = [line.partition("=")[::2] for line in lines if line]
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a line stands there twice")
    return fields


def _integers(text: str, place: str) -> list[int]:
    words = text.split(" ") if text else []
    if not all(map(INTEGER.fullmatch, words)):
        raise ValueError(f"{place}: {text:.40} are no whole numbers")
    return [int(word) for word in words]


def _require_numbers(text: str, count: int, place: str) -> None:
    words = text.split(" ") if text else []
    if len(words) != count or not all(map(NUMBER.fullmatch, words)):
        raise ValueError(f"{place} must be {count} numbers, got {text:.40}")
    if any(abs(float(word)) > 1e308 for word in words):
        raise ValueError(f"{place} has a number that is too large")
