"""Predictions follow what was seen, and a refused stage finds its way back."""

from __future__ import annotations

import pytest

from genrec.funnel import Admission, LatencyConfig, LatencyPredictor, RequestSize, Verdict
from genrec.funnel.latency import LEAST_K, REFUSALS_BEFORE_PROBE
from genrec.interactions import Histories, RequestBatch

ONE = RequestSize(1, 8)
WAIT = REFUSALS_BEFORE_PROBE


def _predictor(times: list[float], size: RequestSize = ONE) -> LatencyPredictor:
    predictor = LatencyPredictor(LatencyConfig(quantile=0.9, window=10))
    for seconds in times:
        predictor.observe("stage", size, seconds)
    return predictor


@pytest.mark.parametrize(("length", "bucket"), [(0, 1), (1, 1), (2, 2), (3, 4), (5, 8), (99, 64)])
def test_history_lengths_fall_into_powers_of_two_up_to_the_longest(
    length: int, bucket: int
) -> None:
    requests = RequestBatch.from_histories(Histories.from_lists([[0] * length]))
    assert RequestSize.of(requests, longest_history=64) == RequestSize(1, bucket, LEAST_K)


def test_a_prediction_covers_the_quantile_of_what_was_seen() -> None:
    assert _predictor([0.01 * i for i in range(1, 11)]).predict("stage", ONE) == pytest.approx(0.09)


def test_a_single_time_predicts_itself() -> None:
    assert _predictor([0.02]).predict("stage", ONE) == 0.02


def test_only_the_window_is_remembered() -> None:
    assert _predictor([9.0] * 10 + [0.01] * 10).predict("stage", ONE) == 0.01


def test_a_smaller_request_is_judged_by_the_smallest_size_that_covers_it() -> None:
    predictor = _predictor([0.05], RequestSize(1, 16))
    predictor.observe("stage", RequestSize(4, 64), 0.5)
    assert predictor.predict("stage", RequestSize(1, 2)) == 0.05
    assert predictor.predict("stage", RequestSize(2, 2)) == 0.5


def test_what_nothing_covers_has_no_prediction_and_is_refused() -> None:
    predictor = _predictor([0.05])
    assert predictor.predict("stage", RequestSize(2, 8)) is None
    assert Admission(predictor).decide("stage", RequestSize(2, 8), 1e9) is Verdict.REFUSED
    assert Admission(predictor).decide("other", ONE, 1e9) is Verdict.REFUSED


def test_a_stage_is_admitted_up_to_exactly_its_predicted_time() -> None:
    admission = Admission(_predictor([0.05]))
    assert admission.decide("stage", ONE, 0.05) is Verdict.ADMITTED
    assert admission.decide("stage", ONE, 0.0499) is Verdict.REFUSED


def test_a_refused_stage_whose_fastest_time_fits_is_probed_after_the_wait() -> None:
    admission = Admission(_predictor([0.01, 0.2]))
    verdicts = [admission.decide("stage", ONE, 0.05) for _ in range(WAIT + 1)]
    assert verdicts == [Verdict.REFUSED] * WAIT + [Verdict.PROBE]


def test_more_items_asked_for_are_a_larger_size() -> None:
    requests = RequestBatch.from_histories(Histories.from_lists([[0]]))
    assert RequestSize.of(requests, 64, k=LEAST_K) == RequestSize.of(requests, 64, k=1)
    assert RequestSize.of(requests, 64, k=LEAST_K + 1).k == 2 * LEAST_K
    predictor = _predictor([0.01], RequestSize.of(requests, 64, k=10))
    assert predictor.predict("stage", RequestSize.of(requests, 64, k=1000)) is None


def test_a_stage_that_cannot_stop_and_never_was_fast_enough_is_never_probed() -> None:
    admission = Admission(_predictor([0.1, 0.2]))
    verdicts = {admission.decide("stage", ONE, 0.05) for _ in range(10 * WAIT)}
    assert verdicts == {Verdict.REFUSED}


