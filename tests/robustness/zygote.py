"""A process that has imported everything and forks a program at once, so that kills are cheap.

It reads a line of JSON on standard input (`commands`, `kill_after`, `memory`, `without_rights`),
runs the commands side by side, kills the first after so many seconds, and answers a line: each
one's exit code, seconds and words. `memory` are the bytes that a command may take beyond what it
begins with; `without_rights` takes what root may do beside the owner of a file.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

from genrec.__main__ import PROGRAMS, main

HEAVY = ("typer._adapters", "faiss", "lightgbm", "transformers", "sklearn", "plotly.graph_objects")


def limit(memory: int | None, without_rights: bool) -> None:
    """Takes memory and rights from this process, for good."""
    if memory is not None:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if without_rights:
        # The version of the call and this very process; then no right at all.
        header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
        if ctypes.CDLL(None, use_errno=True).capset(header, none):
            raise OSError(ctypes.get_errno(), "rights cannot be given back")
        os.environ["HOME"] = "/nowhere"


def start(
    command: list[str], words: IO[bytes], memory: int | None = None, without_rights: bool = False
) -> int:
    """The process id of a child that runs a command of genrec's."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        limit(memory, without_rights)
        for stream in (1, 2):
            os.dup2(words.fileno(), stream)
        main(command)
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def answer(
    commands: list[list[str]],
    kill_after: float | None,
    memory: int | None = None,
    without_rights: bool = False,
) -> list[list[object]]:
    """What became of the commands, in their order."""
    files = [tempfile.TemporaryFile() for _ in commands]  # noqa: SIM115
    begin = time.monotonic()
    pairs = zip(commands, files, strict=True)
    children = [start(command, words, memory, without_rights) for command, words in pairs]
    done: dict[int, tuple[int, float]] = {}
    if kill_after is not None:
        while time.monotonic() < begin + kill_after and children[0] not in done:
            found, status = os.waitpid(children[0], os.WNOHANG)
            if found:
                done[found] = (os.waitstatus_to_exitcode(status), time.monotonic() - begin)
            time.sleep(0.001)
        if children[0] not in done:
            os.kill(children[0], signal.SIGKILL)
    for child in children:
        if child not in done:
            _, status = os.waitpid(child, 0)
            done[child] = (os.waitstatus_to_exitcode(status), time.monotonic() - begin)
    answers: list[list[object]] = []
    for child, words in zip(children, files, strict=True):
        words.seek(0)
        answers.append([*done[child], words.read().decode(errors="replace")])
        words.close()
    return answers


def say(line: str) -> None:
    """One line to who asked."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def serve() -> None:
    """Imports, says so, and answers until its input ends."""
    for name in HEAVY:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # the programs bring in what they need
    for program in PROGRAMS.values():
        importlib.import_module(program.module)
    if threading.active_count() > 1:
        raise SystemExit("a thread was started at import; a fork would lose it")
    say("ready")
    for line in sys.stdin:
        asked = json.loads(line)
        say(json.dumps(answer(**asked)))


if __name__ == "__main__":
    serve()
