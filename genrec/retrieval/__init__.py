"""The classic sources: two towers over a vector index, and popularity as the floor."""

from genrec.retrieval.fitting import fit_two_tower
from genrec.retrieval.index import EXACT_UP_TO, ItemIndex
from genrec.retrieval.linear import ItemItemSource, ease_weights, followed_by, item_cosines
from genrec.retrieval.losses import in_batch_softmax_loss
from genrec.retrieval.popularity import PopularitySource, count_items
from genrec.retrieval.prefixes import PrefixBatches
from genrec.retrieval.saved import TWO_TOWER_KIND, TwoTower, TwoTowerSource, read_item_vectors
from genrec.retrieval.two_tower import TwoTowerConfig, TwoTowerModel

__all__ = [
    "EXACT_UP_TO",
    "TWO_TOWER_KIND",
    "ItemIndex",
    "ItemItemSource",
    "PopularitySource",
    "PrefixBatches",
    "TwoTower",
    "TwoTowerConfig",
    "TwoTowerModel",
    "TwoTowerSource",
    "count_items",
    "ease_weights",
    "fit_two_tower",
    "followed_by",
    "in_batch_softmax_loss",
    "item_cosines",
    "read_item_vectors",
]