def test_a_stage_that_stops_and_never_was_fast_enough_is_probed_more_seldom() -> None:
    admission = Admission(_predictor([0.125, 0.2]))  # two and a half times what is left
    verdicts = [admission.decide("stage", ONE, 0.05, stops=True) for _ in range(3 * WAIT + 1)]
    assert verdicts == [Verdict.REFUSED] * (3 * WAIT) + [Verdict.PROBE]


def test_the_wait_grows_with_the_answers_under_way_and_ends_with_them() -> None:
    admission = Admission(_predictor([0.01, 0.2]))
    verdicts = [admission.decide("stage", ONE, 0.05, num_under_way=8) for _ in range(2 * WAIT)]
    assert set(verdicts) == {Verdict.REFUSED}
    assert admission.decide("stage", ONE, 0.05, num_under_way=1) is Verdict.PROBE


def test_no_time_left_admits_nothing_and_probes_nothing() -> None:
    admission = Admission(_predictor([0.01]))
    verdicts = {admission.decide("stage", ONE, -0.001, stops=True) for _ in range(1000)}
    assert verdicts == {Verdict.REFUSED}


def test_a_failed_probe_is_not_remembered_and_the_next_comes_after_the_same_wait() -> None:
    admission = Admission(_predictor([0.01, 0.2]))
    admission.report("stage", ONE, Verdict.PROBE, 0.9, fits=None)
    verdicts = [admission.decide("stage", ONE, 0.05) for _ in range(WAIT + 1)]
    assert verdicts.index(Verdict.PROBE) == WAIT
    assert admission.predictor.predict("stage", ONE) == 0.2


def test_a_successful_probe_forgets_all_times_that_do_not_fit() -> None:
    admission = Admission(_predictor([0.01, 0.3, 0.2, 0.2]))
    admission.report("stage", ONE, Verdict.PROBE, 0.02, fits=0.05)
    assert admission.decide("stage", ONE, 0.05) is Verdict.ADMITTED
    assert admission.predictor.predict("stage", ONE) == 0.02


def test_a_probe_of_a_smaller_size_brings_back_the_size_that_judged_it() -> None:
    predictor = _predictor([0.01, 0.3], RequestSize(1, 64))
    predictor.recover("stage", RequestSize(1, 2), 0.02, 0.05)
    assert predictor.predict("stage", RequestSize(1, 64)) == 0.01
    assert predictor.predict("stage", RequestSize(1, 2)) == 0.02


def test_a_probe_brings_back_the_sizes_that_fit_and_none_that_do_not() -> None:
    predictor = _predictor([0.01, 0.3], RequestSize(1, 8))
    for seconds in (0.02, 0.5):
        predictor.observe("stage", RequestSize(1, 64), seconds)
    for seconds in (0.07, 0.09, 0.8):
        predictor.observe("stage", RequestSize(1, 64, 1024), seconds)
    predictor.recover("stage", RequestSize(1, 8), 0.01, 0.05)
    assert predictor.predict("stage", RequestSize(1, 64)) == 0.02
    assert predictor.predict("stage", RequestSize(1, 64, 1024)) == 0.09


def test_refusals_of_all_sizes_count_towards_one_probe() -> None:
    predictor = _predictor([0.01, 0.2])
    predictor.observe("stage", RequestSize(1, 64), 0.01)
    predictor.observe("stage", RequestSize(1, 64), 0.2)
    admission = Admission(predictor)
    sizes = [ONE, RequestSize(1, 64)] * WAIT
    verdicts = [admission.decide("stage", size, 0.05) for size in sizes]
    assert verdicts.index(Verdict.PROBE) == WAIT


def test_the_fastest_time_outlasts_the_window() -> None:
    assert _predictor([0.01] + [0.3] * 100).fastest("stage", ONE) == 0.01


@pytest.mark.parametrize("quantile", [0.0, 1.1])
def test_a_quantile_outside_its_range_is_refused(quantile: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        LatencyConfig(quantile=quantile)
