"""After a burst of load the asked method answers again, and what is too slow stays rare."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genrec.funnel import DeadlineFunnel, LastResort
from genrec.interactions import Histories, RequestBatch
from tests.funnel.stubs import NUM_ITEMS, FakeClock, SteppingSource, StubSource

BUDGET_MS = 50.0
QUIET = 200
BACK_WITHIN = 50
LEAST_SHARE = 0.9

Burst = Sequence[tuple[int, float]]
"""Requests, and how many times longer than on a quiet machine everything takes for them."""

bursts = st.lists(
    st.tuples(st.integers(1, 100), st.floats(1.0, 40.0)), min_size=1, max_size=4
)  # long, short, repeated, rising and falling


class Machine:
    """A funnel over a generator that looks at the clock in five steps, and two quick sources."""

    def __init__(self, takes_ms: float) -> None:
        self.clock = FakeClock()
        self.takes_ms = takes_ms
        self.generative = SteppingSource("generative", self.clock, takes_ms)
        self.two_tower = StubSource("two_tower", self.clock, 1.0)
        last_resort = LastResort("popularity", torch.arange(NUM_ITEMS).float())
        self.funnel = DeadlineFunnel(
            self.generative, [self.two_tower], last_resort, clock=self.clock
        )
        self.request = RequestBatch.from_histories(Histories.from_lists([[1, 2, 3]]))
        self.funnel.warm_up(self.request, 3)

    def ask(self, times: int, slowness: float = 1.0, pause_ms: float = 0.0) -> list[str]:
        """Who served so many requests while everything took `slowness` times as long."""
        served = []
        for _ in range(times):
            self.generative.takes_ms = self.takes_ms * slowness
            self.generative.pause_ms = pause_ms
            self.two_tower.takes_ms = slowness
            served.append(self.funnel.answer(self.request, 3, BUDGET_MS).served_by)
        self.generative.takes_ms, self.two_tower.takes_ms = self.takes_ms, 1.0
        self.generative.pause_ms = 0.0
        return served


def check_recovery(machine: Machine) -> None:
    served = machine.ask(QUIET)
    assert "generative" in served[:BACK_WITHIN]
    assert served.count("generative") >= LEAST_SHARE * QUIET


@settings(max_examples=60, deadline=None)
@given(burst=bursts, takes_ms=st.floats(1.0, 40.0))
@example(burst=[(60, 8.0)], takes_ms=20.0)  # eight threads for half a second
@example(burst=[(400, 3.0)], takes_ms=20.0)  # a long one, in which it hardly fits
@example(burst=[(20, 2.0), (20, 8.0), (20, 40.0), (20, 8.0)], takes_ms=28.0)  # a ramp
@example(burst=[(1, 40.0)], takes_ms=40.0)  # one stall
def test_after_any_burst_the_asked_method_is_back(burst: Burst, takes_ms: float) -> None:
    machine = Machine(takes_ms)
    for times, slowness in burst:
        machine.ask(times, slowness)
    check_recovery(machine)


@settings(max_examples=15, deadline=None)
@given(num_bursts=st.integers(2, 5), slowness=st.floats(2.0, 40.0), takes_ms=st.floats(5.0, 40.0))
def test_the_tenth_burst_costs_no_more_than_the_first(
    num_bursts: int, slowness: float, takes_ms: float
) -> None:
    machine = Machine(takes_ms)
    for _ in range(num_bursts):
        machine.ask(50, slowness)
        check_recovery(machine)


@settings(max_examples=15, deadline=None)
@given(times=st.integers(1, 100), pause_ms=st.floats(10.0, 2000.0))
def test_interruptions_in_the_middle_of_a_step_do_not_keep_it_out(
    times: int, pause_ms: float
) -> None:
    machine = Machine(28.0)
    machine.ask(times, pause_ms=pause_ms)
    check_recovery(machine)


@settings(max_examples=15, deadline=None)
@given(times=st.integers(1, 40), slowness=st.floats(2.0, 40.0), takes_ms=st.floats(5.0, 30.0))
def test_requests_of_every_length_are_back_together(
    times: int, slowness: float, takes_ms: float
) -> None:
    machine = Machine(takes_ms)
    lengths = [1, 2, 3, 5, 9, 17, 33]  # each is a size of its own
    requests = [
        RequestBatch.from_histories(Histories.from_lists([[0] * length])) for length in lengths
    ]

    def ask_each(rounds: int, slowness: float) -> list[str]:
        served = []
        for _ in range(rounds):
            for machine.request in requests:
                served += machine.ask(1, slowness)
        return served

    for machine.request in reversed(requests):
        machine.funnel.warm_up(machine.request, 3)
    ask_each(times, slowness)
    served = ask_each(30, 1.0)
    assert served[BACK_WITHIN:] == ["generative"] * (len(served) - BACK_WITHIN)


def test_what_was_seen_of_steps_takes_no_time_away_in_which_it_is_predicted_to_be_done() -> None:
    machine = Machine(28.0)
    machine.ask(128)
    for _ in range(3):  # too few for it to be refused
        machine.ask(1, pause_ms=60.0)
    assert machine.ask(20) == ["generative"] * 20


def test_times_without_a_deadline_during_a_load_do_not_keep_it_out() -> None:
    machine = Machine(20.0)
    machine.generative.takes_ms = 400.0
    for _ in range(300):
        machine.funnel.answer(machine.request, 3)
    machine.generative.takes_ms = 20.0
    check_recovery(machine)


def test_a_warm_up_during_a_load_does_not_keep_it_out() -> None:
    machine = Machine(100.0)
    machine.takes_ms = 20.0
    served = machine.ask(QUIET)
    assert "generative" in served[:BACK_WITHIN]


@settings(max_examples=15, deadline=None)
@given(takes_ms=st.floats(60.0, 5000.0))
def test_a_method_that_is_too_slow_is_tried_rarely_and_is_never_late_by_more_than_a_step(
    takes_ms: float,
) -> None:
    machine = Machine(takes_ms)
    calls = machine.generative.calls
    latest = 0.0
    for _ in range(500):
        served = machine.funnel.answer(machine.request, 3, BUDGET_MS)
        latest = max(latest, served.total_ms)
        assert served.served_by == "two_tower"
    assert machine.generative.calls - calls <= 500 / 16
    assert latest <= BUDGET_MS + takes_ms / 5
