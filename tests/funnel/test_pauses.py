"""What is loaded is spared from collections, until it is asked again."""

from __future__ import annotations

import gc
import weakref

from genrec.funnel.pauses import spare_from_collections


class Node:
    """May hold itself."""

    itself: object = None


def test_what_is_there_is_not_looked_through_again() -> None:
    kept = Node()
    try:
        spare_from_collections()
        assert not any(each is kept for each in gc.get_objects())
    finally:
        gc.unfreeze()
    assert any(each is kept for each in gc.get_objects())


def test_what_was_spared_and_is_garbage_by_now_goes_at_the_next_call() -> None:
    node = Node()
    node.itself = node
    there = weakref.ref(node)
    try:
        spare_from_collections()
        del node
        gc.collect()
        assert there() is not None
        spare_from_collections()
        assert there() is None
    finally:
        gc.unfreeze()
