"""The garbage collector's long pauses, kept away from answers that must be in time."""

from __future__ import annotations

import gc

__all__ = ["spare_from_collections"]


def spare_from_collections() -> None:
    """What is loaded by now is not looked through again by the collector of cycles.

    Models and libraries are some hundred thousand objects, and one full collection over them takes
    longer than a budget. They stay until the process ends or this is called again: what was spared
    before and is garbage now goes first.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
