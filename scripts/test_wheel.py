"""Build the wheel, install it into an environment of its own, and use it in an empty folder.

The environment holds the wheel and nothing else; the packages that it needs are read from the environment that runs
this script, whose own Ganvas it cannot see. Exits with 1 where something does not work.
"""

from __future__ import annotations

import site
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
WHERE = "import ganvas, ganvas.recipes.base; print(ganvas.__file__)"


def run(*words: str | Path, cwd: Path) -> str:
    """Run a command in a folder and return what it prints; stop where it fails."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Build, install, use."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        quiet = ("-q", "--disable-pip-version-check", "--no-deps")
        run(sys.executable, "-m", "pip", "wheel", *quiet, ROOT, "-w", place / "wheel", cwd=place)
        (wheel,) = (place / "wheel").glob("ganvas-*.whl")
        venv.create(place / "env", with_pip=False)
        python = place / "env" / "bin" / "python"
        run(sys.executable, "-m", "pip", "--python", python, "install", *quiet, wheel, cwd=place)
        (packages,) = (place / "env" / "lib").glob("python3.*/site-packages")
        # Lines of a .pth are searched last, and the .pth files of those folders (an editable Ganvas) are not followed.
        (packages / "needed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        empty = place / "empty"
        empty.mkdir()
        used = Path(run(python, "-I", "-c", WHERE, cwd=empty).strip())
        if not used.is_relative_to(place):
            sys.exit(f"Not the wheel's package was used, but {used}")
        ganvas = place / "env" / "bin" / "ganvas"
        run(ganvas, "demo", "--quiet", cwd=empty)
        run(ganvas, "generate", "fashion", "--seeds", "0-3", "--grid", "--out", "sheet.png", "--quiet", cwd=empty)
        run(ganvas, "help", "upscale", cwd=empty)
        for made in ("demo/comparison.png", "sheet.png"):
            if not (empty / made).is_file():
                sys.exit(f"{made} was not made")
        print(f"{wheel.name} ({wheel.stat().st_size / 1e6:.1f} MB) works without the clone")


if __name__ == "__main__":
    main()
