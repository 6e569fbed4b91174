"""Where figures were measured: processor, threads, versions, time and command."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from genrec.evaluation.figures import Json

__all__ = ["describe_environment"]

PACKAGES = ("genrec", "torch", "transformers", "faiss-cpu", "lightgbm", "numpy")
CPU_INFO = Path("/proc/cpuinfo")


def describe_environment(command: Sequence[str]) -> Json:
    """What a reader needs in order to judge, and to repeat, what was measured.

    Args:
        command: the words that were typed.
    """
    return {
        "processor": _processor(),
        "num_cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "load_average": _load_average(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads_accuracy": torch.get_num_threads(),
        "threads_latency": 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": shlex.join(command),
    }


def _processor() -> str:
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):  # not every system tells
        return None


def _load_average() -> float | None:
    """Processes that wanted a core in the last minute; far above 1, others slowed the requests."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):  # not every system tells
        return None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
