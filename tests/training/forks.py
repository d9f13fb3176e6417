"""Programs run as forks of one process that has already imported what they need: importing torch takes seconds.

As a script it serves: each line of JSON on its standard input starts a program or waits for one. A program is a module
that runs as `python -m MODULE` would run it, with arguments, more of the environment, and files for what it prints.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_runs import FOLDERS


@dataclass
class Program:
    """A program that was started."""

    forks: Forks
    number: int
    folder: Path

    def wait(self) -> int:
        """Wait for its end and return its exit code, negative for a signal."""
        return self.forks.ask(wait=self.number)

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return (self.folder / "out").read_text()

    @property
    def complained(self) -> str:
        """What it has printed to its error stream so far."""
        return (self.folder / "err").read_text()


class Forks:
    """The process that programs are forked from."""

    def __init__(self) -> None:
        # One arena: each thread's own would take 128 MB of the address space that a test limits.
        settings = {"PYTHONPATH": FOLDERS, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        environment = {**os.environ, **settings}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-m", "forks"], env=environment, text=True, **pipes)

    def start(self, folder: Path, module: str, *arguments: object, **environment: str) -> Program:
        """Start a program that prints into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        given = {"module": module, "arguments": list(map(str, arguments)), "environment": environment}
        return Program(self, self.ask(start=given, folder=str(folder)), folder)

    def ask(self, **question: Any) -> int:
        """Send a line and return the number that is answered."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve() -> None:
    """Answer the lines of the standard input until it ends."""
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            answer = os.waitstatus_to_exitcode(os.waitpid(question["wait"], 0)[1])
        else:
            # A thread would not live on in a fork, but the lock that it holds would.
            assert len([*Path("/proc/self/task").iterdir()]) == 1, "something has started a thread"
            answer = os.fork()
            if not answer:
                run(Path(question["folder"]), **question["start"])
        print(answer, flush=True)


def run(folder: Path, module: str, arguments: list[str], environment: dict[str, str]) -> None:
    """Become a program; never returns."""
    code = 1
    try:
        for descriptor, name in ((0, os.devnull), (1, folder / "out"), (2, folder / "err")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), descriptor)
        os.environ.update(environment)
        # A shell that runs the tests in the background has them ignore Ctrl-C, which the program would inherit.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = [module, *arguments]
        # Flushing guards against power failures, which no test can cause.
        os.fsync = lambda descriptor: None
        runpy.run_module(module, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    # All that the programs import.

    serve()
