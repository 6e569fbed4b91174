"""Turns: requests run beside each other, changes alone, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from genrec.generator import turns
from genrec.generator.turns import Turns

LONG = 10.0
"""Seconds; what is waited for takes far less, else a test fails."""


class Visitor:
    """A thread that takes a turn and keeps it until it is told to leave."""

    def __init__(self, take: Callable[[], AbstractContextManager[None]]) -> None:
        self.inside, self.told = threading.Event(), threading.Event()
        self._take = take
        self._thread = threading.Thread(target=self._visit)
        self._thread.start()

    def _visit(self) -> None:
        with self._take():
            self.inside.set()
            self.told.wait(LONG)

    def leaves(self) -> None:
        self.told.set()
        self._thread.join(LONG)


def queued(there: Turns, number: int) -> None:
    """Waits until so many wait or work."""
    until = time.monotonic() + LONG
    while len(there._changes) < number and time.monotonic() < until:
        time.sleep(0.001)
    assert len(there._changes) == number


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Turns:
    """Turns in which everybody waits."""
    monkeypatch.setattr(turns, "PATIENCE", LONG)
    return Turns()


def test_requests_run_beside_each_other(patient: Turns) -> None:
    visitors = [Visitor(patient.request) for _ in range(3)]
    assert all(each.inside.wait(LONG) for each in visitors)
    for each in visitors:
        each.leaves()


@pytest.mark.parametrize("before", ["request", "change"])
def test_a_change_waits_for_those_before_it_and_requests_wait_for_the_change(
    patient: Turns, before: str
) -> None:
    first = Visitor(getattr(patient, before))
    assert first.inside.wait(LONG)
    change = Visitor(patient.change)
    queued(patient, 2)
    later = Visitor(patient.request)
    queued(patient, 3)
    assert not change.inside.is_set() and not later.inside.is_set()
    first.leaves()
    assert change.inside.wait(LONG) and not later.inside.is_set()
    change.leaves()
    assert later.inside.wait(LONG)
    later.leaves()


def test_whoever_has_waited_long_enough_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    there = Turns()
    request = Visitor(there.request)
    assert request.inside.wait(LONG)
    change = Visitor(there.change)
    assert change.inside.wait(LONG)
    later = Visitor(there.request)
    assert later.inside.wait(LONG)
    for each in (request, change, later):
        each.leaves()
    assert not there._changes


def test_who_is_interrupted_while_waiting_holds_nobody_up(
    patient: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(patient._ended, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt), patient.change():
            pass
    with patient.request():
        assert len(patient._changes) == 1


def test_a_turn_ends_with_what_fails_in_it(patient: Turns) -> None:
    with pytest.raises(ValueError, match="within"), patient.change():
        raise ValueError("within")
    assert not patient._changes
