"""How many cores this process may use, and how its threads wait; knows nothing of what they do.

OpenMP's threads spin while they wait for each other. On a machine where others work too, they spin
while the one they wait for has no core: a training then takes many times its time. And in a
container with a quota they count the cores of the host. Both are settings of the environment, which
OpenMP reads once, when its library is loaded. So programs call `prepare` in their first line.
"""

from __future__ import annotations

import math
import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from genrec.errors import ForkedProcessError

__all__ = ["OwnProcess", "ThreadChoice", "choose_threads", "prepare", "read_cpu_quota"]

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
CHOSEN_BY_US = "GENREC_THREADS_CHOSEN"
"""Says to programs that this one starts that the number of threads is ours, not the user's."""


@dataclass(frozen=True, kw_only=True)
class ThreadChoice:
    """How many threads a process uses, and why."""

    count: int
    """Threads that calculate, at least 1."""
    reason: str
    """What decided, in words."""
    waits_passively: bool
    """Whether threads sleep while they wait, instead of spinning."""


class OwnProcess:
    """Remembers the process that it was made in, and refuses to go on in a child of it.

    After a fork the child has the parent's models and none of its threads: a calculation that
    waits for one of them never ends.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()

    def check(self, what: str) -> None:
        """Raises a ForkedProcessError in any other process; `what` was loaded in the first."""
        if os.getpid() != self._pid:
            raise ForkedProcessError(
                f"{what} was loaded in process {self._pid} and is asked in its child "
                f"{os.getpid()}, which a fork left without the threads that calculate; load it in "
                "the child (gunicorn: without --preload, or in post_fork), or start workers with "
                "multiprocessing.get_context('spawn')"
            )


def prepare(environment: MutableMapping[str, str] | None = None) -> ThreadChoice:
    """Chooses threads for this process and those it starts; call it before torch is imported.

    What the user has set stays: `OMP_NUM_THREADS`, `OMP_WAIT_POLICY`, `GOMP_SPINCOUNT`.

    Args:
        environment: where the choice is written; None takes that of the process.
    """
    environment = os.environ if environment is None else environment
    choice = choose_threads(environment)
    if not _waits_as_the_user_says(environment):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    if "OMP_NUM_THREADS" not in environment:
        environment["OMP_NUM_THREADS"] = str(choice.count)
        environment[CHOSEN_BY_US] = choice.reason
    return choice


def choose_threads(
    environment: MutableMapping[str, str] | None = None,
    *,
    cores: int | None = None,
    quota: float | None = None,
) -> ThreadChoice:
    """As many threads as the process has cores: by its affinity and its quota, the fewer.

    Args:
        environment: what the user has set; None takes that of the process.
        cores: that the process may run on; None asks the system.
        quota: cores that the process may use in time; None asks the system.
    """
    environment = os.environ if environment is None else environment
    passive = not _waits_as_the_user_says(environment) or (
        environment.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE"
    )
    given = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if given.isdigit() and int(given) > 0:
        reason = environment.get(CHOSEN_BY_US, "OMP_NUM_THREADS says so")
        return ThreadChoice(count=int(given), reason=reason, waits_passively=passive)
    cores = _own_cores() if cores is None else cores
    quota = read_cpu_quota() if quota is None else quota
    count = max(1, min(cores, math.ceil(quota)) if math.isfinite(quota) else cores)
    reason = f"this process may run on {cores} core(s)"
    if count < cores:
        reason = f"the container's quota is {quota:g} of {cores} core(s)"
    return ThreadChoice(count=count, reason=reason, waits_passively=passive)


def read_cpu_quota(own: Path = OWN_CGROUPS, root: Path = CGROUP_ROOT) -> float:
    """Cores that the control groups of this process may use, the least of all above it.

    Infinite where nothing limits it, or where the system does not tell.

    Args:
        own: the file that names the groups of the process.
        root: where the groups' files are mounted.
    """
    try:
        lines = own.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return math.inf
    quota = math.inf
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            quota = min(quota, *(_quota_v2(folder) for folder in _upwards(root, group)))
            quota = min(quota, *(_quota_v2(folder) for folder in _upwards(root / "unified", group)))
        elif "cpu" in controllers.split(","):
            for mount in (root / "cpu", root / controllers, root / "cpu,cpuacct"):
                quota = min(quota, *(_quota_v1(folder) for folder in _upwards(mount, group)))
    return quota


def _waits_as_the_user_says(environment: MutableMapping[str, str]) -> bool:
    return "OMP_WAIT_POLICY" in environment or "GOMP_SPINCOUNT" in environment


def _own_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _upwards(mount: Path, group: str) -> list[Path]:
    """The folders of a group and of all above it; in a container the group may be the mount."""
    names = [name for name in PurePosixPath(group).parts if name not in ("/", "..", ".")]
    return [mount.joinpath(*names[:length]) for length in range(len(names), -1, -1)]


def _quota_v2(folder: Path) -> float:
    """Of `cpu.max`: `QUOTA PERIOD` in microseconds, or `max PERIOD`."""
    quota, _, period = _first_line(folder / "cpu.max").partition(" ")
    return _ratio(quota, period)


def _quota_v1(folder: Path) -> float:
    """Of `cpu.cfs_quota_us` and `cpu.cfs_period_us`; -1 is no limit."""
    return _ratio(
        _first_line(folder / "cpu.cfs_quota_us"), _first_line(folder / "cpu.cfs_period_us")
    )


def _ratio(quota: str, period: str) -> float:
    if not quota.isdigit() or not period.isdigit() or not int(quota) or not int(period):
        return math.inf
    return int(quota) / int(period)


def _first_line(file: Path) -> str:
    try:
        return file.read_text().split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError):
        return ""
