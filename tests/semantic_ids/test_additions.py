"""A new item's id is free, as near as any that is, and nobody else's changes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import InputError
from genrec.semantic_ids.additions import IdChooser
from genrec.semantic_ids.semantic_ids import SemanticIds
from tests.semantic_ids.stubs import content_of, stub_ids

Floats = npt.NDArray[np.float32]
Id = tuple[int, ...]

SIZES = {
    "seed": st.integers(0, 10_000),
    "num_levels": st.integers(1, 4),
    "num_codes": st.integers(1, 5),
    "fill": st.floats(0.0, 1.0),
    "share_added": st.floats(0.0, 1.0),
}


def sizes_of(num_levels: int, num_codes: int, fill: float, share_added: float) -> tuple[int, int]:
    """How many items there are and how many are new, at least one each if there are two ids."""
    num_ids = min(num_codes**num_levels, 150)
    num_all = max(1, round(fill * num_ids))
    num_new = min(num_all - 1, round(share_added * num_all))
    return num_all - num_new, num_new


def specified(ids: SemanticIds, taken: set[Id], latent: Floats) -> Id:
    """The rule in words, by trying everything: the nearest code below which anything is free."""
    codebooks = ids.quantizer.codebooks.numpy()
    free = {
        each for each in np.ndindex(*ids.codebook_sizes) if each not in taken
    }  # fewer than a thousand
    chosen: Id = ()
    residual = latent
    for level, codebook in enumerate(codebooks):
        possible = sorted({each[level] for each in free if each[:level] == chosen})
        distances = [float(((residual - codebook[code]) ** 2).sum()) for code in possible]
        chosen = (*chosen, possible[int(np.argmin(distances))])
        residual = residual - codebook[chosen[-1]]
    return chosen


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_each_new_item_gets_the_nearest_id_that_is_free(
    seed: int, num_levels: int, num_codes: int, fill: float, share_added: float
) -> None:
    num_items, num_new = sizes_of(num_levels, num_codes, fill, share_added)
    ids = stub_ids(num_items, num_levels=num_levels, num_codes=num_codes, seed=seed)
    before = ids.codes.copy()
    content = content_of(num_new, seed + 1)
    chosen = IdChooser(ids, ids.codes).choose(content)
    taken = set(map(tuple, ids.codes.tolist()))
    for item, latent in enumerate(content):
        expected = specified(ids, taken, latent)
        assert tuple(chosen.codes[item].tolist()) == expected
        taken.add(expected)
    np.testing.assert_array_equal(ids.codes, before)
    assert len(np.unique(np.concatenate([ids.codes, chosen.codes]), axis=0)) == num_items + num_new


@settings(max_examples=30, deadline=None)
@given(**SIZES)
def test_a_batch_gets_what_its_items_get_one_by_one(
    seed: int, num_levels: int, num_codes: int, fill: float, share_added: float
) -> None:
    num_items, num_new = sizes_of(num_levels, num_codes, fill, share_added)
    ids = stub_ids(num_items, num_levels=num_levels, num_codes=num_codes, seed=seed)
    content = content_of(num_new, seed + 1)
    batch, single = (IdChooser(ids, ids.codes) for _ in range(2))
    together = batch.choose(content)
    rows = [single.choose(content[item : item + 1]) for item in range(num_new)]
    for item, row in enumerate(rows):
        np.testing.assert_array_equal(row.codes[0], together.codes[item])
        np.testing.assert_array_equal(row.nearest[0], together.nearest[item])


def test_each_item_is_encoded_alone_so_that_others_cannot_change_its_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = stub_ids(5)
    sizes = []
    encode = ids.quantizer.encode

    def watched(vectors: torch.Tensor) -> torch.Tensor:
        sizes.append(len(vectors))
        return encode(vectors)

    monkeypatch.setattr(ids.quantizer, "encode", watched)
    IdChooser(ids, ids.codes).choose(content_of(4, seed=1))
    assert sizes == [1, 1, 1, 1]


def test_an_id_that_is_free_is_the_nearest_one() -> None:
    ids = stub_ids(20, num_levels=3, num_codes=32)
    content = content_of(3, seed=9)
    chosen = IdChooser(ids, ids.codes).choose(content)
    nearest = ids.quantizer.assign(torch.from_numpy(content)).numpy()
    np.testing.assert_array_equal(chosen.nearest, nearest)
    np.testing.assert_array_equal(chosen.codes, nearest)


def test_equal_items_fill_a_prefix_and_then_the_nearest_ones_beside_it() -> None:
    ids = stub_ids(1, num_levels=2, num_codes=3)
    content = np.repeat(content_of(1, seed=5), 8, axis=0)
    chosen = IdChooser(ids, ids.codes).choose(content)
    codebook = ids.quantizer.codebooks[0].numpy()
    near_first = ((codebook - content[0]) ** 2).sum(axis=1).argsort().tolist()
    assert [near_first.index(code) for code in chosen.codes[:, 0]] == sorted(
        near_first.index(code) for code in chosen.codes[:, 0]
    )
    assert len(np.unique(np.concatenate([ids.codes, chosen.codes]), axis=0)) == 9


def test_when_every_id_is_taken_the_error_names_a_size_that_suffices() -> None:
    ids = stub_ids(25, num_levels=3, num_codes=3)
    chooser = IdChooser(ids, ids.codes)
    with pytest.raises(InputError, match=r"27 ids, too few for 28 items; 4 codes on each of 3"):
        chooser.choose(content_of(3, seed=1))
    last_two = chooser.choose(content_of(2, seed=1)).codes  # what was refused took nothing
    assert len(np.unique(np.concatenate([ids.codes, last_two]), axis=0)) == 27
    with pytest.raises(InputError, match="too few for 28 items"):
        chooser.choose(content_of(1, seed=2))


def test_ids_that_another_process_gave_are_not_given_again() -> None:
    ids = stub_ids(1, num_levels=2, num_codes=3)
    content = content_of(8, seed=3)
    here, there = (IdChooser(ids, ids.codes) for _ in range(2))
    theirs = there.choose(content[:5]).codes
    here.fill(theirs)
    ours = here.choose(content[5:]).codes
    np.testing.assert_array_equal(ours, there.choose(content[5:]).codes)
    assert len(np.unique(np.concatenate([ids.codes, theirs, ours]), axis=0)) == 9


def test_ids_may_have_more_than_64_bits() -> None:
    ids = stub_ids(50, num_levels=9, num_codes=300)
    again = content_of(50, seed=0)[:8]  # their nearest ids are taken
    chosen = IdChooser(ids, ids.codes).choose(again)
    assert len(np.unique(np.concatenate([ids.codes, chosen.codes]), axis=0)) == 58
    np.testing.assert_array_equal(chosen.codes[:, :-1], ids.native_codes[:8, :-1])


def test_vectors_of_another_width_are_refused() -> None:
    ids = stub_ids(5)
    with pytest.raises(InputError, match=r"content must be \[n, 3\] as in the fit"):
        IdChooser(ids, ids.codes).choose(np.zeros((1, 4), np.float32))


def test_no_new_item_is_no_new_id() -> None:
    ids = stub_ids(5)
    assert IdChooser(ids, ids.codes).choose(np.zeros((0, 3), np.float32)).codes.shape == (0, 3)
