"""A clock that stands still, and the smallest question."""

from __future__ import annotations

import pytest

from genrec.interactions import Histories, RequestBatch
from tests.funnel.stubs import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until a stub sleeps."""
    return FakeClock()


@pytest.fixture
def one_request() -> RequestBatch:
    """One question with a history of three items."""
    return RequestBatch.from_histories(Histories.from_lists([[0, 1, 2]]))
