"""The real data sets, where they lie beside the checkout."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl

from genrec.interactions import (
    ColumnMapping,
    Protocol,
    Repeats,
    import_interactions,
    split_histories,
)

Read = Callable[[str], tuple[pl.DataFrame, pl.DataFrame]]
POSITIONED = ColumnMapping(time="timestamp", position="position")


def seconds(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def test_beauty_has_its_published_counts_and_targets(real_data: Read) -> None:
    log, items = real_data("amazon-beauty")
    dataset, summary = import_interactions(log, POSITIONED, items, name="beauty")
    assert (summary.num_users, summary.num_items, summary.num_events) == (22_363, 12_101, 198_502)
    assert (dataset.repeats, summary.num_events_without_time) == (Repeats.MASK, 155)
    assert set(dataset.catalogue.item_ids) == set(items["item_id"])
    split = split_histories(dataset.histories, Protocol.LEAVE_LAST_OUT)
    assert len(split.test) == len(split.validation) == 22_363
    for evaluation, back in ((split.test, 1), (split.validation, 2)):
        asked = pl.DataFrame(
            {
                "user_id": [dataset.user_ids[user] for user in evaluation.user_index],
                "target": dataset.catalogue.ids(evaluation.target),
            }
        )
        last = log.sort("user_id", "position").group_by("user_id").agg(pl.col("item_id").get(-back))
        joined = asked.join(last, on="user_id")
        assert joined.height == 22_363
        assert (joined["target"] == joined["item_id"]).all()


def test_beauty_in_time_is_cut_at_its_documented_days(real_data: Read) -> None:
    log, items = real_data("amazon-beauty")
    dataset, _ = import_interactions(log, POSITIONED, items)
    split = split_histories(dataset.histories, Protocol.GLOBAL_TEMPORAL)
    train_end, validation_end = seconds("2014-03-07"), seconds("2014-05-13")
    assert split.num_excluded == 31
    assert split.train.event_time.max() < train_end
    assert (split.validation.target_time >= train_end).all()
    assert (split.validation.target_time < validation_end).all()
    assert (split.test.target_time >= validation_end).all()
    times = dataset.histories.event_time
    before = (times < train_end) & (times > np.iinfo(np.int64).min)
    assert split.train.item_index.size == int(before.sum())


def test_online_retail_repeats_and_says_so(real_data: Read) -> None:
    log, items = real_data("online-retail")
    dataset, summary = import_interactions(log, None, items, drop=["duplicate"])
    assert summary.dropped == {"duplicate": 2}
    assert (summary.num_users, summary.num_items, summary.num_events) == (4_372, 3_684, 401_602)
    assert 0.33 < summary.repeat_share < 0.34
    assert dataset.repeats is Repeats.ALLOW


def test_movielens_small_is_imported_without_options(real_data: Read) -> None:
    log, items = real_data("movielens-small")
    dataset, summary = import_interactions(log, None, items)
    assert (summary.num_users, summary.num_items, summary.num_events) == (671, 9_125, 100_004)
    assert dataset.repeats is Repeats.MASK
    assert summary.unused_columns == ("rating",)
