"""A process that has imported everything and forks a program at once, so that kills are cheap.

It reads a line of JSON on standard input (`commands`, `kill_after`), runs the commands side by
side, kills the first after so many seconds, and answers a line: each one's exit code, seconds and
words.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from typing import IO

from genrec.__main__ import PROGRAMS, main

HEAVY = ("faiss", "lightgbm", "transformers", "sklearn", "plotly.graph_objects")


def start(command: list[str], words: IO[bytes]) -> int:
    """The process id of a child that runs a command of genrec's."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
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


def answer(commands: list[list[str]], kill_after: float | None) -> list[list[object]]:
    """What became of the commands, in their order."""
    files = [tempfile.TemporaryFile() for _ in commands]  # noqa: SIM115
    begin = time.monotonic()
    children = [start(command, words) for command, words in zip(commands, files, strict=True)]
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
        say(json.dumps(answer(asked["commands"], asked["kill_after"])))


if __name__ == "__main__":
    serve()
