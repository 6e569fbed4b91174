"""Health says in words what is wrong with a planted set of codes, and nothing of a sound one."""

from __future__ import annotations

import numpy as np
import pytest

from genrec.semantic_ids import Health, measure_health
from genrec.semantic_ids.health import measure_latents

SOUND = np.array([[i, j] for i in range(8) for j in range(8)])


def health(native: np.ndarray[tuple[int, ...], np.dtype[np.int64]], explained: float) -> Health:
    return measure_health(native, SOUND, (8, 8), explained_variance=explained)


def test_sound_ids_raise_no_alarm() -> None:
    found = health(SOUND, 0.5)
    assert found.alarms == ()
    assert (found.native_collision_rate, found.collisions, found.num_changed) == (0.0, 0, 0)
    assert [level.use for level in found.levels] == [1.0, 1.0]
    assert [level.perplexity for level in found.levels] == pytest.approx([8.0, 8.0])


def test_a_collapsed_level_is_named_with_its_codes() -> None:
    native = SOUND.copy()
    native[:, 1] %= 3
    found = health(native, 0.5)
    assert found.levels[1].dead == 5
    assert found.levels[1].perplexity == pytest.approx(
        np.exp(-(0.75 * np.log(0.375) + 0.25 * np.log(0.25)))
    )
    assert found.native_collision_rate == 1 - 24 / 64
    assert found.num_changed == 40
    assert found.num_moved == 0
    collapsed, collisions = found.alarms
    assert collapsed.startswith("level 2 uses 3 of 8 codes: collapsed; try")
    assert collisions.startswith("62.5% of the items had no id of their own")


def test_uneven_use_is_told_from_collapse() -> None:
    native = SOUND.copy()
    native[6:, 0] = 7
    native[:6, 0] = range(6)
    (alarm, _) = health(native, 0.5).alarms
    assert alarm.startswith("level 1 uses its 8 codes as unevenly as if there were 2")


def test_ids_that_say_little_of_the_embeddings_raise_an_alarm() -> None:
    (alarm,) = health(SOUND, 0.04).alarms
    assert alarm.startswith("the ids keep 4.0% of what the embeddings say")


def test_latents_on_a_few_lines_have_collapsed_although_all_codes_are_used() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(4000, 8))
    onto_one = vectors[:, :1] * np.ones(8) + 0.01 * generator.normal(size=(4000, 8))
    sound, collapsed = measure_latents(vectors, vectors), measure_latents(onto_one, vectors)
    assert sound.directions == pytest.approx(8.0, rel=0.02)
    assert collapsed.directions == pytest.approx(1.0, rel=0.02)
    (alarm,) = measure_health(
        SOUND, SOUND, (8, 8), explained_variance=0.5, latents=collapsed
    ).alarms
    assert alarm.startswith("the encoder's latents vary in 1.0 of 8 directions, the vectors in 8")
    assert "collapsed" in alarm
    assert measure_health(SOUND, SOUND, (8, 8), explained_variance=0.5, latents=sound).alarms == ()


def test_latents_need_no_more_directions_than_the_vectors_have() -> None:
    line = np.random.default_rng(0).normal(size=(500, 1)) * np.ones(8)
    assert measure_latents(line, line).share == pytest.approx(1.0)
    still = np.ones((5, 8))
    assert measure_latents(still, still).share == 1.0


def test_ids_that_still_collide_raise_an_alarm() -> None:
    codes = np.array([[0, 0], [0, 0], [1, 1]])
    found = measure_health(codes, codes, (2, 2), explained_variance=1.0)
    assert found.collisions == 1
    assert any(alarm.startswith("1 item(s) share another's id") for alarm in found.alarms)
