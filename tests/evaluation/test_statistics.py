"""Intervals, paired tests and Holm: closed forms, and coverage on simulated people."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genrec.evaluation import BootstrapConfig, bootstrap_mean, compare_paired, holm

QUICK = BootstrapConfig(num_resamples=1000)


def test_the_interval_of_a_share_has_the_width_of_the_closed_form() -> None:
    values = np.repeat([1.0, 0.0], [300, 700])
    estimate = bootstrap_mean(values, BootstrapConfig())
    half = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert estimate.mean == pytest.approx(0.3)
    assert estimate.low == pytest.approx(0.3 - half, abs=0.0015)
    assert estimate.high == pytest.approx(0.3 + half, abs=0.0015)


def test_the_interval_of_a_constant_is_a_point() -> None:
    estimate = bootstrap_mean(np.full(7, 0.25), QUICK)
    assert (estimate.mean, estimate.low, estimate.high) == (0.25, 0.25, 0.25)


def test_one_person_has_an_interval_without_width() -> None:
    assert bootstrap_mean(np.array([0.5]), QUICK).high == 0.5


def test_a_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(3).random(50)
    assert bootstrap_mean(values, QUICK) == bootstrap_mean(values, QUICK)
    assert bootstrap_mean(values, QUICK) != bootstrap_mean(
        values, BootstrapConfig(num_resamples=1000, seed=1)
    )


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    trials = 300
    covered = 0
    for trial in range(trials):
        values = (rng.random(400) < 0.2).astype(float)
        config = BootstrapConfig(num_resamples=1000, seed=trial)
        estimate = bootstrap_mean(values, config)
        covered += estimate.low <= 0.2 <= estimate.high
    assert 0.90 <= covered / trials <= 0.985  # 0.95, +- 3 standard errors, quantile grid of 1/400


def test_more_distinct_values_than_fit_at_once_are_drawn_in_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(1).normal(size=200)
    monkeypatch.setattr("genrec.evaluation.statistics.MAX_COUNTS", 200 * 7)
    estimate = bootstrap_mean(values, QUICK)
    half = 1.96 * values.std() / math.sqrt(200)
    assert estimate.high - estimate.low == pytest.approx(2 * half, rel=0.15)


def test_pairing_removes_what_people_have_in_common() -> None:
    rng = np.random.default_rng(0)
    person = rng.normal(size=500)
    first, second = person + 0.1 + 0.01 * rng.normal(size=500), person
    paired = compare_paired(first, second, QUICK)
    assert paired.excludes_zero
    assert paired.difference.high - paired.difference.low < 0.01
    assert paired.num_better == 500
    assert paired.num_worse == 0


def test_equal_methods_differ_by_exactly_nothing() -> None:
    values = np.random.default_rng(0).random(20)
    paired = compare_paired(values, values, QUICK)
    assert (paired.difference.mean, paired.difference.low, paired.difference.high) == (0, 0, 0)
    assert paired.p_value == 1.0
    assert paired.effect_size is None
    assert not paired.excludes_zero


def test_the_p_value_of_n_equal_gains_is_that_of_n_equal_coins() -> None:
    config = BootstrapConfig(num_resamples=200_000)
    paired = compare_paired(np.ones(8), np.zeros(8), config)
    assert paired.p_value == pytest.approx(2 * 0.5**8, rel=0.1)  # all heads or all tails


def test_p_values_under_no_difference_are_uniform() -> None:
    rng = np.random.default_rng(0)
    found = [
        compare_paired(
            rng.random(60), rng.random(60), BootstrapConfig(num_resamples=400, seed=trial)
        ).p_value
        for trial in range(300)
    ]
    assert np.mean(np.array(found) <= 0.05) < 0.09
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_the_effect_size_is_the_difference_in_its_standard_deviations() -> None:
    differences = np.array([1.0, 3.0])
    paired = compare_paired(differences, np.zeros(2), QUICK)
    assert paired.effect_size == pytest.approx(2.0 / math.sqrt(2.0))


def test_swapping_the_methods_swaps_the_signs() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(30), rng.random(30)
    there, back = compare_paired(first, second, QUICK), compare_paired(second, first, QUICK)
    assert there.difference.mean == pytest.approx(-back.difference.mean)
    assert there.p_value == back.p_value
    assert (there.num_better, there.num_worse) == (back.num_worse, back.num_better)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="value 1 is not finite"):
        bootstrap_mean(np.array([0.0, np.nan]), QUICK)


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="B at least 1"):
        bootstrap_mean(np.array([]), QUICK)


def test_unpaired_values_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        compare_paired(np.zeros(2), np.zeros(3), QUICK)
