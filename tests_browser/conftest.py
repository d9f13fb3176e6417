"""A real Chromium on a real server: `make test-studio`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright
from trained_runs import train_runs

expect.set_options(timeout=60_000)  # a busy machine is no failure
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


class Server:
    """`ganvas studio` as a user starts it; it can be killed and started again on the same folder."""

    def __init__(self, folder: Path, runs: Path) -> None:
        self.folder, self.runs = folder, runs
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def address(self) -> str:
        """Return where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = ["studio", str(self.runs), "--port", str(self.port), "--work", "work", "--runs", "no-runs"]
        self.process = subprocess.Popen([sys.executable, "-m", "ganvas", *words], cwd=self.folder)
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.address}health", timeout=2).close()
                return
            except OSError:
                assert time.monotonic() < until and self.process.poll() is None, "the studio did not come up"
                time.sleep(0.1)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    running = Server(folder, train_runs(folder))
    yield running
    running.process.terminate()
    running.process.wait(timeout=20)


@pytest.fixture(scope="session")
def browser():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "Chromium was not found; install it (Debian: apt-get install chromium), or name it by CHROMIUM"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def page(browser, server):
    """A page on which no script may fail."""
    opened = browser.new_page(viewport={"width": 1280, "height": 860})
    opened.set_default_timeout(60_000)
    failures: list[str] = []
    opened.on("pageerror", lambda error: failures.append(str(error)))
    yield opened
    opened.close()
    assert not failures
