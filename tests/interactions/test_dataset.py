"""A data set reads back as it was written, or not at all."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from genrec import artifacts
from genrec.errors import ArtifactError, ArtifactMissingError
from genrec.interactions import (
    DATA_KIND,
    ColumnMapping,
    InteractionDataset,
    Repeats,
    import_interactions,
)


@pytest.fixture
def dataset() -> InteractionDataset:
    frame = pl.DataFrame(
        {
            "user_id": ["u", "v", "u", "u"],
            "item_id": ["a", "b", "b", "a"],
            "timestamp": [5, 6, None, 7],
            "position": [0, 0, 1, 2],
            "page": [1, 2, 3, 4],
        }
    )
    items = pl.DataFrame(
        {"item_id": ["a", "b", "c"], "title": ["A", None, "C"], "tags": [["t"]] * 3}
    )
    mapping = ColumnMapping(position="position", context=("page",))
    return import_interactions(frame, mapping, items, name="small")[0]


def test_a_data_set_reads_back_as_it_was_written(
    dataset: InteractionDataset, tmp_path: Path
) -> None:
    dataset.save(tmp_path / "data", source="a test", config={"option": 1})
    read = InteractionDataset.load(tmp_path / "data")
    assert (read.name, read.repeats, read.user_ids) == ("small", Repeats.ALLOW, ["u", "v"])
    assert read.catalogue.table.equals(dataset.catalogue.table)
    assert read.catalogue.ids(read.histories.item_index) == ["a", "b", "a", "b"]
    for field in ("item_index", "event_time", "offsets"):
        before, after = (getattr(d.histories, field) for d in (dataset, read))
        assert before.tolist() == after.tolist()
        assert before.dtype == after.dtype
    assert read.extra.equals(dataset.extra)
    assert read.repeat_share == dataset.repeat_share == 0.25


def test_what_a_data_set_was_made_of_is_recorded(
    dataset: InteractionDataset, tmp_path: Path
) -> None:
    dataset.save(tmp_path / "data", source="a test", config={"option": 1})
    made_of = {"source": "a test", "option": 1}
    assert artifacts.is_current(tmp_path / "data", kind=DATA_KIND, config=made_of)
    assert not artifacts.is_current(
        tmp_path / "data", kind=DATA_KIND, config=made_of | {"option": 2}
    )


def test_a_data_set_without_extras_reads_back(log: pl.DataFrame, tmp_path: Path) -> None:
    import_interactions(log)[0].save(tmp_path / "data", source="a test")
    assert InteractionDataset.load(tmp_path / "data").extra.width == 0


@pytest.mark.parametrize(
    "name", ["interactions.parquet", "items.parquet", "users.parquet", "dataset.json"]
)
def test_an_altered_or_missing_file_is_refused(
    name: str, dataset: InteractionDataset, tmp_path: Path
) -> None:
    dataset.save(tmp_path / "data", source="a test")
    file = tmp_path / "data" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} was altered"):
        InteractionDataset.load(tmp_path / "data")
    file.unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        InteractionDataset.load(tmp_path / "data")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match="nothing complete stands at"):
        InteractionDataset.load(tmp_path / "data")


def test_the_repeat_share_of_no_events_is_zero() -> None:
    dataset = import_interactions(
        pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [1]})
    )[0]
    assert dataset.repeat_share == 0.0
