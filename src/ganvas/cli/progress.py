"""What the verbs show while they work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


class Bar:
    """Progress on the terminal, a line for each part of the work; nothing where nobody watches."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet or not sys.stderr.isatty()
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bar:
        if not self.quiet:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._bar:
            self._bar.stop()

    def move(self, name: str, done: int, total: int) -> None:
        """Move the line of one part, or of one file, which goes when it is done."""
        if self._bar:
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(Path(name).name, total=total)
            self._bar.update(self._tasks[name], completed=done, visible=done < total)
